use headgate_ring::message::{PathMatch, Route, VirtualHost};

use super::services::WEB;
use crate::testing::{compiled, compiled_store, put, settings};

pub(super) const SHOP: &str = r"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  ingressClassName: headgate
  rules:
  - host: Shop.Example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /cart/, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /cart, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}
";

/// An Ingress in `default` for `host` (empty for none) with a Prefix path to the Service `name`.
pub(super) fn ingress(name: &str, metadata: &str, host: &str, path: &str, spec: &str) -> String {
    let host = if host.is_empty() {
        String::new()
    } else {
        format!("host: '{host}', ")
    };
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}{metadata}}}\nspec:\n  \
         ingressClassName: headgate\n  rules: [{{{host}http: {{paths: [{{path: {path}, pathType: Prefix, \
         backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]\n{spec}\n"
    )
}

/// A Service without endpoints for each name.
pub(super) fn services(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n"
        )
    };
    names.iter().map(one).collect()
}

/// `kind path -> upstream` of each rule.
fn rules(host: &VirtualHost) -> Vec<String> {
    let text = |route: &Route| {
        let path = match &route.matches.path {
            PathMatch::Exact(path) => format!("Exact {path}"),
            PathMatch::Prefix(path) => format!("Prefix {path}"),
            PathMatch::Regex(pattern) => format!("Regex {pattern}"),
        };
        let backends: Vec<_> = route.backends.iter().map(|b| b.upstream.as_str()).collect();
        format!("{path} -> {}", backends.join(", "))
    };
    host.routes.iter().map(text).collect()
}

#[test]
fn rules_stand_in_the_order_in_which_they_are_tried() {
    let result = compiled(&format!("{WEB}\n---\n{SHOP}"));
    let hosts = result.hosts();
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].host, "shop.example.com");
    assert_eq!(
        rules(hosts[0]),
        [
            "Exact /cart -> shop/web:80",
            "Prefix /cart -> shop/web:80",
            "Prefix / -> shop/web:80"
        ]
    );
    assert_eq!(
        hosts[0].routes[0].origin.to_string(),
        "Ingress shop/shop: spec.rules[0].http.paths[2]"
    );
    let upstream = result.upstreams()[0];
    assert_eq!(upstream.name, "shop/web:80");
    let endpoints: Vec<_> = upstream.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["10.244.1.1:8080", "10.244.1.2:9090"], "one family");
    assert_eq!(result.lines, Vec::<String>::new());
}

#[test]
fn an_upstream_prefers_the_first_of_the_services_families() {
    let web = WEB.replace(
        "  selector: {app: web}",
        "  selector: {app: web}\n  ipFamilies: [IPv6, IPv4]",
    );
    let result = compiled(&format!("{web}\n---\n{SHOP}"));
    let endpoints: Vec<_> = result.upstreams()[0]
        .endpoints
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(endpoints, ["[fd00:10:244:1::1]:8080"]);
}

#[test]
fn a_service_port_by_name_is_the_one_by_number() {
    let web = WEB.replace(
        "{port: 80, targetPort: http}",
        "{name: www, port: 80, targetPort: http}",
    );
    let named = SHOP.replacen("number: 80", "name: www", 1);
    let result = compiled(&format!("{web}\n---\n{named}"));
    assert_eq!(result.upstreams().len(), 1);
    assert_eq!(result.lines, Vec::<String>::new());
}

#[test]
fn one_host_of_many_ingresses_is_one() {
    let text =
        ingress("a", "", "h.test", "/a", "") + &ingress("b", "", "h.test", "/b", "") + &services(&["a", "b"]);
    let result = compiled(&text);
    assert_eq!(result.hosts().len(), 1);
    assert_eq!(
        rules(result.hosts()[0]),
        ["Prefix /a -> default/a:80", "Prefix /b -> default/b:80"]
    );
}

#[test]
fn the_oldest_has_the_path() {
    let old = ", creationTimestamp: '2020-01-01T00:00:00Z'";
    let text = ingress("a", "", "h.test", "/x", "")
        + &ingress("b", old, "H.test", "/x/", "")
        + &services(&["a", "b"]);
    let result = compiled(&text);
    assert_eq!(rules(result.hosts()[0]), ["Prefix /x -> default/b:80"]);
    assert_eq!(
        result.lines,
        [
            "Ingress default/a: spec.rules[0].http.paths[0].path: Prefix \"/x\" of h.test belongs to Ingress default/b already"
        ]
    );
}

/// RFC 3986, section 6.2.2.2.
#[test]
fn two_spellings_of_a_path_are_one_path() {
    let old = ", creationTimestamp: '2020-01-01T00:00:00Z'";
    let text = ingress("a", "", "h.test", "/p%C3%A9", "")
        + &ingress("b", old, "h.test", "/pé", "")
        + &services(&["a", "b"]);
    let result = compiled(&text);
    assert_eq!(rules(result.hosts()[0]), ["Prefix /pé -> default/b:80"]);
    assert_eq!(
        result.lines,
        [
            "Ingress default/a: spec.rules[0].http.paths[0].path: Prefix \"/p%C3%A9\" of h.test belongs to Ingress default/b already"
        ]
    );
}

#[test]
fn a_default_backend_stands_behind_every_rule() {
    let backend = "  defaultBackend: {service: {name: d, port: {number: 80}}}";
    let text = ingress("a", "", "h.test", "/a", backend)
        + &ingress("b", "", "", "/b", "")
        + &services(&["a", "b", "d"]);
    let result = compiled(&text);
    let hosts: Vec<_> = result
        .hosts()
        .into_iter()
        .map(|h| (h.host.as_str(), rules(h)))
        .collect();
    let expected = |rules: [&str; 2]| rules.map(str::to_owned).to_vec();
    assert_eq!(
        hosts,
        [
            (
                "",
                expected(["Prefix /b -> default/b:80", "Prefix / -> default/d:80"])
            ),
            (
                "h.test",
                expected(["Prefix /a -> default/a:80", "Prefix / -> default/d:80"])
            ),
        ]
    );
    assert_eq!(result.lines, Vec::<String>::new());
}

#[test]
fn the_second_default_backend_gets_a_line() {
    let only = |name: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec: \
             {{ingressClassName: headgate, defaultBackend: {{service: {{name: a, port: {{number: 80}}}}}}}}\n"
        )
    };
    let result = compiled(&(only("one") + &only("two") + &services(&["a"])));
    assert_eq!(
        result.lines,
        [
            "Ingress default/two: spec.defaultBackend: is not used: Ingress default/one takes all such requests already"
        ]
    );
}

#[test]
fn a_missing_service_answers_503_and_gets_one_line() {
    let two_paths = ingress("a", "", "h.test", "/a", "").replace(
        "paths: [",
        "paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}, ",
    );
    let result = compiled(&two_paths);
    assert_eq!(
        rules(result.hosts()[0]),
        ["Prefix /a -> default/a:80", "Prefix / -> default/a:80"]
    );
    assert_eq!(result.upstreams()[0].endpoints, []);
    assert_eq!(
        result.lines,
        [
            "Ingress default/a: spec.rules[0].http.paths[0].backend.service.name: Service default/a does not exist; requests are answered 503"
        ]
    );
}

#[test]
fn a_missing_port_and_an_external_name_answer_503() {
    let text = ingress("a", "", "h.test", "/a", "");
    let result = compiled(&(text.clone() + &services(&["a"]).replace("port: 80", "port: 81")));
    assert_eq!(
        result.lines,
        [
            "Ingress default/a: spec.rules[0].http.paths[0].backend.service.port: the Service has no TCP port 80; requests are answered 503"
        ]
    );
    let result = compiled(&(text + &services(&["a"]).replace("{ports", "{type: ExternalName, ports")));
    assert_eq!(
        result.lines,
        [
            "Ingress default/a: spec.rules[0].http.paths[0].backend.service.name: is an ExternalName, which is not supported; requests are answered 503"
        ]
    );
    assert_eq!(result.upstreams()[0].endpoints, []);
}

#[test]
fn regular_expressions_get_a_line() {
    let text = ingress("a", "", "h.test", "/a(/|$)(.*)", "")
        .replace("pathType: Prefix", "pathType: ImplementationSpecific");
    let result = compiled(&(text + &services(&["a"])));
    assert_eq!(
        result.lines,
        [
            "Ingress default/a: spec.rules[0].http.paths[0].path: \"/a(/|$)(.*)\" is compared literally, not as a regular expression"
        ]
    );
}

/// Whether an Ingress with this line instead of its class is served, besides these classes.
fn served(class: &str, classes: &str) -> (bool, Vec<String>) {
    let text = ingress("a", "", "h.test", "/", "").replace("  ingressClassName: headgate\n", class);
    let result = compiled(&(text + &services(&["a"]) + classes));
    (!result.hosts().is_empty(), result.lines)
}

pub(super) fn class(name: &str, controller: &str, default: bool) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}, annotations: \
         {{ingressclass.kubernetes.io/is-default-class: '{default}'}}}}\nspec: {{controller: {controller}}}\n"
    )
}

#[test]
fn classes() {
    let named = |name: &str| format!("  ingressClassName: {name}\n");
    let ours = "headgate.dev/ingress";
    assert!(
        served(&named("headgate"), "").0,
        "the class of --ingress-class needs no IngressClass"
    );
    assert!(!served(&named("nginx"), "").0);
    assert!(
        served(&named("nginx"), &class("nginx", ours, false)).0,
        "any class of our controller"
    );
    assert!(
        !served(
            &named("headgate"),
            &class("headgate", "k8s.io/ingress-nginx", false)
        )
        .0,
        "another's"
    );
    assert!(served("", &class("x", ours, true)).0, "the default class");
    assert!(!served("", &class("x", "k8s.io/ingress-nginx", true)).0);
    assert_eq!(
        served(&named("nginx"), "").1,
        Vec::<String>::new(),
        "another's Ingress is no problem"
    );
    assert_eq!(
        served("", &class("x", ours, false)),
        (
            false,
            vec![
                "Ingress default/a: spec.ingressClassName: is missing and no IngressClass is the default; the Ingress is not \
                 served. Use \"headgate\", or an IngressClass with the controller headgate.dev/ingress"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn the_old_annotation_names_a_class_too() {
    let text = ingress(
        "a",
        ", annotations: {kubernetes.io/ingress.class: headgate}",
        "h.test",
        "/",
        "",
    );
    let without = text.replace("  ingressClassName: headgate\n", "");
    assert_eq!(compiled(&(without + &services(&["a"]))).hosts().len(), 1);
    let other = text.replace("ingressClassName: headgate", "ingressClassName: other");
    assert_eq!(
        compiled(&(other + &services(&["a"]))).hosts().len(),
        0,
        "the field wins"
    );
}

#[test]
fn the_class_can_be_chosen() {
    let mut store = Default::default();
    put(&mut store, &[("a.yaml", &ingress("a", "", "h.test", "/", ""))]);
    let other = crate::compile::Settings {
        ingresses: crate::compile::IngressSelection {
            class: "edge".to_owned(),
            ..Default::default()
        },
        ..settings()
    };
    assert_eq!(compiled_store(&store, &other).hosts().len(), 0);
}

#[test]
fn wildcards_and_hosts_without_rules() {
    let text = ingress("a", "", "*.Example.com", "/", "") + &services(&["a"]);
    assert_eq!(compiled(&text).hosts()[0].host, "*.example.com");
    let bare = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b}\nspec: {ingressClassName: headgate, \
                rules: [{host: h.test}], defaultBackend: {service: {name: a, port: {number: 80}}}}\n";
    let result = compiled(&(bare.to_owned() + &services(&["a"])));
    let hosts: Vec<_> = result
        .hosts()
        .into_iter()
        .map(|h| (h.host.as_str(), rules(h)))
        .collect();
    let default = vec!["Prefix / -> default/a:80".to_owned()];
    assert_eq!(hosts, [("", default.clone()), ("h.test", default)]);
}
