use std::path::Path;
use std::sync::Arc;

use headgate_ring::message::{Direction, Key};
use proptest::prelude::*;

use super::*;
use crate::testing::{compiled_store, lines, put, settings};

fn service(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{externalIPs: [{address}], ports: [{{port: 80}}]}}\n"
    )
}

/// Frontends of the Services that are in force.
fn frontends(store: &Store) -> Vec<String> {
    let state = compiled_store(store, &settings()).state;
    let frontend = |key: &Key| {
        if let Key::Service(f) = key {
            Some(f.address.to_string())
        } else {
            None
        }
    };
    state.keys().filter_map(frontend).collect()
}

fn gone(store: &mut Store, name: &str) {
    store.update([(Arc::from(Path::new(name)), Contents::Gone)]);
}

#[test]
fn objects_come_change_and_go() {
    let mut store = Store::default();
    put(
        &mut store,
        &[
            ("a.yaml", &service("a", "192.0.2.1")),
            ("b.yaml", &service("b", "192.0.2.2")),
        ],
    );
    assert_eq!(frontends(&store), ["192.0.2.1", "192.0.2.2"]);
    put(&mut store, &[("a.yaml", &service("a", "192.0.2.3"))]);
    assert_eq!(frontends(&store), ["192.0.2.2", "192.0.2.3"]);
    put(&mut store, &[("a.yaml", "")]);
    gone(&mut store, "b.yaml");
    assert_eq!(frontends(&store), Vec::<String>::new());
    assert_eq!(lines(&store), Vec::<String>::new());
}

#[test]
fn a_broken_object_stays_as_it_was_and_the_others_change() {
    let mut store = Store::default();
    let b = service("b", "192.0.2.2");
    put(&mut store, &[("a.yaml", &(service("a", "192.0.2.1") + &b))]);
    put(
        &mut store,
        &[("a.yaml", &(service("a", "nonsense") + &service("b", "192.0.2.9")))],
    );
    assert_eq!(frontends(&store), ["192.0.2.1", "192.0.2.9"]);
    assert_eq!(
        lines(&store),
        [
            "a.yaml:2: Service default/a: spec.externalIPs[0]: \"nonsense\" is not an IP address; its last good state stays in force"
        ]
    );
    put(&mut store, &[("a.yaml", &(service("a", "192.0.2.5") + &b))]);
    assert_eq!(frontends(&store), ["192.0.2.2", "192.0.2.5"]);
    assert_eq!(lines(&store), Vec::<String>::new());
}

#[test]
fn a_broken_object_that_never_was_good_is_left_out() {
    let mut store = Store::default();
    put(
        &mut store,
        &[("a.yaml", &(service("a", "nonsense") + &service("b", "192.0.2.2")))],
    );
    assert_eq!(frontends(&store), ["192.0.2.2"]);
    assert_eq!(
        lines(&store),
        [
            "a.yaml:2: Service default/a: spec.externalIPs[0]: \"nonsense\" is not an IP address; until it is mended it is in force without"
        ]
    );
}

#[test]
fn a_broken_object_in_a_removed_file_goes_with_it() {
    let mut store = Store::default();
    put(&mut store, &[("a.yaml", &service("a", "192.0.2.1"))]);
    put(&mut store, &[("a.yaml", &service("a", "nonsense"))]);
    gone(&mut store, "a.yaml");
    assert_eq!(frontends(&store), Vec::<String>::new());
}

#[test]
fn a_file_that_does_not_parse_keeps_its_objects() {
    let mut store = Store::default();
    put(&mut store, &[("a.yaml", &service("a", "192.0.2.1"))]);
    put(&mut store, &[("a.yaml", "kind: [")]);
    assert_eq!(frontends(&store), ["192.0.2.1"]);
    let told = lines(&store);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("a.yaml:") && told[0].ends_with("; the objects that it held stay in force"),
        "{told:?}"
    );
    put(&mut store, &[("a.yaml", &service("a", "192.0.2.7"))]);
    assert_eq!(frontends(&store), ["192.0.2.7"]);
    assert_eq!(lines(&store), Vec::<String>::new());
}

#[test]
fn a_file_that_never_parsed_says_what_is_at_stake() {
    let unknown = |store: &Store| store.unknown().map(ToString::to_string).collect::<Vec<_>>();
    let mut store = Store::default();
    let good = service("a", "192.0.2.1");
    put(&mut store, &[("a.yaml", "kind: ["), ("b.yaml", &good)]);
    assert_eq!(
        lines(&store),
        [
            "a.yaml:1: cannot be read: unclosed bracket '['; nothing of it is in force: policies in it do not hold, so what \
          they forbid is allowed"
        ]
    );
    assert_eq!(unknown(&store), ["a.yaml"]);
    let nameless = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {nmae: p}}";
    put(&mut store, &[("a.yaml", nameless)]);
    assert_eq!(unknown(&store), ["a.yaml"], "nobody knows which policy it is");
    put(&mut store, &[("a.yaml", ""), ("b.yaml", "kind: [")]);
    assert_eq!(
        unknown(&store),
        Vec::<String>::new(),
        "the last good state of b.yaml is in force"
    );
    put(&mut store, &[("b.yaml", nameless)]);
    assert_eq!(unknown(&store), Vec::<String>::new());
    gone(&mut store, "b.yaml");
    put(&mut store, &[("b.yaml", "kind: [")]);
    assert_eq!(unknown(&store), ["b.yaml"], "it is another file");
}

#[test]
fn the_first_file_has_the_object_in_whatever_order_they_come() {
    let (a, b) = (service("s", "192.0.2.1"), service("s", "192.0.2.2"));
    for files in [[("a.yaml", &a), ("b.yaml", &b)], [("b.yaml", &b), ("a.yaml", &a)]] {
        let mut store = Store::default();
        for (name, text) in files {
            put(&mut store, &[(name, text)]);
        }
        assert_eq!(frontends(&store), ["192.0.2.1"]);
        assert_eq!(
            lines(&store),
            ["b.yaml:2: Service default/s: is defined in a.yaml already, which has precedence"]
        );
        gone(&mut store, "a.yaml");
        assert_eq!(frontends(&store), ["192.0.2.2"]);
        assert_eq!(lines(&store), Vec::<String>::new());
    }
}

#[test]
fn the_first_document_has_the_object() {
    let mut store = Store::default();
    put(
        &mut store,
        &[(
            "a.yaml",
            &(service("s", "192.0.2.1") + &service("s", "192.0.2.2")),
        )],
    );
    assert_eq!(frontends(&store), ["192.0.2.1"]);
    assert_eq!(
        lines(&store),
        ["a.yaml:7: Service default/s: is defined in a.yaml:2 already, which has precedence"]
    );
}

#[test]
fn an_object_that_moves_to_another_file_is_never_gone() {
    let mut store = Store::default();
    put(&mut store, &[("a.yaml", &service("s", "192.0.2.1"))]);
    put(
        &mut store,
        &[("a.yaml", ""), ("b.yaml", &service("s", "nonsense"))],
    );
    assert_eq!(
        frontends(&store),
        ["192.0.2.1"],
        "its last good state is from the other file"
    );
}

#[test]
fn a_document_that_cannot_be_told_removes_nothing() {
    let mut store = Store::default();
    put(
        &mut store,
        &[(
            "a.yaml",
            &(service("a", "192.0.2.1") + &service("b", "192.0.2.2")),
        )],
    );
    let nameless = service("a", "192.0.2.1").replace("name: a", "nmae: a");
    put(
        &mut store,
        &[("a.yaml", &(nameless + &service("b", "192.0.2.3")))],
    );
    assert_eq!(frontends(&store), ["192.0.2.1", "192.0.2.3"]);
    assert_eq!(
        lines(&store),
        ["a.yaml:2: metadata.name: is missing; the document is left out"]
    );
    put(&mut store, &[("a.yaml", &service("b", "192.0.2.3"))]);
    assert_eq!(frontends(&store), ["192.0.2.3"]);
}

#[test]
fn what_cannot_be_told_gets_a_line() {
    let line = |text: &str| {
        let mut store = Store::default();
        put(&mut store, &[("a.yaml", text)]);
        lines(&store)
    };
    let left_out = |reason: &str| vec![format!("a.yaml:1: {reason}; the document is left out")];
    assert_eq!(
        line("just text"),
        left_out("is not an object: a manifest has apiVersion, kind and metadata")
    );
    assert_eq!(
        line("- a\n- b"),
        left_out("is not an object: a manifest has apiVersion, kind and metadata")
    );
    assert_eq!(line("apiVersion: v1"), left_out("kind: is missing"));
    assert_eq!(line("kind: Pod"), left_out("apiVersion: is missing"));
    assert_eq!(
        line("{apiVersion: v1, kind: Pod}"),
        left_out("metadata.name: is missing")
    );
    assert_eq!(
        line("{apiVersion: v1, kind: Pod, metadata: {name: 1}}"),
        left_out("metadata.name: must be a string; put it in quotes")
    );
    assert_eq!(
        line("{apiVersion: v1, kind: Pod, metadata: {name: A}}"),
        left_out("metadata.name: \"A\" is not an RFC 1123 subdomain")
    );
    assert_eq!(
        line("{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: a}}"),
        left_out(
            "apiVersion: \"networking.k8s.io/v1beta1\" of Ingress is not read; use \"networking.k8s.io/v1\""
        )
    );
    assert_eq!(
        line("{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: a}}"),
        left_out("apiVersion: \"extensions/v1beta1\" of Ingress is not read; use \"networking.k8s.io/v1\"")
    );
    assert_eq!(
        line("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}"),
        Vec::<String>::new()
    );
    assert_eq!(
        line("{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}}"),
        Vec::<String>::new()
    );
}

#[test]
fn unknown_fields_are_told_and_the_object_is_in_force() {
    let mut store = Store::default();
    let text =
        service("a", "192.0.2.1").replace("[{port: 80}]", "[{port: 80, targetport: 8080}], selectr: {a: b}");
    put(&mut store, &[("a.yaml", &text)]);
    assert_eq!(frontends(&store), ["192.0.2.1"]);
    assert_eq!(
        lines(&store),
        [
            "a.yaml:2: Service default/a: spec.ports[0].targetport: unknown field, ignored",
            "a.yaml:2: Service default/a: spec.selectr: unknown field, ignored",
        ]
    );
}

#[test]
fn only_new_problems_are_news() {
    let mut store = Store::default();
    let mut reporter = crate::problem::Reporter::default();
    let mut news = |store: &Store| {
        let news = reporter.update(store.problems());
        let text = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        (text(news.new), text(news.mended))
    };
    let line = |n| {
        format!(
            "a.yaml:{n}: Service default/a: spec.externalIPs[0]: \"x\" is not an IP address; until it is mended it is in force without"
        )
    };
    put(&mut store, &[("a.yaml", &service("a", "x"))]);
    assert_eq!(news(&store), (vec![line(2)], vec![]));
    put(
        &mut store,
        &[("a.yaml", &("\n\n".to_owned() + &service("a", "x")))],
    );
    assert_eq!(news(&store), (vec![], vec![]), "the same on another line");
    put(&mut store, &[("a.yaml", "")]);
    assert_eq!(news(&store), (vec![], vec![line(4)]));
}

/// What `default/p` allows, as (direction, number of subjects, number of rules).
fn policies(store: &Store) -> Vec<(Direction, usize, usize)> {
    let result = compiled_store(store, &settings());
    let policies = result.policies().into_iter();
    policies
        .map(|p| {
            let endpoints = result.endpoints();
            let subjects = endpoints.iter().filter(|e| e.groups.contains(&p.subjects));
            (p.direction, subjects.count(), p.rules.len())
        })
        .collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn a_policy_that_never_was_good_allows_nothing() {
    let pods: String = ["a", "b"]
        .iter()
        .enumerate()
        .map(|(i, name)| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nstatus: {{podIP: 10.0.0.{i}}}\n"))
        .collect();
    let policy = |spec: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
        )
    };
    let closed = |spec: &str| {
        let mut store = Store::default();
        put(&mut store, &[("p.yaml", &policy(spec)), ("pods.yaml", &pods)]);
        assert!(
            lines(&store)[0].ends_with("; until it is mended it allows nothing to the pods that it selects")
        );
        policies(&store)
    };
    use Direction::{Egress, Ingress};
    let bad = "ingress: [{ports: [{endPort: 1}]}]";
    assert_eq!(
        closed(&format!("{{podSelector: {{matchLabels: {{app: a}}}}, {bad}}}")),
        [(Ingress, 1, 0)]
    );
    assert_eq!(
        closed(&format!("{{podSelector: {{}}, {bad}, egress: [{{}}]}}")),
        [(Ingress, 2, 0), (Egress, 2, 0)]
    );
    assert_eq!(
        closed(&format!(
            "{{podSelector: {{}}, {bad}, policyTypes: [Ingress], egress: [{{}}]}}"
        )),
        [(Ingress, 2, 0)]
    );
    assert_eq!(
        closed("{podSelector: {matchLabels: {app: 1}}}"),
        [(Ingress, 2, 0)],
        "nobody knows which pods"
    );
    assert_eq!(
        closed("{podSelector: {}, policyTypes: [ingress]}"),
        [(Ingress, 2, 0), (Egress, 2, 0)]
    );
    assert_eq!(closed("nonsense"), [(Ingress, 2, 0)]);

    let mut store = Store::default();
    put(
        &mut store,
        &[
            ("p.yaml", &policy("{podSelector: {}, ingress: [{}]}")),
            ("pods.yaml", &pods),
        ],
    );
    put(
        &mut store,
        &[("p.yaml", &policy(&format!("{{podSelector: {{}}, {bad}}}")))],
    );
    assert_eq!(policies(&store), [(Ingress, 2, 1)], "the last good state");
    gone(&mut store, "p.yaml");
    put(
        &mut store,
        &[("p.yaml", &policy(&format!("{{podSelector: {{}}, {bad}}}")))],
    );
    assert_eq!(policies(&store), [(Ingress, 2, 0)]);
    put(
        &mut store,
        &[(
            "p.yaml",
            &policy("{podSelector: {matchLabels: {app: a}}, policyTypes: [x]}"),
        )],
    );
    assert_eq!(
        policies(&store),
        [(Ingress, 1, 0), (Egress, 1, 0)],
        "closed in its newest form"
    );
    put(
        &mut store,
        &[("p.yaml", &policy("{podSelector: {}, ingress: [{}]}"))],
    );
    assert_eq!(policies(&store), [(Ingress, 2, 1)]);
}

/// Every kind that is read, with most of the fields that are.
const EVERYTHING: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: blue}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.244.1.1, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, externalIPs: [198.51.100.1], ports: [{port: 80, targetPort: http}], sessionAffinity: ClientIP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{port: 5432}]
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: headgate}
spec: {controller: headgate.dev/ingress}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec: {ingressClassName: headgate, tls: [{hosts: [a.example.com], secretName: cert}], rules: [{host: a.example.com,
  http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: AAAA, tls.key: AAAA}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24,
  except: [192.0.2.128/25]}}, {namespaceSelector: {}}], ports: [{port: http}, {port: 1, endPort: 2}]}], egress: [{}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec: {tier: Admin, priority: 10, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}, ingress:
  [{name: n, action: Pass, from: [{namespaces: {matchLabels: {team: blue}}}], protocols: [{destinationNamedPort: http}]}],
  egress: [{action: Deny, to: [{nodes: {}}, {networks: [192.0.2.0/24]}], protocols: [{tcp: {destinationPort: {number: 80}}},
  {udp: {destinationPort: {range: {start: 1, end: 9}}}}]}]}
---
apiVersion: v1
kind: Node
metadata: {name: edge-1, labels: {role: edge}}
status: {addresses: [{type: InternalIP, address: 192.0.2.7}]}
";

proptest! {
    /// However a manifest is mutilated: no panic, whole lines, and nothing worse than last good states.
    #[test]
    fn any_mutilated_manifest_is_survived(
        cut in 0..EVERYTHING.len() * 2,
        changes in prop::collection::vec((0..EVERYTHING.len(), 0..128u8), 0..4),
    ) {
        let mut bytes = EVERYTHING.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        let mut store = Store::default();
        put(&mut store, &[("a.yaml", EVERYTHING)]);
        put(&mut store, &[("a.yaml", &String::from_utf8_lossy(&bytes))]);
        let mut told = lines(&store);
        told.extend(compiled_store(&store, &settings()).lines);
        for line in told {
            prop_assert!(!line.contains(char::is_control), "{:?}", line);
        }
    }
}

#[test]
fn a_service_without_any_good_address_is_in_force_without() {
    let backend = "backend: {service: {name: a, port: {number: 80}}}";
    let ingress = format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i}}\nspec: {{ingressClassName: headgate, \
         rules: [{{http: {{paths: [{{path: /, pathType: Prefix, {backend}}}]}}}}]}}\n"
    );
    let mut store = Store::default();
    put(&mut store, &[("a.yaml", &(service("a", "nonsense") + &ingress))]);
    assert_eq!(frontends(&store), Vec::<String>::new());
    assert_eq!(compiled_store(&store, &settings()).lines, Vec::<String>::new());
    assert_eq!(
        lines(&store),
        [
            "a.yaml:2: Service default/a: spec.externalIPs[0]: \"nonsense\" is not an IP address; until it is mended it is in force without"
        ]
    );
}

#[test]
fn config_maps_are_kept_if_something_names_them() {
    use crate::model::{Id, Kind, ObjectName};
    let map = |name: &str| {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: v}}\n")
    };
    let mut store = Store::keeping([ObjectName::new("default", "a")].into_iter().collect());
    put(&mut store, &[("m.yaml", &(map("a") + &map("b")))]);
    let kept = |name: &str| match store
        .model()
        .get(&Id::new(Kind::ConfigMap, ObjectName::new("default", name)))
    {
        Some(object) => matches!(&**object, crate::model::Object::ConfigMap(Some(_))),
        None => panic!("{name} is not known"),
    };
    assert!(kept("a") && !kept("b"));
}
