use super::*;
use crate::testing::{DENY, SHOP, snapshot};

/// A ClusterNetworkPolicy of each tier around the shop's policies.
const TIERS: &str = r"
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: no-blog}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  ingress:
    - name: blog-stays-out
      action: Deny
      from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: blog}}}]
";

fn text(documents: &[&str], name: &str) -> String {
    text::render(&explain(snapshot(documents), name).unwrap())
}

#[test]
fn people_read_what_reaches_a_pod_and_why() {
    assert_eq!(
        text(&[SHOP], "shop/db"),
        "\
shop/db  10.244.1.12  fd00:10:244:1::12
  labels: tier=db
  listens on: TCP 5432 sql, UDP 5433 sync

What reaches it (ingress): isolated: what no rule accepts is denied
  shop/db
    ingress[0] accepts TCP 5432 from 10.0.0.0/8 except 10.9.0.0/16
    ingress[1] accepts UDP 5433 from pods with tier=web in namespace shop
  FROM                                         PORTS     BECAUSE
  10.0.0.0/8 except 10.9.0.0/16,               TCP 5432  shop/db ingress[0]
  shop/web (IPv4)
  shop/web                                     UDP 5433  shop/db ingress[1]
  blog/six, other IPv4, 10.9.0.0/16, any IPv6  none      shop/db isolates ingress

What it reaches (egress): open: no policy selects it
  TO                                           PORTS      BECAUSE
  every pod, other IPv4,                       all ports  no policy is about it
  10.0.0.0/8 except 10.9.0.0/16, 10.9.0.0/16,
  any IPv6
"
    );
}

#[test]
fn tiers_are_named_and_a_peers_own_policies_count() {
    let told = text(&[SHOP, DENY, TIERS], "shop/db");
    for line in [
        "  no-blog (tier Admin, priority 10)",
        "    ingress[0] \"blog-stays-out\" denies all ports from all pods in namespaces with kubernetes.io/metadata.name=blog",
        "  shop/a-deny: accepts nothing",
    ] {
        assert!(told.lines().any(|l| l == line), "{line}\n{told}");
    }
    // The web pod may not open anything, whatever the database accepts.
    let because = |peer: &str| {
        told.lines()
            .find(|l| l.trim_start().starts_with(peer))
            .unwrap()
            .to_owned()
    };
    assert!(
        because("shop/web").contains("shop/a-deny isolates egress"),
        "{told}"
    );
    assert!(
        because("blog/six").contains("denied by no-blog ingress[0]"),
        "{told}"
    );
}

#[test]
fn every_peer_and_port_stands_in_exactly_one_row() {
    for name in ["shop/web", "shop/db", "blog/six", "shop/agent", "10.9.1.1"] {
        let explained = explain(snapshot(&[SHOP, DENY, TIERS]), name).unwrap();
        for side in [&explained.ingress, &explained.egress] {
            for family in [" (IPv4)", " (IPv6)"] {
                let mut ports: BTreeMap<&str, PortSet> = BTreeMap::new();
                for row in &side.connections {
                    let other = |peer: &&String| !peer.ends_with(')') || peer.ends_with(family);
                    for peer in row.peers.iter().filter(other) {
                        let all = ports.entry(peer.trim_end_matches(family)).or_default();
                        assert!(!all.covers(&row.ports), "{name} {peer} {} twice", row.ports);
                        all.add(&row.ports);
                    }
                }
                ports
                    .iter()
                    .for_each(|(peer, all)| assert!(all.is_everything(), "{name} {peer}: {all}"));
            }
        }
    }
}

#[test]
fn programs_get_the_rules_and_the_rows() {
    let value = serde_json::to_value(explain(snapshot(&[SHOP]), "shop/db").unwrap()).unwrap();
    assert_eq!(value["ingress"]["isolated"], true);
    assert_eq!(value["ingress"]["policies"][0]["rules"][1]["ports"], "UDP 5433");
    let row = &value["ingress"]["connections"][0];
    assert_eq!(
        row["peers"],
        serde_json::json!(["shop/web (IPv4)", "10.0.0.0/8 except 10.9.0.0/16"])
    );
    assert_eq!(row["by"]["ingress"]["rule"], 0);
}

#[test]
fn what_is_no_pod_is_explained_by_its_address() {
    let told = text(&[SHOP], "shop/agent");
    assert!(
        told.contains("192.0.2.1") && told.contains("node's network"),
        "{told}"
    );
    let error = explain(snapshot(&[SHOP]), "shop/none").unwrap_err().to_string();
    assert_eq!(error, "there is no pod shop/none");
}

#[test]
fn a_pods_own_node_is_told_apart_from_the_others() {
    let nodes = r"
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: on-one, labels: {tier: db}}
status: {podIP: 10.244.1.30, hostIPs: [{ip: 192.0.2.1}]}
";
    let told = text(&[SHOP, nodes], "shop/on-one");
    assert!(
        told.contains("  node: 192.0.2.1; between it and the pod"),
        "{told}"
    );
    // What is said of addresses outside is not its own node's privilege.
    let line = told.lines().find(|line| line.contains("other IPv4")).unwrap();
    assert!(
        line.contains("none") && line.contains("shop/db isolates ingress"),
        "{told}"
    );
}
