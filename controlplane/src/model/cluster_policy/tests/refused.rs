//! What the API server would refuse, and the lines for it.

use std::fmt::Write;

use super::*;

#[test]
fn tiers_and_priorities() {
    let of = |head: &str| refusal(&format!("{{{head}, subject: {{namespaces: {{}}}}}}"));
    assert_eq!(of("priority: 1"), "spec.tier: is missing");
    assert_eq!(
        of("tier: admin, priority: 1"),
        "spec.tier: \"admin\" is none of Admin, Baseline"
    );
    assert_eq!(of("tier: Admin"), "spec.priority: is missing");
    assert_eq!(
        of("tier: Admin, priority: 1001"),
        "spec.priority: must be 0 to 1000, is 1001"
    );
    assert_eq!(
        of("tier: Admin, priority: -1"),
        "spec.priority: must be 0 to 1000, is -1"
    );
    assert_eq!(
        of("tier: Admin, priority: '1'"),
        "spec.priority: invalid type: string \"1\", expected i64"
    );
    assert_eq!(
        good("{tier: Admin, priority: 0, subject: {namespaces: {}}}").priority,
        0
    );
}

#[test]
fn subjects() {
    let of = |subject: &str| {
        let (policy, lines) = read(&manifest(&format!("{{tier: Admin, priority: 1{subject}}}")));
        assert_eq!(policy, None, "nobody knows whom it guards");
        assert_eq!(lines.len(), 1);
        let line = lines[0].strip_suffix("; it is left out");
        line.unwrap_or_else(|| panic!("{}", lines[0])).to_owned()
    };
    let one_of = "spec.subject: must have one of namespaces, pods";
    assert_eq!(of(""), "spec.subject: is missing");
    assert_eq!(of(", subject: {}"), one_of);
    assert_eq!(of(", subject: {namespaces: {}, pods: {podSelector: {}}}"), one_of);
    assert_eq!(
        of(", subject: []"),
        "spec.subject: invalid type: sequence, expected an object"
    );
    assert_eq!(
        of(", subject: {pods: {}}"),
        "spec.subject.pods.podSelector: is missing"
    );
    assert_eq!(
        of(", subject: {namespaces: {matchExpressions: [{key: a, operator: In}]}}"),
        "spec.subject.namespaces.matchExpressions[0].values: must not be empty with operator In"
    );
    let unknown = "unknown field: it cannot be told whom the policy guards";
    assert_eq!(
        of(", subject: {serviceAccounts: {}}"),
        format!("spec.subject.serviceAccounts: {unknown}")
    );
    assert_eq!(
        of(", subject: {namespaces: {namespaceSelector: {}}}"),
        format!("spec.subject.namespaces.namespaceSelector: {unknown}")
    );
}

#[test]
fn rules() {
    let from = "from: [{namespaces: {}}]";
    assert_eq!(refusal(&ingress(from)), "spec.ingress[0].action: is missing");
    assert_eq!(
        refusal(&ingress(&format!("action: Allow, {from}"))),
        "spec.ingress[0].action: \"Allow\" is none of Accept, Deny, Pass"
    );
    assert_eq!(
        refusal(&ingress("action: Deny")),
        "spec.ingress[0].from: is missing"
    );
    assert_eq!(refusal(&egress("action: Deny")), "spec.egress[0].to: is missing");
    assert_eq!(
        refusal(&egress("action: Deny, to: []")),
        "spec.egress[0].to: must hold at least one"
    );
    assert_eq!(
        refusal(&ingress(&format!("action: Deny, {from}, protocols: []"))),
        "spec.ingress[0].protocols: must hold at least one"
    );
    let named = |length| ingress(&format!("name: {}, action: Deny, {from}", "ä".repeat(length)));
    assert_eq!(good(&named(100)).ingress[0].name, Some("ä".repeat(100)));
    assert_eq!(
        refusal(&named(101)),
        "spec.ingress[0].name: must not be longer than 100 characters"
    );
    assert_eq!(
        refusal(&with("ingress: {}")),
        "spec.ingress: invalid type: map, expected a sequence"
    );
    assert_eq!(
        refusal(&with("ingress: [[]]")),
        "spec.ingress[0]: invalid type: sequence, expected an object"
    );
    assert_eq!(
        refusal(&ingress("action: Deny, from: [[{}]]")),
        "spec.ingress[0].from[0]: invalid type: sequence, expected an object"
    );
}

#[test]
fn lists_have_limits() {
    let times = |n: usize, item: &str| vec![item; n].join(", ");
    let mut networks = String::new();
    for i in 0..26 {
        write!(networks, "10.{i}.0.0/16, ").unwrap();
    }
    let deny = "{action: Deny, from: [{namespaces: {}}]}";
    let most = "must hold at most 25, holds 26";
    good(&with(&format!("ingress: [{}]", times(25, deny))));
    assert_eq!(
        refusal(&with(&format!("ingress: [{}]", times(26, deny)))),
        format!("spec.ingress: {most}")
    );
    good(&to(&times(25, "{namespaces: {}}")));
    assert_eq!(
        refusal(&to(&times(26, "{namespaces: {}}"))),
        format!("spec.egress[0].to: {most}")
    );
    good(&protocols(&times(25, "{tcp: {}}")));
    assert_eq!(
        refusal(&protocols(&times(26, "{tcp: {}}"))),
        format!("spec.egress[0].protocols: {most}")
    );
    assert_eq!(
        refusal(&to(&format!("{{networks: [{networks}]}}"))),
        format!("spec.egress[0].to[0].networks: {most}")
    );
}

#[test]
fn peers() {
    let field = "spec.egress[0].to[0]";
    assert_eq!(
        refusal(&to("{namespaces: {}, nodes: {}}")),
        format!("{field}: must have only one of namespaces, pods, nodes, networks, domainNames")
    );
    assert_eq!(
        refusal(&ingress(
            "action: Deny, from: [{namespaces: {}, pods: {podSelector: {}}}]"
        )),
        "spec.ingress[0].from[0]: must have only one of namespaces, pods"
    );
    assert_eq!(
        refusal(&to("{pods: {namespaceSelector: {}}}")),
        format!("{field}.pods.podSelector: is missing")
    );
    assert_eq!(
        refusal(&to(
            "{pods: {podSelector: {matchExpressions: [{key: a, operator: Is}]}}}"
        )),
        format!(
            "{field}.pods.podSelector.matchExpressions[0].operator: \"Is\" is none of In, NotIn, Exists, DoesNotExist"
        )
    );
    assert_eq!(
        refusal(&to("{nodes: {matchExpressions: [{key: '', operator: Exists}]}}")),
        format!("{field}.nodes.matchExpressions[0].key: must not be empty")
    );
    assert_eq!(
        refusal(&to("{networks: []}")),
        format!("{field}.networks: must hold at least one")
    );
    assert_eq!(
        refusal(&to("{networks: [10.0.0.0/8, 10.0.0.1]}")),
        format!("{field}.networks[1]: \"10.0.0.1\" is not a network in CIDR notation, as in \"10.0.0.0/8\"")
    );
    assert_eq!(
        refusal(&to("{networks: [10.0.0.0/8, '::/0', 10.0.0.0/8]}")),
        format!("{field}.networks[2]: \"10.0.0.0/8\" stands there twice")
    );
    assert_eq!(
        refusal(&to("{networks: ['::ffff:10.0.0.0/104']}")),
        format!("{field}.networks[0]: \"::ffff:10.0.0.0/104\" must not be an IPv4 network in IPv6 notation")
    );
}

#[test]
fn ports() {
    let field = "spec.egress[0].protocols[0]";
    let one_of = format!("{field}: must have only one of tcp, udp, sctp, destinationNamedPort");
    assert_eq!(refusal(&protocols("{tcp: {}, udp: {}}")), one_of);
    assert_eq!(
        refusal(&protocols("{tcp: {}, destinationNamedPort: http}")),
        one_of
    );
    let port = |port: &str| refusal(&protocols(&format!("{{udp: {{destinationPort: {port}}}}}")));
    let field = format!("{field}.udp.destinationPort");
    assert_eq!(
        port("{number: 1, range: {start: 1, end: 2}}"),
        format!("{field}: must have only one of number, range")
    );
    assert_eq!(
        port("{number: 0}"),
        format!("{field}.number: must be 1 to 65535, is 0")
    );
    assert_eq!(
        port("{number: http}"),
        format!("{field}.number: invalid type: string \"http\", expected i32")
    );
    assert_eq!(
        port("80"),
        format!("{field}: invalid type: integer `80`, expected an object")
    );
    assert_eq!(
        port("{range: {start: 1}}"),
        format!("{field}.range.end: is missing")
    );
    assert_eq!(
        port("{range: {end: 1}}"),
        format!("{field}.range.start: is missing")
    );
    assert_eq!(
        port("{range: {start: 1, end: 65536}}"),
        format!("{field}.range.end: must be 1 to 65535, is 65536")
    );
    assert_eq!(
        port("{range: {start: 80, end: 80}}"),
        format!("{field}.range.end: must be above start 80, is 80")
    );
}

#[test]
fn names_of_ports_are_pods() {
    for peer in [
        "{nodes: {}}",
        "{networks: ['::/0']}",
        "{domainNames: [example.com]}",
    ] {
        let rule = format!(
            "action: Deny, to: [{{namespaces: {{}}}}, {peer}], protocols: [{{tcp: {{}}}}, {{destinationNamedPort: http}}]"
        );
        assert_eq!(
            refusal(&egress(&rule)),
            "spec.egress[0].protocols[1].destinationNamedPort: must not be given beside to[1]: nodes, networks and \
             domain names have no named ports"
        );
    }
}
