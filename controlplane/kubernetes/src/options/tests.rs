use std::collections::BTreeSet;

use clap::{Args, Command, FromArgMatches};

use super::{Identity, PlaneOptions};
use crate::{Publish, StatusAddress};

pub(super) fn parsed(flags: &[&str]) -> Result<PlaneOptions, String> {
    let command = PlaneOptions::augment_args(Command::new("controlplane"));
    let all = ["controlplane", "--kubernetes"].iter().chain(flags);
    let matches = command
        .try_get_matches_from(all)
        .map_err(|error| error.to_string())?;
    PlaneOptions::from_arg_matches(&matches).map_err(|error| error.to_string())
}

fn published(list: &str) -> Option<Publish> {
    let identity = Identity {
        pod: None,
        host: "h".to_owned(),
    };
    let flag = format!("--publish-status-address={list}");
    parsed(&[&flag])
        .expect("flags")
        .status
        .writing(&identity, &[])
        .publish
}

#[test]
fn what_the_api_would_refuse_each_time_is_refused_at_the_start() {
    for (flag, reason) in [
        (
            "--publish-status-address=http://gw.example.com",
            "must be addresses and host names",
        ),
        (
            "--publish-status-address=192.0.2.1:80",
            "must be addresses and host names",
        ),
        (
            "--publish-status-address=192.0.2.1,a_b",
            "must be addresses and host names",
        ),
        ("--election-id=Gateway", "must be lower case letters"),
        ("--election-id=", "must be lower case letters"),
        ("--watch-namespace=a.b", "is not the name of a namespace"),
        ("--watch-namespace=Shop", "is not the name of a namespace"),
    ] {
        let error = parsed(&[flag]).expect_err(flag);
        assert!(error.contains(reason), "{flag}: {error}");
    }
    let two = ["gw.example.com", "2001:db8::1"].map(StatusAddress::of);
    assert_eq!(
        published("gw.example.com, 2001:db8:0::1"),
        Some(Publish::Fixed(BTreeSet::from(two)))
    );
}

/// As ingress-nginx has it, whose manifests give such flags empty.
#[test]
fn what_is_empty_is_not_given() {
    let namespaces = |flags: &[&str]| parsed(flags).expect("flags").cluster.namespaces();
    assert_eq!(namespaces(&["--watch-namespace=shop"]), ["shop"]);
    assert!(namespaces(&["--watch-namespace="]).is_empty());
    assert!(namespaces(&["--watch-namespace=shop", "--watch-namespace="]).is_empty());
    assert_eq!(published(""), None);
}
