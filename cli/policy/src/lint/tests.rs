use super::*;
use crate::testing::{SHOP, snapshot};

/// Three pods that say where they listen, one that does not, and one on its node's network.
const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: a}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: web, labels: {app: web, tier: front}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: db, labels: {app: db}}
spec: {containers: [{name: c, ports: [{containerPort: 5432}]}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: quiet, labels: {app: quiet}}
status: {podIP: 10.0.0.3}
---
apiVersion: v1
kind: Pod
metadata: {namespace: kube-system, name: dns, labels: {k8s-app: kube-dns}}
spec: {containers: [{name: c, ports: [{name: dns, protocol: UDP, containerPort: 1053}, {name: dns-tcp, containerPort: 1053}]}]}
status: {podIP: 10.0.0.4}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: agent, labels: {app: agent}}
spec: {hostNetwork: true, containers: [{name: c}]}
status: {podIP: 192.0.2.1}
"#;

/// A NetworkPolicy of the namespace `a`.
fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{namespace: a, name: {name}}}\nspec: {{{spec}}}\n"
    )
}

fn cluster_policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{{spec}}}\n"
    )
}

/// What is found with these policies.
fn lint(policies: &[String]) -> Vec<String> {
    let documents: Vec<&str> = [PODS]
        .into_iter()
        .chain(policies.iter().map(String::as_str))
        .collect();
    findings(&snapshot(&documents))
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn found(policies: &[String], expected: &[&str]) {
    assert_eq!(lint(policies), expected);
}

#[test]
fn good_policies_are_not_complained_about() {
    let good = [
        policy(
            "db",
            "podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]",
        ),
        policy(
            "web",
            "podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http}]}], policyTypes: [Ingress, Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}, {to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: dns, protocol: UDP}, {port: dns-tcp}]}]",
        ),
        policy(
            "quiet",
            "podSelector: {matchLabels: {app: quiet}}, ingress: [{ports: [{port: 1}]}]",
        ),
    ];
    found(&good, &[]);
}

#[test]
fn what_selects_nothing_is_found() {
    found(
        &[policy(
            "none",
            "podSelector: {matchLabels: {app: wbe}}, ingress: [{from: [{podSelector: {}}]}]",
        )],
        &[
            "warning: a/none: spec.podSelector: selects nothing: there are no pods with app=wbe in namespace a [no-subjects]",
        ],
    );
    let web = "podSelector: {matchLabels: {app: web}}";
    let gone = "{podSelector: {matchLabels: {app: gone}}}";
    let lost = "{podSelector: {matchLabels: {app: lost}}}";
    found(
        &[policy(
            "peer",
            &format!("{web}, ingress: [{{from: [{gone}]}}, {{from: [{lost}, {{podSelector: {{}}}}]}}]"),
        )],
        &[
            "warning: a/peer: spec.ingress[0].from: pods with app=gone in namespace a: selects nothing; the rule never matches [empty-peer]",
            "info: a/peer: spec.ingress[1].from: pods with app=lost in namespace a: selects nothing; other peers of the rule do [empty-peer]",
        ],
    );
    found(
        &[policy(
            "void",
            &format!(
                "{web}, ingress: [{{from: [{{ipBlock: {{cidr: 9.0.0.0/8, except: [9.0.0.0/9, 9.128.0.0/9]}}}}]}}]"
            ),
        )],
        &[
            "warning: a/void: spec.ingress[0].from: 9.0.0.0/8 except 9.0.0.0/9, 9.128.0.0/9: selects nothing; the rule never matches [empty-peer]",
        ],
    );
    found(
        &[policy(
            "name",
            &format!("{web}, ingress: [{{ports: [{{port: http}}]}}, {{ports: [{{port: htpp}}]}}]"),
        )],
        &[
            "warning: a/name: spec.ingress[1].ports: never matches: no container has a port of such a name [no-ports]",
        ],
    );
}

#[test]
fn rules_that_others_cover_are_found() {
    let web = "podSelector: {matchLabels: {app: web}}";
    found(
        &[
            policy(
                "one",
                &format!(
                    "{web}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}], ports: [{{port: 8000, endPort: 9000}}]}}]"
                ),
            ),
            policy(
                "two",
                &format!(
                    "{web}, ingress: [{{from: [{{ipBlock: {{cidr: 10.9.0.0/16}}}}], ports: [{{port: 8080}}]}}]"
                ),
            ),
        ],
        &[
            "warning: a/two: spec.ingress[0]: has no effect: spec.ingress[0] of a/one accepts all that it matches [shadowed]",
        ],
    );
    // Equal rules shadow each other: the later one is told.
    let twice = format!("{web}, ingress: [{{ports: [{{port: 8080}}]}}, {{ports: [{{port: 8080}}]}}]");
    found(
        &[policy("twice", &twice)],
        &[
            "warning: a/twice: spec.ingress[1]: has no effect: spec.ingress[0] accepts all that it matches [shadowed]",
        ],
    );
    // Selectors that select the same pods may not always.
    found(
        &[policy(
            "today",
            "podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}, {from: [{podSelector: {matchLabels: {tier: front}}}]}]",
        )],
        &[
            "info: a/today: spec.ingress[1]: has no effect: spec.ingress[0] accepts all that it matches, for the pods that there are now [shadowed]",
        ],
    );
    // An except that cuts into it, other subjects, fewer ports: no cover.
    found(
        &[
            policy(
                "apart",
                "podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}]}]",
            ),
            policy(
                "holes",
                &format!(
                    "{web}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/8, except: [10.9.1.0/24]}}}}], ports: [{{port: 8080}}]}}, {{from: [{{ipBlock: {{cidr: 10.9.0.0/16}}}}], ports: [{{port: 8080}}]}}]"
                ),
            ),
        ],
        &[],
    );
}

#[test]
fn in_tiers_the_first_rule_that_matches_decides() {
    let everything = "{namespaces: {}}";
    let tier = |name: &str, tier: &str, priority: u32, rules: &str| {
        cluster_policy(
            name,
            &format!("tier: {tier}, priority: {priority}, subject: {everything}, ingress: [{rules}]"),
        )
    };
    let rule = |action: &str| format!("{{action: {action}, from: [{everything}]}}");
    let own = policy("own", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}]");
    found(
        &[
            tier("admin", "Admin", 1, &rule("Deny")),
            tier("later", "Admin", 2, &rule("Accept")),
            own.clone(),
        ],
        &[
            "warning: later: spec.ingress[0]: has no effect: spec.ingress[0] of admin denies all that it matches [shadowed]",
            "info: a/own: spec.ingress[0]: has no effect: spec.ingress[0] of admin denies all that it matches, for the pods that there are now [shadowed]",
        ],
    );
    // What is passed on is not decided.
    found(&[tier("admin", "Admin", 1, &rule("Pass")), own], &[]);
    let isolated = policy("all", "podSelector: {}");
    found(
        &[
            cluster_policy(
                "base",
                &format!(
                    "tier: Baseline, priority: 1, subject: {{pods: {{namespaceSelector: {{matchLabels: {{team: a}}}}, podSelector: {{}}}}}}, ingress: [{}]",
                    rule("Accept")
                ),
            ),
            isolated,
        ],
        &[
            "info: base: spec.subject: decides nothing: NetworkPolicies isolate every pod that it selects [unreached]",
        ],
    );
}

#[test]
fn ports_that_nobody_listens_on_are_found() {
    found(
        &[policy(
            "db",
            "podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5433}, {port: 5000, endPort: 6000}, {port: 5432, protocol: UDP}]}]",
        )],
        &[
            "warning: a/db: spec.ingress[0].ports: TCP 5433: no container of the pods that the policy selects has such a port [unused-port]",
            "warning: a/db: spec.ingress[0].ports: UDP 5432: no container of the pods that the policy selects has such a port [unused-port]",
        ],
    );
    // One that names none may listen anywhere, and so may addresses outside.
    let dns = "{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}";
    found(
        &[
            policy("all", "podSelector: {}, ingress: [{ports: [{port: 1}]}]"),
            policy(
                "out",
                &format!(
                    "podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], egress: [{dns}, {{to: [{{podSelector: {{matchLabels: {{app: db}}}}}}], ports: [{{port: 80}}]}}, {{to: [{{ipBlock: {{cidr: 9.0.0.0/8}}}}], ports: [{{port: 80}}]}}]"
                ),
            ),
        ],
        &[
            "warning: a/out: spec.egress[1].ports: TCP 80: no container of the pods that the rule names has such a port [unused-port]",
        ],
    );
}

#[test]
fn pods_without_dns_are_found() {
    found(
        &[policy(
            "deny",
            "podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]",
        )],
        &[
            "warning: a/deny: spec.egress: no DNS server of the cluster is reached by UDP 53; names are not resolved by a/web [no-dns]",
        ],
    );
    // The containers' own port is what counts.
    let to = |port: u16, protocol: &str| {
        let spec = format!(
            "podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], egress: [{{ports: [{{port: {port}, protocol: {protocol}}}]}}]"
        );
        lint(&[policy("some", &spec)])
    };
    assert!(to(53, "UDP")[0].contains("no-dns"));
    assert_eq!(
        to(1053, "UDP"),
        [
            "info: a/some: spec.egress: no DNS server of the cluster is reached by TCP 53; answers that are too long for UDP are lost to a/web [no-dns]"
        ]
    );
    // Where no server is known, anybody at the port will do.
    let unknown = |spec: &str| {
        let shop = policy("p", spec).replace("namespace: a", "namespace: shop");
        let found = findings(&snapshot(&[SHOP, &shop]));
        found.iter().filter(|finding| finding.check == "no-dns").count()
    };
    assert_eq!(unknown("podSelector: {}, policyTypes: [Egress]"), 1);
    let open = "{ports: [{port: 53, protocol: UDP}, {port: 53}]}";
    assert_eq!(
        unknown(&format!(
            "podSelector: {{}}, policyTypes: [Egress], egress: [{open}]"
        )),
        0
    );
}

#[test]
fn labels_of_pods_of_the_hosts_network_are_asked_for_in_vain() {
    let agent = "{matchLabels: {app: agent}}";
    let tail = "which uses its node's network: no policy can select it [host-network]";
    found(
        &[policy(
            "agent",
            &format!(
                "podSelector: {{matchLabels: {{app: db}}}}, ingress: [{{from: [{{podSelector: {agent}}}, {{podSelector: {{}}}}]}}]"
            ),
        )],
        &[
            &format!("warning: a/agent: spec.ingress[0].from: asks for labels of a/agent, {tail}"),
            "info: a/agent: spec.ingress[0].from: pods with app=agent in namespace a: selects nothing; other peers of the rule do [empty-peer]",
        ],
    );
    let subject = cluster_policy(
        "agents",
        &format!(
            "tier: Admin, priority: 1, subject: {{pods: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: a}}}}, podSelector: {agent}}}}}, ingress: []"
        ),
    );
    assert!(lint(&[subject])[0].starts_with("warning: agents: spec.subject: asks for labels of a/agent"));
}

#[test]
fn refused_manifests_are_findings() {
    let bad = policy("bad", "podSelector: {}, ingress: [{ports: [{endPort: 5}]}]");
    let found = lint(&[bad]);
    assert!(
        found[0].starts_with("error: ") && found[0].contains("endPort"),
        "{found:?}"
    );
    assert!(found[0].ends_with("[manifest]"), "{found:?}");
}
