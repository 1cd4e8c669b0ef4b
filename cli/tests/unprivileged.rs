//! What works without any privilege, as an ordinary user.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headgate");
/// "nobody" and "nogroup" of most systems; any number does that owns no files.
const NOBODY: &str = "65534";

/// A place that an ordinary user can reach with the program in it: where it was built may be somebody's home.
fn program_in(directory: &Path) -> PathBuf {
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory, open).unwrap();
    let program = directory.join("headgate");
    if std::fs::hard_link(PROGRAM, &program).is_err() {
        std::fs::copy(PROGRAM, &program).unwrap();
    }
    program
}

/// A command that runs as an ordinary user without capabilities, whoever runs the test.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "--no-new-privs",
    ]);
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    command.arg(program);
    command
}

#[test]
fn the_demo_on_the_kernels_sockets_holds_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let program = program_in(directory.path());
    let output = unprivileged(&program)
        .args(["demo", "--port", "kernel"])
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("expectations held and 0 did not"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for step in [
        "HTTPS",
        "Routes",
        "NetworkPolicies",
        "A manifest changes",
        "Each plane is killed",
        "SIGTERM",
    ] {
        assert!(text.contains(step), "{step} in {text}");
    }
}

#[test]
fn the_demo_on_packets_says_that_it_needs_root_and_what_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let program = program_in(directory.path());
    let output = unprivileged(&program).arg("demo").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        text.contains("--port kernel") && text.contains("needs root"),
        "{text}"
    );
}
