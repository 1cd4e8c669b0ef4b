//! What is unknown or cannot be read, and what is in force instead.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::source::Contents;

/// `apis/v1alpha2` of the API: "For Accept rules, fail closed means: treat the rule as matching no traffic. For Deny and
/// Pass rules: treat the rule as a Deny all rule."
#[test]
fn what_is_unknown_fails_closed() {
    for (rest, what) in [
        ("to: [{namespaces: {}}, {}]", "to[1]: names no peer that is known"),
        ("to: [{services: {}}]", "to[0].services: unknown field"),
        (
            "to: [{namespaces: {namespaceSelector: {}}}]",
            "to[0].namespaces.namespaceSelector: unknown field",
        ),
        (
            "to: [{domainNames: [example.com]}]",
            "to[0].domainNames: is not supported",
        ),
        ("to: [{namespaces: {}}], ports: []", "ports: unknown field"),
        (
            "to: [{namespaces: {}}], from: [{namespaces: {}}]",
            "from: unknown field",
        ),
        (
            "to: [{namespaces: {}}], protocols: [{}]",
            "protocols[0]: names no protocol that is known",
        ),
        (
            "to: [{namespaces: {}}], protocols: [{icmp: {}}]",
            "protocols[0].icmp: unknown field",
        ),
        (
            "to: [{namespaces: {}}], protocols: [{destinationNamedPort: ''}]",
            "protocols[0]: names no protocol that is known",
        ),
        (
            "to: [{namespaces: {}}], protocols: [{tcp: {flags: [syn]}}]",
            "protocols[0].tcp.flags: unknown field",
        ),
        (
            "to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {}}}]",
            "protocols[0].tcp.destinationPort: names no port that is known",
        ),
    ] {
        let told = |consequence| vec![format!("spec.egress[0].{what}; {consequence}")];
        let nothing = (told("the rule accepts nothing"), Action::Accept, Matches::Nothing);
        assert_eq!(strange("Accept", rest), nothing);
        let everything = (
            told("the rule denies everything"),
            Action::Deny,
            Matches::Everything,
        );
        assert_eq!(strange("Deny", rest), everything);
        assert_eq!(strange("Pass", rest), everything);
    }
}

#[test]
fn ingress_has_fewer_peers() {
    for peer in ["nodes: {}", "networks: ['::/0']", "domainNames: [a.example]"] {
        let (policy, lines) = read(&manifest(&ingress(&format!(
            "action: Accept, from: [{{{peer}}}]"
        ))));
        let field = peer.split(':').next().unwrap();
        assert_eq!(
            lines,
            [format!(
                "spec.ingress[0].from[0].{field}: unknown field; the rule accepts nothing"
            )]
        );
        assert_eq!(policy.unwrap().ingress[0].matches, Matches::Nothing);
    }
}

#[test]
fn every_unknown_thing_gets_its_line_and_other_rules_are_in_force() {
    let rules = "egress: [{action: Deny, to: [{nodes: {}}]}, {action: Accept, to: [{a: 1}, {}], b: 2}]";
    let (policy, lines) = read(&manifest(&with(rules)));
    let accepts_nothing = |what: &str| format!("spec.egress[1].{what}; the rule accepts nothing");
    assert_eq!(
        lines,
        [
            accepts_nothing("b: unknown field"),
            accepts_nothing("to[0].a: unknown field"),
            accepts_nothing("to[1]: names no peer that is known"),
        ]
    );
    let nodes = Matches::Only {
        peers: vec![ClusterPolicyPeer::Nodes(Selector::default())],
        ports: None,
    };
    let expected = [rule(Action::Deny, nodes), rule(Action::Accept, Matches::Nothing)];
    assert_eq!(policy.unwrap().egress, expected);
}

#[test]
fn unknown_fields_that_limit_nothing_are_ignored() {
    let text =
        manifest(&format!("{{{HEAD}, ingres: []}}")).replace("name: x", "name: x, label: {}") + "stat: {}\n";
    let (policy, lines) = read(&text);
    assert_eq!(
        lines,
        [
            "metadata.label: unknown field, ignored",
            "spec.ingres: unknown field, ignored",
            "stat: unknown field, ignored",
        ]
    );
    assert!(policy.is_some());
    let (_, lines) = read(&(manifest(&format!("{{{HEAD}}}")) + "status: {conditions: []}\n"));
    assert_eq!(lines, Vec::<String>::new());
}

/// The stand-in for a policy that is refused.
fn stand_in(spec: &str) -> ClusterPolicy {
    let (policy, lines) = read(&manifest(spec));
    assert!(lines.len() == 1 && lines[0].ends_with(REFUSED), "{lines:?}");
    policy.expect("a stand-in")
}

#[test]
fn a_policy_that_never_was_good_is_in_force_as_far_as_it_can_be_read() {
    let good = "{name: dns, action: Accept, to: [{namespaces: {}}]}";
    let policy = stand_in(&with(&format!(
        "ingress: 1, egress: [{good}, {{name: a, action: Accept, to: []}}, {{action: Deny, to: [{{networks: [x]}}]}}, \
         {{action: Pass}}, {{action: Log, name: 1}}, 5, {{action: Accept, to: [{{}}]}}]"
    )));
    assert_eq!((policy.tier, policy.priority), (Tier::Admin, 7));
    let (accept, deny) = (
        rule(Action::Accept, Matches::Nothing),
        rule(Action::Deny, Matches::Everything),
    );
    assert_eq!(policy.ingress, std::slice::from_ref(&deny), "a list that is none");
    assert_eq!(policy.egress[0].name.as_deref(), Some("dns"));
    assert!(matches!(policy.egress[0].matches, Matches::Only { .. }));
    let named = ClusterPolicyRule {
        name: Some("a".to_owned()),
        ..accept.clone()
    };
    assert_eq!(
        policy.egress[1..],
        [named, deny.clone(), deny.clone(), deny.clone(), deny, accept]
    );
}

#[test]
fn a_stand_in_that_cannot_be_placed_stands_last() {
    let placed = |head: &str| {
        let policy = stand_in(&format!("{{{head}, subject: {{namespaces: {{}}}}}}"));
        (policy.tier, policy.priority)
    };
    assert_eq!(placed("tier: Admin, priority: 1.5"), (Tier::Admin, LAST_PRIORITY));
    assert_eq!(
        placed("tier: Admin, priority: 1001"),
        (Tier::Admin, LAST_PRIORITY)
    );
    assert_eq!(
        placed("tier: admin, priority: 1"),
        (Tier::Baseline, LAST_PRIORITY)
    );
    assert_eq!(placed("tier: {}, priority: 1"), (Tier::Baseline, LAST_PRIORITY));
}

#[test]
fn a_policy_whose_spec_cannot_be_read_is_left_out() {
    for spec in ["nonsense", "[Admin, 1, {}]", "{subject: x}", "null"] {
        let (policy, lines) = read(&manifest(spec));
        assert_eq!(policy, None, "{spec}");
        assert!(lines[0].ends_with("; it is left out"), "{lines:?}");
    }
}

#[test]
fn the_last_good_state_stays() {
    let mut store = Store::default();
    let good = ingress("action: Deny, from: [{namespaces: {}}]");
    let bad = ingress("action: Deny, from: []");
    put(&mut store, &[("f.yaml", &manifest(&good))]);
    let before = the_policy(&store);
    put(&mut store, &[("f.yaml", &manifest(&bad))]);
    assert_eq!(the_policy(&store), before);
    assert!(lines(&store)[0].ends_with("must hold at least one; its last good state stays in force"));
    store.update([(Arc::from(Path::new("f.yaml")), Contents::Gone)]);
    assert_eq!(the_policy(&store), None);
    put(&mut store, &[("f.yaml", &manifest(&bad))]);
    let rules = the_policy(&store).unwrap().ingress;
    assert_eq!(rules, [rule(Action::Deny, Matches::Everything)]);
    put(&mut store, &[("f.yaml", &manifest(&good))]);
    assert_eq!(the_policy(&store), before);
}

#[test]
fn what_it_was_called_before_gets_a_line() {
    for kind in ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"] {
        let mut store = Store::default();
        let old =
            format!("apiVersion: policy.networking.k8s.io/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\n");
        put(&mut store, &[("f.yaml", &old)]);
        assert_eq!(
            lines(&store),
            [format!(
                "f.yaml:1: kind: {kind} is not read; use ClusterNetworkPolicy of \"policy.networking.k8s.io/v1alpha2\"; \
                 the document is left out"
            )]
        );
    }
    let mut store = Store::default();
    let old = manifest("{}").replace("v1alpha2", "v1alpha1");
    put(&mut store, &[("f.yaml", &old)]);
    assert_eq!(
        lines(&store),
        [
            "f.yaml:1: apiVersion: \"policy.networking.k8s.io/v1alpha1\" of ClusterNetworkPolicy is not read; use \
          \"policy.networking.k8s.io/v1alpha2\"; the document is left out"
        ]
    );
}
