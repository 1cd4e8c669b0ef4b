use headgate_ring::message::{Action, Direction, Policy, Tier};

use super::policies::{NONE, members, pod, rule, texts};
use crate::testing::{Result, compiled};

fn namespace(name: &str, team: &str) -> String {
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{team: {team}}}}}\n")
}

fn node(name: &str, role: &str, addresses: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{role: {role}}}}}\n\
         status: {{addresses: [{addresses}]}}\n"
    )
}

/// Two namespaces of different teams, four pods, and one of the host's network, on two nodes.
fn cluster() -> String {
    namespace("shop", "red")
        + &namespace("other", "blue")
        + &pod("a", "shop", "app: web", 8080, "10.0.0.1")
        + &pod("b", "shop", "app: web", 8081, "10.0.0.2")
        + &pod("db", "shop", "app: db", 5432, "10.0.0.3")
        + &pod("c", "other", "app: web", 8080, "10.0.1.1")
        + &pod("host", "shop", "app: web", 9999, "192.0.2.1").replace("spec: {", "spec: {hostNetwork: true, ")
        + &node(
            "edge-1",
            "edge",
            "{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: '2001:db8::1'}",
        )
        + &node("work-1", "work", "{type: InternalIP, address: 192.0.2.2}")
        + &node("new-1", "work", "")
}

fn manifest(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{{spec}}}\n"
    )
}

const HEAD: &str = "tier: Admin, priority: 7";
const SHOP: &str = "subject: {namespaces: {matchLabels: {team: red}}}";

/// What a policy for the pods of the shop makes.
fn made(rules: &str) -> Result {
    compiled(&(cluster() + &manifest("guard", &format!("{HEAD}, {SHOP}, {rules}"))))
}

/// `ACTION NUMBER subjects | peers : ports` of the rules of the only policy.
fn rules_of(result: &Result) -> Vec<String> {
    let policies = result.policies();
    assert_eq!(policies.len(), 1, "{policies:?}");
    let line = |r| rule(result, r);
    let rules = policies[0].rules.iter();
    rules
        .map(|r| format!("{:?} {} {}", r.action, r.number, line(r)))
        .collect()
}

fn rules(text: &str) -> Vec<String> {
    rules_of(&made(text))
}

/// The rules of a Deny to these peers.
fn to(peers: &str) -> Vec<String> {
    rules(&format!("egress: [{{action: Deny, to: [{peers}]}}]"))
}

#[test]
fn every_direction_with_rules_is_a_policy() {
    let head = |p: &Policy| (p.name.clone(), p.tier, p.priority, p.direction);
    let deny = "action: Deny";
    let all = format!(
        "ingress: [{{{deny}, from: [{{namespaces: {{}}}}]}}], egress: [{{{deny}, to: [{{nodes: {{}}}}]}}]"
    );
    let heads = |result: &Result| result.policies().into_iter().map(head).collect::<Vec<_>>();
    let of = |direction| ("guard".to_owned(), Tier::Admin, 7, direction);
    assert_eq!(
        heads(&made(&all)),
        [of(Direction::Ingress), of(Direction::Egress)]
    );
    assert_eq!(heads(&made("ingress: [], egress: []")), []);
    let baseline = format!(
        "tier: Baseline, priority: 1000, {SHOP}, ingress: [{{{deny}, from: [{{namespaces: {{}}}}]}}]"
    );
    let result = compiled(&(cluster() + &manifest("low", &baseline)));
    assert_eq!(
        heads(&result),
        [("low".to_owned(), Tier::Baseline, 1000, Direction::Ingress)]
    );
}

#[test]
fn subjects_are_pods_of_any_namespace() {
    let of = |subject: &str| {
        let rest =
            format!("{HEAD}, subject: {subject}, ingress: [{{action: Deny, from: [{{namespaces: {{}}}}]}}]");
        let result = compiled(&(cluster() + &manifest("guard", &rest)));
        texts(members(&result, result.policies()[0].subjects))
    };
    let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"];
    assert_eq!(of("{namespaces: {}}"), all, "and none of the host's network");
    assert_eq!(of("{pods: {podSelector: {}}}"), all);
    assert_eq!(of("{namespaces: {matchLabels: {team: blue}}}"), ["10.0.1.1"]);
    assert_eq!(
        of("{namespaces: {matchLabels: {kubernetes.io/metadata.name: other}}}"),
        ["10.0.1.1"]
    );
    let web = "podSelector: {matchLabels: {app: web}}";
    assert_eq!(
        of(&format!("{{pods: {{{web}}}}}")),
        ["10.0.0.1", "10.0.0.2", "10.0.1.1"]
    );
    let red = "namespaceSelector: {matchLabels: {team: red}}";
    assert_eq!(
        of(&format!("{{pods: {{{red}, {web}}}}}")),
        ["10.0.0.1", "10.0.0.2"]
    );
    assert_eq!(of("{namespaces: {matchLabels: {team: green}}}"), NONE);
}

#[test]
fn peers() {
    assert_eq!(
        to("{namespaces: {}}"),
        ["Deny 0 10.0.0.1 10.0.0.2 10.0.0.3 10.0.1.1 : *"]
    );
    assert_eq!(
        to("{pods: {podSelector: {matchLabels: {app: web}}}}"),
        ["Deny 0 10.0.0.1 10.0.0.2 10.0.1.1 : *"]
    );
    assert_eq!(to("{nodes: {}}"), ["Deny 0 192.0.2.1 192.0.2.2 2001:db8::1 : *"]);
    assert_eq!(
        to("{nodes: {matchLabels: {role: work}}}"),
        ["Deny 0 192.0.2.2 : *"]
    );
    assert_eq!(
        to("{networks: [10.0.0.7/24, '2001:db8::/32']}, {namespaces: {matchLabels: {team: blue}}}"),
        ["Deny 0 10.0.0.0/24 2001:db8::/32 10.0.1.1 : *"]
    );
    assert_eq!(
        to("{namespaces: {matchLabels: {team: green}}}"),
        ["Deny 0  : *"],
        "nobody is not anybody"
    );
}

#[test]
fn nodes_are_endpoints_without_a_namespace() {
    let result = made("egress: [{action: Deny, to: [{nodes: {matchLabels: {role: edge}}}, {nodes: {}}]}]");
    let nodes: Vec<_> = result
        .endpoints()
        .into_iter()
        .filter(|e| !e.name.contains('/'))
        .collect();
    let names: Vec<_> = nodes.iter().map(|e| (e.name.as_str(), e.groups.len())).collect();
    assert_eq!(
        names,
        [("edge-1", 2), ("work-1", 1)],
        "a node without an address is none"
    );
    assert_eq!(texts(&nodes[0].addresses), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(nodes[0].labels, [("role".to_owned(), "edge".to_owned())]);
    let mut groups: Vec<_> = result.groups().into_iter().map(|g| g.text.as_str()).collect();
    groups.sort_unstable();
    assert_eq!(
        groups,
        [
            "all nodes",
            "all pods in namespaces with team=red",
            "nodes with role=edge"
        ]
    );
}

#[test]
fn nodes_and_namespaces_with_the_same_labels_are_different_groups() {
    let result = made(
        "egress: [{action: Deny, to: [{nodes: {matchLabels: {team: red}}}, {namespaces: {matchLabels: {team: red}}}]}]",
    );
    assert_eq!(result.groups().len(), 2, "one of nodes, one of pods");
    assert_eq!(rules_of(&result), ["Deny 0 10.0.0.1 10.0.0.2 10.0.0.3 : *"]);
}

#[test]
fn ports() {
    let of = |ports: &str| {
        rules(&format!(
            "egress: [{{action: Pass, to: [{{networks: ['::/0']}}], protocols: [{ports}]}}]"
        ))
    };
    assert_eq!(
        of("{tcp: {destinationPort: {number: 80}}}"),
        ["Pass 0 ::/0 : TCP/80-80"]
    );
    assert_eq!(
        of("{udp: {destinationPort: {range: {start: 1, end: 9}}}}, {sctp: {}}"),
        ["Pass 0 ::/0 : UDP/1-9 SCTP/0-65535"]
    );
}

#[test]
fn the_parts_of_a_rule_stand_together() {
    let result = made(
        "ingress: [{name: first, action: Pass, from: [{namespaces: {matchLabels: {team: blue}}}],
          protocols: [{destinationNamedPort: http}, {tcp: {destinationPort: {number: 22}}}, {destinationNamedPort: none}]},
          {action: Deny, from: [{namespaces: {}}]}]",
    );
    let expected = [
        "Pass 0 10.0.1.1 : TCP/22-22",
        "Pass 0 10.0.0.3 | 10.0.1.1 : TCP/5432-5432",
        "Pass 0 10.0.0.1 | 10.0.1.1 : TCP/8080-8080",
        "Pass 0 10.0.0.2 | 10.0.1.1 : TCP/8081-8081",
        "Deny 1 10.0.0.1 10.0.0.2 10.0.0.3 10.0.1.1 : *",
    ];
    assert_eq!(rules_of(&result), expected);
    let names: Vec<_> = result.policies()[0]
        .rules
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["first", "first", "first", "first", ""]);
}

#[test]
fn egress_resolves_port_names_at_the_peers() {
    let rule = "action: Accept, to: [{pods: {podSelector: {matchLabels: {app: web}}}}, {namespaces: {matchLabels: \
                {team: red}}}], protocols: [{destinationNamedPort: http}]";
    assert_eq!(
        rules(&format!("egress: [{{{rule}}}]")),
        [
            "Accept 0 10.0.0.3 : TCP/5432-5432",
            "Accept 0 10.0.0.1 10.0.1.1 : TCP/8080-8080",
            "Accept 0 10.0.0.2 : TCP/8081-8081",
        ]
    );
    let nobody = "action: Accept, to: [{namespaces: {}}], protocols: [{destinationNamedPort: none}]";
    assert_eq!(rules(&format!("egress: [{{{nobody}}}]")), NONE);
}

#[test]
fn a_port_name_is_that_of_any_protocol() {
    let port = |name: &str, address: &str, protocol: &str| {
        pod(name, "other", "", 53, address).replace("name: http", &format!("name: dns, protocol: {protocol}"))
    };
    let pods = port("u", "10.0.2.1", "UDP") + &port("t", "10.0.2.2", "TCP") + &port("s", "10.0.2.3", "SCTP");
    let rule = "action: Accept, to: [{namespaces: {}}], protocols: [{destinationNamedPort: dns}]";
    let text = manifest("guard", &format!("{HEAD}, {SHOP}, egress: [{{{rule}}}]"));
    assert_eq!(
        rules_of(&compiled(&(cluster() + &pods + &text))),
        [
            "Accept 0 10.0.2.2 : TCP/53-53",
            "Accept 0 10.0.2.1 : UDP/53-53",
            "Accept 0 10.0.2.3 : SCTP/53-53",
        ]
    );
}

#[test]
fn rules_that_fail_closed_keep_their_place() {
    let text = manifest(
        "guard",
        &format!(
            "{HEAD}, {SHOP}, egress: [{{action: Accept, to: [{{}}]}}, {{action: Accept, to: [{{nodes: {{}}}}]}}, \
             {{name: odd, action: Pass, to: [{{}}]}}]"
        ),
    );
    let mut store = crate::source::store::Store::default();
    crate::testing::put(&mut store, &[("f.yaml", &(cluster() + &text))]);
    let result = crate::testing::compiled_store(&store, &crate::testing::settings());
    assert_eq!(
        rules_of(&result),
        ["Accept 1 192.0.2.1 192.0.2.2 2001:db8::1 : *", "Deny 2 * : *"]
    );
    let last = &result.policies()[0].rules[1];
    assert_eq!((last.action, last.name.as_str()), (Action::Deny, "odd"));
}
