use std::collections::BTreeSet;
use std::net::IpAddr;

use headgate_ring::message::{Direction, GroupId, Peer, PolicyRule, PortRange};

use crate::testing::{Result, compiled};

/// A pod with labels, a port named `http`, and an address.
pub(super) fn pod(name: &str, namespace: &str, labels: &str, http: u16, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
         spec: {{containers: [{{name: c, ports: [{{name: http, containerPort: {http}}}]}}]}}\n\
         status: {{podIP: {address}}}\n"
    )
}

fn pods() -> String {
    pod("a", "shop", "app: web", 8080, "10.0.0.1")
        + &pod("b", "shop", "app: web, canary: 'yes'", 8081, "10.0.0.2")
        + &pod("db", "shop", "app: db", 5432, "10.0.0.3")
        + &pod("c", "other", "app: web", 8080, "10.0.1.1")
        + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: blue}}\n"
}

/// What a NetworkPolicy `shop/p` with this spec makes among those pods.
fn made(spec: &str) -> Result {
    let policy = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec: {spec}\n"
    );
    compiled(&(policy + &pods()))
}

/// The addresses in a group, sorted.
pub(super) fn members(result: &Result, group: GroupId) -> BTreeSet<IpAddr> {
    let endpoints = result.endpoints();
    let inside = endpoints.into_iter().filter(|e| e.groups.contains(&group));
    inside.flat_map(|e| e.addresses.iter().copied()).collect()
}

pub(super) fn texts<T: ToString>(list: impl IntoIterator<Item = T>) -> Vec<String> {
    list.into_iter().map(|x| x.to_string()).collect()
}

/// The subjects of the first policy.
fn subjects(result: &Result) -> Vec<String> {
    texts(members(result, result.policies()[0].subjects))
}

/// `subjects | peers : ports`, `*` where peers or ports are any; without subjects where the rule is for all of them.
pub(super) fn rule(result: &Result, rule: &PolicyRule) -> String {
    let only = rule.only.map_or(String::new(), |group| {
        format!("{} | ", texts(members(result, group)).join(" "))
    });
    let peers = rule.peers.as_ref().map_or("*".to_owned(), |peers| {
        let (mut blocks, mut pods) = (Vec::new(), BTreeSet::new());
        for peer in peers {
            match peer {
                Peer::Block { block, except } => {
                    let except: String = except.iter().map(|e| format!("-{e}")).collect();
                    blocks.push(format!("{block}{except}"));
                }
                Peer::Group(group) => pods.extend(members(result, *group)),
            }
        }
        blocks.extend(texts(pods));
        blocks.join(" ")
    });
    let range = |p: &PortRange| format!("{}/{}-{}", p.protocol, p.first, p.last);
    let ports = rule.ports.as_ref().map_or("*".to_owned(), |ports| {
        ports.iter().map(range).collect::<Vec<_>>().join(" ")
    });
    format!("{only}{peers} : {ports}")
}

/// The rules of the only policy.
fn rules(spec: &str) -> Vec<String> {
    let result = made(spec);
    let policies = result.policies();
    assert_eq!(policies.len(), 1, "{policies:?}");
    policies[0].rules.iter().map(|r| rule(&result, r)).collect()
}

/// The rules of an ingress from this peer.
fn from(peer: &str) -> Vec<String> {
    rules(&format!("{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}"))
}

pub(super) const NONE: [&str; 0] = [];

#[test]
fn subjects_are_pods_of_the_namespace() {
    let of = |selector: &str| subjects(&made(&format!("{{podSelector: {selector}}}")));
    assert_eq!(of("{}"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(of("{matchLabels: {app: web}}"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(of("{matchLabels: {app: nobody}}"), NONE);
    assert_eq!(
        of("{matchExpressions: [{key: app, operator: In, values: [db, x]}]}"),
        ["10.0.0.3"]
    );
    assert_eq!(
        of("{matchExpressions: [{key: app, operator: NotIn, values: [db]}]}"),
        ["10.0.0.1", "10.0.0.2"]
    );
    assert_eq!(
        of("{matchExpressions: [{key: canary, operator: NotIn, values: ['yes']}]}"),
        ["10.0.0.1", "10.0.0.3"]
    );
    assert_eq!(
        of("{matchExpressions: [{key: canary, operator: Exists}]}"),
        ["10.0.0.2"]
    );
    assert_eq!(
        of("{matchExpressions: [{key: canary, operator: DoesNotExist}]}"),
        ["10.0.0.1", "10.0.0.3"]
    );
    let both = "{matchLabels: {app: web}, matchExpressions: [{key: canary, operator: Exists}]}";
    assert_eq!(of(both), ["10.0.0.2"]);
}

#[test]
fn pods_without_an_address_of_their_own_are_left_out() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\n\
                  spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}\n";
    let host = pod("h", "shop", "", 80, "192.0.2.1").replace("spec: {", "spec: {hostNetwork: true, ");
    let finished = pod("f", "shop", "", 80, "10.0.0.9").replace("{podIP", "{phase: Succeeded, podIP");
    let pending = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop}\n";
    let dual = "{podIP: 10.0.0.4, podIPs: [{ip: 10.0.0.4}, {ip: 'fd00::4'}]}";
    let dual = pod("d", "shop", "", 80, "10.0.0.4").replace("{podIP: 10.0.0.4}", dual);
    let result = compiled(&(policy.to_owned() + &host + &finished + pending + &dual));
    assert_eq!(subjects(&result), ["10.0.0.4", "fd00::4"]);
    assert_eq!(
        rule(&result, &result.policies()[0].rules[0]),
        "10.0.0.4 fd00::4 : *"
    );
    let names: Vec<_> = result.endpoints().into_iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["shop/d"]);
}

#[test]
fn directions() {
    let of = |rest: &str| {
        let result = made(&format!("{{podSelector: {{}}{rest}}}"));
        let policies = result.policies().into_iter();
        policies.map(|p| (p.direction, p.rules.len())).collect::<Vec<_>>()
    };
    use Direction::{Egress, Ingress};
    assert_eq!(of(""), [(Ingress, 0)]);
    assert_eq!(of(", ingress: []"), [(Ingress, 0)]);
    assert_eq!(
        of(", egress: []"),
        [(Ingress, 0)],
        "as the API server defaults it"
    );
    assert_eq!(of(", egress: [{}]"), [(Ingress, 0), (Egress, 1)]);
    assert_eq!(of(", policyTypes: [Egress]"), [(Egress, 0)]);
    assert_eq!(of(", policyTypes: [Egress], ingress: [{}]"), [(Egress, 0)]);
    assert_eq!(
        of(", policyTypes: [Ingress, Egress], egress: []"),
        [(Ingress, 0), (Egress, 0)]
    );
    assert_eq!(of(", policyTypes: [Ingress], egress: [{}]"), [(Ingress, 0)]);
}

#[test]
fn missing_and_empty_lists_allow_anything() {
    assert_eq!(rules("{podSelector: {}, ingress: [{}]}"), ["* : *"]);
    assert_eq!(
        rules("{podSelector: {}, ingress: [{from: [], ports: []}]}"),
        ["* : *"]
    );
    assert_eq!(rules("{podSelector: {}, ingress: []}"), NONE);
}

#[test]
fn peers() {
    assert_eq!(from("{podSelector: {}}"), ["10.0.0.1 10.0.0.2 10.0.0.3 : *"]);
    assert_eq!(from("{podSelector: {matchLabels: {app: db}}}"), ["10.0.0.3 : *"]);
    assert_eq!(
        from("{namespaceSelector: {}}"),
        ["10.0.0.1 10.0.0.2 10.0.0.3 10.0.1.1 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {matchLabels: {team: blue}}}"),
        ["10.0.1.1 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}"),
        ["10.0.0.1 10.0.0.2 10.0.1.1 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: db}}}"),
        ["10.0.0.3 10.0.1.1 : *"],
        "two peers are either, not both"
    );
    assert_eq!(
        from("{podSelector: {matchLabels: {app: nobody}}}"),
        [" : *"],
        "nobody is not anybody"
    );
}

#[test]
fn every_namespace_has_its_name_as_a_label() {
    let named = |name: &str| {
        from(&format!(
            "{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}"
        ))
    };
    assert_eq!(named("other"), ["10.0.1.1 : *"]);
    assert_eq!(
        named("shop"),
        ["10.0.0.1 10.0.0.2 10.0.0.3 : *"],
        "without a Namespace object"
    );
    assert_eq!(named("nowhere"), [" : *"]);
}

#[test]
fn blocks() {
    assert_eq!(
        from("{ipBlock: {cidr: 192.0.2.7/24, except: [192.0.2.0/28, 192.0.2.128/25]}}"),
        ["192.0.2.0/24-192.0.2.0/28-192.0.2.128/25 : *"]
    );
    assert_eq!(
        from("{ipBlock: {cidr: '2001:db8::/32', except: ['2001:db8:1::/48']}}"),
        ["2001:db8::/32-2001:db8:1::/48 : *"]
    );
    assert_eq!(
        from("{podSelector: {matchLabels: {app: db}}}, {ipBlock: {cidr: 0.0.0.0/0}}"),
        ["0.0.0.0/0 10.0.0.3 : *"]
    );
}

#[test]
fn ports() {
    let of = |ports: &str| rules(&format!("{{podSelector: {{}}, ingress: [{{ports: [{ports}]}}]}}"));
    assert_eq!(of("{port: 80}"), ["* : TCP/80-80"]);
    assert_eq!(of("{protocol: UDP, port: 53}"), ["* : UDP/53-53"]);
    assert_eq!(of("{protocol: SCTP}"), ["* : SCTP/0-65535"]);
    assert_eq!(
        of("{port: 8000, endPort: 8999}, {port: 80}"),
        ["* : TCP/8000-8999 TCP/80-80"]
    );
}

#[test]
fn subjects_with_different_numbers_for_a_port_name_have_rules_of_their_own() {
    let spec = "{podSelector: {}, ingress: [{ports: [{port: http}, {port: 22}]}, {ports: [{port: nope}]}]}";
    assert_eq!(
        rules(spec),
        [
            "* : TCP/22-22",
            "10.0.0.3 | * : TCP/5432-5432",
            "10.0.0.1 | * : TCP/8080-8080",
            "10.0.0.2 | * : TCP/8081-8081",
        ]
    );
    let result = made(spec);
    assert!(result.policies()[0].rules.iter().all(|r| r.number == 0));
}

#[test]
fn a_port_name_of_another_protocol_is_another_port() {
    assert_eq!(
        rules("{podSelector: {}, ingress: [{ports: [{port: http, protocol: UDP}]}]}"),
        NONE
    );
}

#[test]
fn egress_resolves_port_names_at_the_peers() {
    let spec = "{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: \
                {matchLabels: {app: web}}}, {ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: http}, {port: 53, protocol: UDP}]}]}";
    assert_eq!(
        rules(spec),
        [
            "192.0.2.0/24 10.0.0.1 10.0.0.2 : UDP/53-53",
            "10.0.0.1 : TCP/8080-8080",
            "10.0.0.2 : TCP/8081-8081"
        ]
    );
    assert_eq!(
        rules("{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"),
        [
            "10.0.0.3 : TCP/5432-5432",
            "10.0.0.1 10.0.1.1 : TCP/8080-8080",
            "10.0.0.2 : TCP/8081-8081"
        ],
        "any peer: every pod with such a port"
    );
    assert_eq!(
        rules(
            "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24, except: \
             [10.0.0.2/32]}}], ports: [{port: http}]}]}"
        ),
        ["10.0.0.3/32 : TCP/5432-5432", "10.0.0.1/32 : TCP/8080-8080"],
        "a block means pods by their addresses, and pods have ports with names"
    );
}

#[test]
fn groups_are_named_by_what_they_select() {
    let groups = |selector: &str| {
        let result = made(&format!("{{podSelector: {selector}}}"));
        let groups = result.groups();
        assert_eq!(groups.len(), 1);
        (groups[0].id, groups[0].text.clone())
    };
    let (one, text) = groups("{matchLabels: {b: x, a: v}}");
    assert_eq!(text, "pods with a=v,b=x in namespace shop");
    let other =
        "{matchExpressions: [{key: b, operator: In, values: [x]}, {key: a, operator: In, values: [v, v]}]}";
    assert_eq!(groups(other).0, one, "the same in other words");
    assert_ne!(groups("{matchLabels: {b: x}}").0, one);
    assert_eq!(groups("{}").1, "all pods in namespace shop");
    let odd =
        "{matchExpressions: [{key: a, operator: NotIn, values: [w, v]}, {key: c, operator: DoesNotExist}]}";
    assert_eq!(groups(odd).1, "pods with a notin (v,w),!c in namespace shop");
}
