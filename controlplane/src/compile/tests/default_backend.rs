//! `--default-backend-service`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::routes::{ingress, services};
use crate::compile::{Compilation, Settings};
use crate::model::ObjectName;
use crate::source::Contents;
use crate::source::store::Store;
use crate::testing::{NOW, Result, compiled_store, contents, put, settings};

/// Its first port counts.
const FALLBACK: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: sorry, namespace: edge}\n\
    spec: {selector: {app: sorry}, ports: [{name: http, port: 80, targetPort: 8080}, {name: other, port: 81}]}\n";
const POD: &str = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: sorry-1, namespace: edge, labels: {app: sorry}}\n\
    status: {podIP: 10.0.0.9}\n";

fn with_fallback() -> Settings {
    Settings {
        default_backend: Some(ObjectName::new("edge", "sorry")),
        ..settings()
    }
}

fn compiled(text: &str) -> Result {
    let mut store = Store::default();
    put(&mut store, &[("test.yaml", text)]);
    compiled_store(&store, &with_fallback())
}

/// `HOST PATH -> UPSTREAM`, with `https` where clients that speak HTTP are sent there.
fn routes(result: &Result) -> Vec<String> {
    let of_host = |host: &&headgate_ring::message::VirtualHost| {
        let route = |route: &headgate_ring::message::Route| {
            let redirect = if route.filters.is_some() { " https" } else { "" };
            let upstream = &route.backends[0].upstream;
            format!("{} {:?} -> {upstream}{redirect}", host.host, route.matches.path)
        };
        host.routes.iter().map(route).collect::<Vec<_>>()
    };
    result.hosts().iter().flat_map(of_host).collect()
}

#[test]
fn it_takes_what_no_rule_matches_on_each_host_and_on_none() {
    let rules = ingress("a", "", "a.test", "/shop", "") + &ingress("b", "", "b.test", "/", "");
    let result = compiled(&format!("{rules}{}{FALLBACK}{POD}", services(&["a", "b"])));
    assert_eq!(result.lines, Vec::<String>::new());
    assert_eq!(
        routes(&result),
        [
            " Prefix(\"/\") -> edge/sorry:80",
            "a.test Prefix(\"/shop\") -> default/a:80",
            "a.test Prefix(\"/\") -> edge/sorry:80",
            "b.test Prefix(\"/\") -> default/b:80",
        ]
    );
    let upstream = result
        .upstreams()
        .into_iter()
        .find(|upstream| upstream.name == "edge/sorry:80");
    assert_eq!(
        upstream.expect("it").endpoints,
        ["10.0.0.9:8080".parse().expect("an address")]
    );
}

/// As ingress-nginx, which redirects what falls to it as the host's first Ingress wants it.
#[test]
fn it_is_redirected_with_its_host() {
    let tls = |name: &str, annotations: &str, host: &str| {
        ingress(name, annotations, host, "/shop", "")
            .replace("spec:\n", &format!("spec:\n  tls: [{{hosts: [{host}]}}]\n"))
    };
    let off = ", annotations: {nginx.ingress.kubernetes.io/ssl-redirect: 'false'}";
    let rules = tls("a", "", "a.test") + &tls("b", off, "b.test");
    let result = compiled(&format!("{rules}{}{FALLBACK}{POD}", services(&["a", "b"])));
    let to_fallback: Vec<_> = routes(&result)
        .into_iter()
        .filter(|route| route.contains("sorry"))
        .collect();
    assert_eq!(
        to_fallback,
        [
            " Prefix(\"/\") -> edge/sorry:80",
            "a.test Prefix(\"/\") -> edge/sorry:80 https",
            "b.test Prefix(\"/\") -> edge/sorry:80",
        ]
    );
}

#[test]
fn without_anybody_in_it_the_gateway_answers_itself_and_says_why() {
    let rules = ingress("a", "", "a.test", "/shop", "") + &services(&["a"]);
    let udp = FALLBACK.replace("{name: http, port: 80", "{name: http, protocol: UDP, port: 80");
    let name = "---\napiVersion: v1\nkind: Service\nmetadata: {name: sorry, namespace: edge}\n\
                spec: {type: ExternalName, externalName: sorry.example.com}\n";
    for (service, reason) in [
        ("", "does not exist"),
        (FALLBACK, "has no endpoint that is ready"),
        (&(udp + POD), "has a first port that is not of TCP"),
        (name, "is an ExternalName, which has no endpoints"),
    ] {
        let result = compiled(&format!("{rules}{service}"));
        assert_eq!(routes(&result), ["a.test Prefix(\"/shop\") -> default/a:80"]);
        assert_eq!(
            result.lines,
            [format!(
                "Service edge/sorry: --default-backend-service: {reason}; what no rule matches is answered 404 meanwhile"
            )]
        );
    }
}

#[test]
fn what_comes_and_goes_is_followed() {
    let (mut store, mut compilation) = (Store::default(), Compilation::new(with_fallback()));
    compilation.update(store.model(), &BTreeSet::new(), NOW);
    let rules = ingress("a", "", "a.test", "/shop", "") + &services(&["a"]);
    // It names the same upstream.
    let named = ingress("b", ", namespace: edge", "b.test", "/", "")
        .replace("service: {name: b", "service: {name: sorry");
    let catch_all = ingress("c", "", "", "/", "");
    for (file, text) in [
        ("pod.yaml", POD),
        ("rules.yaml", &rules),
        ("service.yaml", FALLBACK),
        ("pod.yaml", ""),
        ("pod.yaml", POD),
        ("named.yaml", &named),
        ("catch-all.yaml", &catch_all),
        ("service.yaml", ""),
        ("service.yaml", FALLBACK),
        ("catch-all.yaml", ""),
        ("rules.yaml", ""),
        ("named.yaml", ""),
        ("pod.yaml", ""),
        ("service.yaml", ""),
    ] {
        let contents = if text.is_empty() {
            Contents::Gone
        } else {
            contents(text)
        };
        let changed = store.update([(Arc::from(Path::new(file)), contents)]);
        compilation.update(store.model(), &changed, NOW);
        let fresh = compiled_store(&store, &with_fallback());
        let kept = compilation
            .state()
            .iter()
            .map(|(key, object)| (key.clone(), object.object()));
        assert!(kept.eq(fresh.state), "after {file}");
        let problems: Vec<_> = compilation.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems, fresh.lines, "after {file}");
    }
    assert!(compilation.keeps_nothing());
}
