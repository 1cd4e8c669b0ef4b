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

/// A kubeconfig with a plugin that is this script.
fn with_plugin(script: &str, directory: &std::path::Path, server: &headgate_apiserver::ApiServer) -> String {
    let plugin = directory.join("plugin");
    std::fs::write(&plugin, script).expect("written");
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let mut kubeconfig: Value = serde_json::from_str(&server.kubeconfig_with("x")).expect("a kubeconfig");
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never",
    });
    kubeconfig["users"][0]["user"] = json!({ "exec": exec });
    kubeconfig.to_string()
}

/// A kubeconfig whose user is this.
fn with_user(
    user: &Value,
    directory: &std::path::Path,
    server: &headgate_apiserver::ApiServer,
) -> std::path::PathBuf {
    let mut kubeconfig: Value = serde_json::from_str(&server.kubeconfig_with("x")).expect("a kubeconfig");
    kubeconfig["users"][0]["user"] = user.clone();
    let path = directory.join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).expect("written");
    path
}

/// As editors leave it, and `kubectl` reads it.
#[test]
fn a_token_may_end_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("token"), "admin-token\n").expect("written");
    for user in [json!({"tokenFile": "token"}), json!({"token": "admin-token\n"})] {
        let server = server();
        let text = std::fs::read_to_string(with_user(&user, directory.path(), &server)).expect("read");
        let mut bed = Bed::with(server, QUICK, |options| {
            let crate::Access::Kubeconfig { path, .. } = &options.access else {
                unreachable!("the bed has a kubeconfig")
            };
            let beside = path.with_file_name("token");
            std::fs::copy(directory.path().join("token"), beside).expect("copied");
            std::fs::write(path, &text).expect("written");
        });
        bed.until_complete();
    }
}

#[test]
fn a_token_with_a_line_break_in_it_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = server();
    let file = directory.path().join("token");
    std::fs::write(&file, "admin-\ntoken\n").expect("written");
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "a\nb"},
    });
    let script = format!("#!/bin/sh\ncat <<'END'\n{credential}\nEND\n");
    let plugin = directory.path().join("plugin");
    std::fs::write(&plugin, script).expect("written");
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never"});
    for (user, expected) in [
        (json!({"token": "admin-\ntoken"}), "the token of the kubeconfig has a line break in it, at byte 6, which no header can carry".to_owned()),
        (json!({"tokenFile": file}), format!("{}: holds a token that has a line break in it, at byte 6, which no header can carry", file.display())),
        (json!({"exec": exec}), "cannot use the credentials: the token that the plugin of the kubeconfig gives has a line break or a control character in it, which no header can carry".to_owned()),
    ] {
        let kubeconfig = with_user(&user, directory.path(), &server);
        let Err(error) = Kubernetes::patiently(options(&kubeconfig), QUICK) else {
            panic!("{user} will do");
        };
        assert_eq!(error.to_string(), format!("the Kubernetes API: {expected}"));
    }
}

/// A script that waits until a file is there, and goes on with what is said of it.
fn waiting(file: &std::path::Path, then: &str) -> String {
    format!(
        "#!/bin/sh\nuntil [ -e {} ]; do sleep 0.1; done\n{then}\n",
        file.display()
    )
}

#[test]
fn a_plugin_that_hangs_is_told_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let go_on = directory.path().join("go-on");
    let kubeconfig = directory.path().join("kubeconfig");
    let text = with_plugin(&waiting(&go_on, "exit 1"), directory.path(), &server());
    std::fs::write(&kubeconfig, text).expect("written");
    let error = Kubernetes::patiently(options(&kubeconfig), QUICK).expect_err("no source");
    std::fs::write(go_on, "").expect("written");
    assert_eq!(
        error.to_string(),
        "the Kubernetes API: the credentials were not read within 1s: an exec plugin of the kubeconfig does not end"
    );
}

/// While a plugin hangs everybody goes on with what they have; when it ends, what it says counts.
#[test]
fn a_plugin_that_hangs_later_holds_up_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let go_on = directory.path().join("go-on");
    let mut bed = Bed::with(server(), QUICK, |_| {});
    bed.until_complete();
    let token = |token: &str| {
        format!(
            "echo '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {{\"token\": \"{token}\"}}}}'"
        )
    };
    let text = with_plugin(&waiting(&go_on, &token("new")), directory.path(), &bed.server);
    std::fs::write(bed.kubeconfig(), text).expect("written");
    bed.server.revoke("admin-token");
    bed.server.drop_connections();
    bed.until(|store| !headgate_controlplane::harness::lines(store).is_empty());
    // The plugin is under way, or about to be: requests are made all the same.
    let refused = |entry: &headgate_apiserver::Entry| entry.status == 401;
    let so_far = bed.server.journal().count(refused);
    let soon = std::time::Duration::from_secs(20);
    assert!(bed.server.journal().wait(so_far + 100, soon, refused));
    bed.server.grant("new", User::admin(), None);
    std::fs::write(go_on, "").expect("written");
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

/// Tests run in no pod.
#[test]
fn outside_of_a_pod_it_is_said_what_is_looked_for() {
    let outside = crate::Watching {
        access: crate::Access::InCluster,
        ..options(std::path::Path::new(""))
    };
    let error = Kubernetes::start(outside).expect_err("no source").to_string();
    assert!(
        error.contains("KUBERNETES_SERVICE_HOST") && error.contains("--kubeconfig"),
        "{error}"
    );
}
