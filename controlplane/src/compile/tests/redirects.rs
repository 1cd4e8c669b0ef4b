//! From HTTP to HTTPS.

use headgate_ring::message::{Redirect, Scheme};

use crate::compile::Settings;
use crate::source::store::Store;
use crate::testing::{Result, compiled_store, put, settings};

/// An Ingress in `shop` with these annotations for these hosts, and TLS for those.
fn ingress(name: &str, annotations: &str, hosts: &[&str], tls: &[&str], path: &str) -> String {
    let rule = |host: &&str| {
        format!(
            "{{host: '{host}', http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}"
        )
    };
    let rules: Vec<_> = hosts.iter().map(rule).collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, annotations: {{{annotations}}}}}\n\
         spec: {{ingressClassName: headgate, rules: [{}], tls: [{{hosts: {tls:?}}}]}}\n",
        rules.join(", ")
    )
}

const SERVICE: &str =
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {ports: [{port: 80}]}\n";

fn compiled(text: &str, settings: &Settings) -> Result {
    let mut store = Store::default();
    put(&mut store, &[("test.yaml", &(text.to_owned() + SERVICE))]);
    compiled_store(&store, settings)
}

/// `host path` of each route that redirects.
fn redirected(result: &Result) -> Vec<String> {
    let hosts = result.hosts();
    let routes = hosts
        .iter()
        .flat_map(|host| host.routes.iter().map(|route| (&host.host, route)));
    let redirect = |route: &headgate_ring::message::Route| route.filters.as_ref()?.redirect.clone();
    routes
        .filter(|(_, route)| redirect(route).is_some())
        .map(|(host, route)| format!("{host} {:?}", route.matches.path))
        .collect()
}

const OFF: &str = "nginx.ingress.kubernetes.io/ssl-redirect: 'false'";
const ON: &str = "nginx.ingress.kubernetes.io/ssl-redirect: 'true'";
const FORCE: &str = "nginx.ingress.kubernetes.io/force-ssl-redirect: 'true'";

#[test]
fn hosts_with_tls_are_redirected() {
    let text = ingress("i", "", &["a.test", "b.test"], &["a.test"], "/");
    let result = compiled(&text, &settings());
    assert_eq!(redirected(&result), [r#"a.test Prefix("/")"#]);
    let hosts = result.hosts();
    let filters = hosts[0].routes[0].filters.as_ref().unwrap();
    let expected = Redirect {
        from: Some(Scheme::Http),
        scheme: Some(Scheme::Https),
        host: None,
        port: None,
        path: None,
        status: 308,
    };
    assert_eq!(filters.redirect, Some(expected));
    let other_port = Settings {
        https_port: 8443,
        ..settings()
    };
    let result = compiled(&text, &other_port);
    let filters = result.hosts()[0].routes[0].filters.clone().unwrap();
    assert_eq!(filters.redirect.unwrap().port, Some(8443));
    let none = Settings {
        https_port: 0,
        ..settings()
    };
    assert_eq!(redirected(&compiled(&text, &none)), Vec::<String>::new());
}

#[test]
fn an_annotation_or_the_flag_switches_it_off_and_on() {
    let all = [r#"a.test Prefix("/")"#];
    let nothing: [&str; 0] = [];
    let with = |annotations: &str, flag: bool| {
        let settings = Settings {
            ssl_redirect: flag,
            ..settings()
        };
        redirected(&compiled(
            &ingress("i", annotations, &["a.test"], &["a.test"], "/"),
            &settings,
        ))
    };
    assert_eq!(with("", true), all);
    assert_eq!(with(OFF, true), nothing);
    assert_eq!(with("", false), nothing);
    assert_eq!(with(ON, false), all);
    assert_eq!(with(FORCE, false), all);
    let without_tls = ingress("i", FORCE, &["a.test"], &["b.test"], "/");
    assert_eq!(redirected(&compiled(&without_tls, &settings())), all);
    let bad = OFF.replace("false", "nope");
    let result = compiled(&ingress("i", &bad, &["a.test"], &["a.test"], "/"), &settings());
    assert_eq!(redirected(&result), all);
    assert_eq!(
        result.lines,
        [
            "Ingress shop/i: metadata.annotations[nginx.ingress.kubernetes.io/ssl-redirect]: \"nope\" is neither true nor false; true holds"
        ]
    );
}

#[test]
fn tls_is_the_hosts_and_the_wish_each_ingress_s_own() {
    let text = ingress("i", OFF, &["a.test"], &["*.test"], "/") + &ingress("j", "", &["a.test"], &[], "/j");
    assert_eq!(
        redirected(&compiled(&text, &settings())),
        [r#"a.test Prefix("/j")"#]
    );
    let any = ingress("i", "", &[""], &["a.test"], "/");
    assert_eq!(
        redirected(&compiled(&any, &settings())),
        Vec::<String>::new(),
        "no host, no TLS"
    );
}

#[test]
fn the_paths_by_which_certificates_are_got_are_not_redirected() {
    let text = ingress(
        "i",
        "",
        &["a.test"],
        &["a.test"],
        "/.well-known/acme-challenge/token",
    );
    assert_eq!(redirected(&compiled(&text, &settings())), Vec::<String>::new());
}
