//! Tokens, certificates and authorities that change.

use std::os::unix::fs::PermissionsExt;

use headgate_apiserver::User;
use serde_json::{Value, json};

use super::bed::{Bed, QUICK, id, options, pod, server};
use crate::{Kubernetes, StartError};
use headgate_controlplane::model::Kind;

#[test]
fn a_token_that_is_replaced_is_read_again() {
    let mut bed = Bed::with(server(), QUICK, |_| {});
    bed.until_complete();
    bed.server.grant("new", User::admin(), None);
    std::fs::write(bed.kubeconfig(), bed.server.kubeconfig_with("new")).expect("written");
    bed.server.revoke("admin-token");
    bed.server.drop_connections();
    bed.apply(&pod("a", "10.0.0.1"));
    bed.until_there(&id(Kind::Pod, "shop", "a"));
}

#[test]
fn a_token_that_is_not_good_any_more_is_told() {
    let mut bed = Bed::new();
    bed.until_complete();
    bed.server.revoke("admin-token");
    bed.server.close_watches();
    bed.until(|store| !headgate_controlplane::harness::lines(store).is_empty());
    assert!(
        bed.lines()[0].starts_with("the API server does not accept the credentials: "),
        "{:?}",
        bed.lines()
    );
    bed.server.grant("admin-token", User::admin(), None);
    bed.until(|store| headgate_controlplane::harness::lines(store).is_empty());
}

#[test]
fn an_authority_that_is_replaced_is_read_again() {
    let mut bed = Bed::new();
    bed.until_complete();
    bed.server.rotate_authority().expect("a new one");
    std::fs::write(bed.kubeconfig(), bed.server.kubeconfig()).expect("written");
    bed.server.drop_connections();
    bed.apply(&pod("a", "10.0.0.1"));
    bed.until_there(&id(Kind::Pod, "shop", "a"));
}

#[test]
fn a_client_certificate_will_do() {
    let server = server();
    let kubeconfig = server
        .kubeconfig_with_certificate(&User::admin())
        .expect("a certificate");
    let mut bed = Bed::with(server, QUICK, |options| {
        let crate::Access::Kubeconfig { path, .. } = &options.access else {
            unreachable!("the bed has a kubeconfig")
        };
        std::fs::write(path, &kubeconfig).expect("written");
    });
    bed.until_complete();
}

/// A plugin that gives another token each time, of which only the last is good.
#[test]
fn an_exec_plugin_is_asked_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let plugin = directory.path().join("plugin");
    let token = directory.path().join("token");
    std::fs::write(&token, "first").expect("written");
    let script = format!(
        "#!/bin/sh\necho '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": \
         {{\"token\": \"'$(cat {})'\"}}}}'\n",
        token.display()
    );
    std::fs::write(&plugin, script).expect("written");
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let server = server();
    server.grant("first", User::admin(), None);
    let by_token = server.kubeconfig_with("x");
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never",
    });
    let mut kubeconfig: Value = serde_json::from_str(&by_token).expect("a kubeconfig");
    kubeconfig["users"][0]["user"] = json!({ "exec": exec });
    let kubeconfig = kubeconfig.to_string();
    let mut bed = Bed::with(server, QUICK, |options| {
        let crate::Access::Kubeconfig { path, .. } = &options.access else {
            unreachable!("the bed has a kubeconfig")
        };
        std::fs::write(path, &kubeconfig).expect("written");
    });
    bed.until_complete();
    bed.server.grant("second", User::admin(), None);
    std::fs::write(&token, "second").expect("written");
    bed.server.revoke("first");
    bed.server.drop_connections();
    bed.apply(&pod("a", "10.0.0.1"));
    bed.until_there(&id(Kind::Pod, "shop", "a"));
}

#[test]
fn what_cannot_be_used_is_told_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kubeconfig");
    let error = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(&path, text).expect("written");
        }
        let error: StartError = Kubernetes::start(options(&path)).expect_err("no source");
        error.to_string().replace(&path.display().to_string(), "FILE")
    };
    let missing = error(None);
    assert!(
        missing.starts_with("the Kubernetes API: FILE: ") && missing.contains("No such file"),
        "{missing}"
    );
    let nonsense = error(Some("clusters: 7"));
    assert!(
        nonsense.starts_with("the Kubernetes API: FILE: ") && nonsense.contains("clusters"),
        "{nonsense}"
    );
    let empty = error(Some("apiVersion: v1\nkind: Config\n"));
    assert!(
        empty.starts_with("the Kubernetes API: FILE: ") && empty.contains("context"),
        "{empty}"
    );
}
