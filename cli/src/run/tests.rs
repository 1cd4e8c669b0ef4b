use std::time::Instant;

use super::*;

fn shell(name: &'static str, script: &str, patience: Duration) -> Plane {
    Plane {
        name,
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: &[],
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
    let (_nobody, signals) = mpsc::unbounded_channel();
    let code = supervise(planes, Keeper::default(), signals)
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
async fn a_control_plane_that_does_not_end_is_killed_after_its_patience() {
    let (code, after) = fails_beside("trap '' TERM; echo > UP; while :; do sleep 0.01; done").await;
    assert_eq!(code, format!("{:?}", ExitCode::from(3)));
    let most = CONTROLPLANE_PATIENCE + Duration::from_secs(2);
    assert!(
        (CONTROLPLANE_PATIENCE..most).contains(&after),
        "{after:?} after the failure"
    );
}

/// The dataplane gets every signal and drains; the control plane is asked to end when it has.
#[tokio::test]
async fn signals_are_the_dataplanes_and_the_control_plane_ends_after_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let log = at("log");
    let plane = |name, script: &str| {
        let script = script.replace("LOG", &log).replace("UP", &at(name));
        shell(name, &script, Duration::from_secs(20))
    };
    let sleep = "while :; do sleep 0.01; done";
    let planes = [
        plane(
            "dataplane",
            &format!("trap 'echo term >> LOG' TERM; trap 'echo int >> LOG; exit 0' INT; : > UP; {sleep}"),
        ),
        plane(
            "controlplane",
            &format!("trap 'echo control >> LOG; exit 0' TERM; : > UP; {sleep}"),
        ),
    ];
    let (signal, signals) = mpsc::unbounded_channel();
    let supervisor = tokio::spawn(supervise(planes, Keeper::default(), signals));
    let until = async |what: &str, ready: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !ready() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}");
            tokio::task::yield_now().await;
        }
    };
    let exists = |name: &str| std::path::Path::new(&at(name)).exists();
    until("both planes are up", &|| {
        exists("dataplane") && exists("controlplane")
    })
    .await;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    signal.send(Signal::TERM).expect("a supervisor");
    until("the dataplane has the first signal", &|| said() == "term\n").await;
    signal.send(Signal::INT).expect("a supervisor");
    let code = supervisor
        .await
        .expect("no panic")
        .expect("planes that can be started");
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(said(), "term\nint\ncontrol\n");
}
