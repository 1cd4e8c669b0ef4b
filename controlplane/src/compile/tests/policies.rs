use headgate_ring::message::{Direction, Policy, PolicyRule};

use crate::testing::compiled;

/// A pod with labels, a port named `http`, and an address.
fn pod(name: &str, namespace: &str, labels: &str, http: u16, address: &str) -> String {
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

/// The policies that a NetworkPolicy `shop/p` with this spec makes among those pods.
fn policies(spec: &str) -> Vec<Policy> {
    let policy = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec: {spec}\n"
    );
    compiled(&(policy + &pods()))
        .policies()
        .into_iter()
        .cloned()
        .collect()
}

fn subjects(policy: &Policy) -> Vec<String> {
    policy.subjects.iter().map(ToString::to_string).collect()
}

/// `peers : ports`, `*` where either is any.
fn rule(rule: &PolicyRule) -> String {
    let peers = rule.peers.as_ref().map_or("*".to_owned(), |peers| {
        let peer = |p: &headgate_ring::message::Peer| {
            let except: String = p.except.iter().map(|e| format!("-{e}")).collect();
            format!("{}{except}", p.block)
        };
        peers.iter().map(peer).collect::<Vec<_>>().join(" ")
    });
    let ports = rule.ports.as_ref().map_or("*".to_owned(), |ports| {
        ports
            .iter()
            .map(|p| format!("{:?}/{}-{}", p.protocol, p.first, p.last))
            .collect::<Vec<_>>()
            .join(" ")
    });
    format!("{peers} : {ports}")
}

/// The rules of the only policy.
fn rules(spec: &str) -> Vec<String> {
    let policies = policies(spec);
    assert_eq!(policies.len(), 1, "{policies:?}");
    policies[0].rules.iter().map(rule).collect()
}

/// The rules of an ingress from this peer.
fn from(peer: &str) -> Vec<String> {
    rules(&format!("{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}"))
}

const NONE: [&str; 0] = [];

#[test]
fn subjects_are_pods_of_the_namespace() {
    let of = |selector: &str| subjects(&policies(&format!("{{podSelector: {selector}}}"))[0]);
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
    let policy = result.policies()[0];
    assert_eq!(subjects(policy), ["10.0.0.4", "fd00::4"]);
    assert_eq!(
        policy.rules.iter().map(rule).collect::<Vec<_>>(),
        ["10.0.0.4/32 fd00::4/128 : *"]
    );
}

#[test]
fn directions() {
    let of = |rest: &str| {
        let policies = policies(&format!("{{podSelector: {{}}{rest}}}"));
        policies
            .into_iter()
            .map(|p| (p.direction, p.rules.len()))
            .collect::<Vec<_>>()
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
    assert_eq!(
        from("{podSelector: {}}"),
        ["10.0.0.1/32 10.0.0.2/32 10.0.0.3/32 : *"]
    );
    assert_eq!(
        from("{podSelector: {matchLabels: {app: db}}}"),
        ["10.0.0.3/32 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {}}"),
        ["10.0.0.1/32 10.0.0.2/32 10.0.0.3/32 10.0.1.1/32 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {matchLabels: {team: blue}}}"),
        ["10.0.1.1/32 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}"),
        ["10.0.0.1/32 10.0.0.2/32 10.0.1.1/32 : *"]
    );
    assert_eq!(
        from("{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: db}}}"),
        ["10.0.0.3/32 10.0.1.1/32 : *"],
        "two peers are either, not both"
    );
    assert_eq!(
        from("{podSelector: {matchLabels: {app: nobody}}}"),
        NONE,
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
    assert_eq!(named("other"), ["10.0.1.1/32 : *"]);
    assert_eq!(
        named("shop"),
        ["10.0.0.1/32 10.0.0.2/32 10.0.0.3/32 : *"],
        "without a Namespace object"
    );
    assert_eq!(named("nowhere"), NONE);
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
        ["0.0.0.0/0 10.0.0.3/32 : *"]
    );
}

#[test]
fn ports() {
    let of = |ports: &str| rules(&format!("{{podSelector: {{}}, ingress: [{{ports: [{ports}]}}]}}"));
    assert_eq!(of("{port: 80}"), ["* : Tcp/80-80"]);
    assert_eq!(of("{protocol: UDP, port: 53}"), ["* : Udp/53-53"]);
    assert_eq!(of("{protocol: SCTP}"), ["* : Sctp/0-65535"]);
    assert_eq!(
        of("{port: 8000, endPort: 8999}, {port: 80}"),
        ["* : Tcp/8000-8999 Tcp/80-80"]
    );
}

#[test]
fn subjects_with_different_numbers_for_a_port_name_are_several_policies() {
    let made = policies(
        "{podSelector: {}, ingress: [{ports: [{port: http}, {port: 22}]}, {ports: [{port: nope}]}]}",
    );
    let made: Vec<_> = made
        .iter()
        .map(|p| {
            (
                p.name.as_str(),
                subjects(p),
                p.rules.iter().map(rule).collect::<Vec<_>>(),
            )
        })
        .collect();
    let of =
        |name, subject: &str, ports: &str| (name, vec![subject.to_owned()], vec![format!("* : {ports}")]);
    assert_eq!(
        made,
        [
            of("shop/p", "10.0.0.1", "Tcp/8080-8080 Tcp/22-22"),
            of("shop/p#2", "10.0.0.2", "Tcp/8081-8081 Tcp/22-22"),
            of("shop/p#3", "10.0.0.3", "Tcp/5432-5432 Tcp/22-22"),
        ]
    );
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
            "192.0.2.0/24 10.0.0.1/32 10.0.0.2/32 : Udp/53-53",
            "10.0.0.1/32 : Tcp/8080-8080",
            "10.0.0.2/32 : Tcp/8081-8081"
        ]
    );
    assert_eq!(
        rules("{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"),
        [
            "10.0.0.3/32 : Tcp/5432-5432",
            "10.0.0.1/32 10.0.1.1/32 : Tcp/8080-8080",
            "10.0.0.2/32 : Tcp/8081-8081"
        ],
        "any peer: every pod with such a port"
    );
}
