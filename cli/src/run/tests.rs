use std::time::Instant;

use super::*;

fn shell(name: &'static str, script: &str, patience: Duration) -> Plane {
    Plane {
        name,
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        patience,
    }
}

/// What `supervise` gives for a dataplane that fails once the control plane is up, and how long after the failure.
async fn fails_beside(control: &str) -> (String, Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (up, failed) = (at("up"), at("failed"));
    let planes = [
        // Opening a pipe for reading waits until the other plane opens it for writing.
        shell(
            "dataplane",
            &format!("read -r x < {up}; : > {failed}; exit 3"),
            Duration::from_secs(20),
        ),
        shell("controlplane", &control.replace("UP", &up), CONTROLPLANE_PATIENCE),
    ];
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        up.as_str(),
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .expect("a pipe");
    let code = supervise(planes, Keeper::default())
        .await
        .expect("planes that can be started");
    let failed = std::fs::metadata(failed)
        .and_then(|m| m.modified())
        .expect("the dataplane failed");
    (
        format!("{code:?}"),
        failed.elapsed().expect("a clock that goes on"),
    )
}

#[tokio::test]
async fn a_dataplane_that_fails_at_once_ends_the_control_plane() {
    let started = Instant::now();
    let (code, after) = fails_beside("trap 'exit 0' TERM; echo > UP; while :; do sleep 0.01; done").await;
    assert_eq!(code, format!("{:?}", ExitCode::from(3)));
    assert!(
        after < Duration::from_millis(400),
        "{after:?} after the failure, {:?} in all",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_control_plane_that_does_not_end_is_not_waited_for() {
    let (code, after) = fails_beside("trap '' TERM; echo > UP; while :; do sleep 0.01; done").await;
    assert_eq!(code, format!("{:?}", ExitCode::from(3)));
    assert!(after < Duration::from_secs(1), "{after:?} after the failure");
}
