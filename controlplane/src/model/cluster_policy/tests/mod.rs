mod closed;
mod refused;

use super::*;
use crate::source::store::Store;
use crate::testing::{lines, put};

/// A ClusterNetworkPolicy with this spec.
fn manifest(spec: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: x}}\nspec: {spec}\n"
    )
}

/// The policy of a store with this manifest alone, and the store's lines.
fn read(manifest: &str) -> (Option<ClusterPolicy>, Vec<String>) {
    let mut store = Store::default();
    put(&mut store, &[("f.yaml", manifest)]);
    let told = lines(&store)
        .iter()
        .map(|line| {
            let text = line.strip_prefix("f.yaml:1: ClusterNetworkPolicy x: ");
            text.unwrap_or_else(|| panic!("{line}")).to_owned()
        })
        .collect();
    (the_policy(&store), told)
}

fn the_policy(store: &Store) -> Option<ClusterPolicy> {
    let policy = store.model().cluster_policies().next();
    policy.map(|(_, policy)| policy.clone())
}

/// A policy that is in force as it is written.
fn good(spec: &str) -> ClusterPolicy {
    let (policy, lines) = read(&manifest(spec));
    assert_eq!(lines, Vec::<String>::new(), "{spec}");
    policy.expect("a policy")
}

const REFUSED: &str =
    "; until it is mended what can be read of it is in force, and rules that cannot be read fail closed";

/// Why a policy is refused.
fn refusal(spec: &str) -> String {
    let (_, lines) = read(&manifest(spec));
    assert_eq!(lines.len(), 1, "{spec}: {lines:?}");
    let line = lines[0]
        .strip_suffix(REFUSED)
        .or(lines[0].strip_suffix("; it is left out"));
    line.unwrap_or_else(|| panic!("not refused: {}", lines[0]))
        .to_owned()
}

const HEAD: &str = "tier: Admin, priority: 7, subject: {namespaces: {}}";

fn with(rules: &str) -> String {
    format!("{{{HEAD}, {rules}}}")
}

/// A policy whose only rule of a direction is this.
fn ingress(rule: &str) -> String {
    with(&format!("ingress: [{{{rule}}}]"))
}

fn egress(rule: &str) -> String {
    with(&format!("egress: [{{{rule}}}]"))
}

/// A rule to these peers.
fn to(peers: &str) -> String {
    egress(&format!("action: Accept, to: [{peers}]"))
}

/// A rule of these protocols.
fn protocols(list: &str) -> String {
    egress(&format!(
        "action: Accept, to: [{{namespaces: {{}}}}], protocols: [{list}]"
    ))
}

/// What is unknown in a rule of this action, and what the rule then is.
fn strange(action: &str, rest: &str) -> (Vec<String>, Action, Matches) {
    let (policy, lines) = read(&manifest(&egress(&format!("action: {action}, {rest}"))));
    let rule = policy.expect("a policy").egress.remove(0);
    (lines, rule.action, rule.matches)
}

/// A selector of one label.
fn label(key: &str, value: &str) -> Selector {
    Selector::of_labels(&[(key.to_owned(), value.to_owned())].into())
}

fn everybody() -> Pods {
    Pods {
        namespaces: Selector::default(),
        pods: Selector::default(),
    }
}

fn rule(action: Action, matches: Matches) -> ClusterPolicyRule {
    ClusterPolicyRule {
        name: None,
        action,
        matches,
    }
}

#[test]
fn every_field_is_read() {
    let policy = good(
        "{tier: Baseline, priority: 1000, subject: {pods: {namespaceSelector: {matchLabels: {team: blue}},
          podSelector: {matchLabels: {app: db}}}}, ingress: [{name: metrics, action: Pass, from: [{namespaces: {matchLabels:
          {team: ops}}}, {pods: {podSelector: {matchLabels: {app: web}}}}], protocols: [{tcp: {destinationPort: {number: 80}}},
          {udp: {destinationPort: {range: {start: 1, end: 65535}}}}, {sctp: {}}, {destinationNamedPort: http}]}],
          egress: [{action: Deny, to: [{nodes: {}}, {networks: [10.0.0.0/8, '2001:db8::/32']}]}, {action: Accept, name: '',
          to: [{namespaces: {}}]}]}",
    );
    let pods = |namespaces, pods| Pods { namespaces, pods };
    let ingress = ClusterPolicyRule {
        name: Some("metrics".to_owned()),
        ..rule(
            Action::Pass,
            Matches::Only {
                peers: vec![
                    ClusterPolicyPeer::Pods(pods(label("team", "ops"), Selector::default())),
                    ClusterPolicyPeer::Pods(pods(Selector::default(), label("app", "web"))),
                ],
                ports: Some(vec![
                    ClusterPolicyPort::Range(Protocol::Tcp, 80, 80),
                    ClusterPolicyPort::Range(Protocol::Udp, 1, 65535),
                    ClusterPolicyPort::Range(Protocol::Sctp, 0, 65535),
                    ClusterPolicyPort::Named("http".to_owned()),
                ]),
            },
        )
    };
    let networks = ["10.0.0.0/8", "2001:db8::/32"]
        .map(|n| n.parse().unwrap())
        .to_vec();
    let only = |peers| Matches::Only { peers, ports: None };
    let nodes = only(vec![
        ClusterPolicyPeer::Nodes(Selector::default()),
        ClusterPolicyPeer::Networks(networks),
    ]);
    let expected = ClusterPolicy {
        tier: Tier::Baseline,
        priority: LAST_PRIORITY,
        subject: pods(label("team", "blue"), label("app", "db")),
        ingress: vec![ingress],
        egress: vec![
            rule(Action::Deny, nodes),
            rule(Action::Accept, only(vec![ClusterPolicyPeer::Pods(everybody())])),
        ],
    };
    assert_eq!(policy, expected);
}

#[test]
fn a_policy_without_rules_is_good() {
    for rules in ["", ", ingress: [], egress: null"] {
        let policy = good(&format!("{{{HEAD}{rules}}}"));
        assert_eq!((policy.tier, policy.priority), (Tier::Admin, 7));
        assert!(policy.ingress.is_empty() && policy.egress.is_empty());
    }
}
