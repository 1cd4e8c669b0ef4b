//! What works without any privilege, as an ordinary user.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use headgate_lab::free_port;

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

/// Demos of this program; those of others are waited for.
static DEMO: Mutex<()> = Mutex::new(());

#[test]
fn the_demo_on_the_kernels_sockets_holds_what_it_says() {
    let _turn = DEMO.lock().unwrap_or_else(PoisonError::into_inner);
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

/// The usual ports of the gateway are taken, as those of somebody's development server are, and the demo is run twice at once.
#[test]
fn demos_take_other_ports_and_turns() {
    let _turn = DEMO.lock().unwrap_or_else(PoisonError::into_inner);
    let taken: Vec<_> = [8080, 8443]
        .into_iter()
        .filter_map(|port| TcpListener::bind(("127.0.0.10", port)).ok())
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let program = program_in(directory.path());
    let start = || {
        let mut command = unprivileged(&program);
        command
            .args(["demo", "--port", "kernel"])
            .env_remove("XDG_RUNTIME_DIR");
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let demos = [start(), start()].map(|demo| demo.wait_with_output().unwrap());
    drop(taken);
    let texts = demos.map(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("expectations held and 0 did not"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            !text.contains("127.0.0.10:8080") && !text.contains("127.0.0.10:8443"),
            "{text}"
        );
        text
    });
    assert!(
        texts.iter().any(|text| text.contains("another demo is at work")),
        "{texts:?}"
    );
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

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// An address of loopback that no other test uses.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// Its ports are looked for and taken later.
static POOR: Mutex<()> = Mutex::new(());

/// `headgate run --port kernel` of an ordinary user, with few descriptors. Dropping it ends it.
struct Poor {
    child: Child,
    directory: tempfile::TempDir,
    http: SocketAddr,
    metrics: SocketAddr,
}

impl Poor {
    const DESCRIPTORS: usize = 256;

    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = program_in(directory.path());
        let run_dir = directory.path().join("run");
        std::fs::create_dir(&run_dir).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&run_dir, open).unwrap();
        let manifests = directory.path().join("manifests");
        std::fs::create_dir(&manifests).unwrap();
        let [http, metrics] =
            [18_080, 19_090].map(|port| SocketAddr::from((ADDRESS, free_port(&[ADDRESS], port).unwrap())));
        let script = format!("ulimit -n {}; exec \"$0\" \"$@\"", Self::DESCRIPTORS);
        let mut command = Command::new("sh");
        let run = unprivileged(&program);
        command
            .args(["-c", &script])
            .arg(run.get_program())
            .args(run.get_args());
        command.args(["run", "--port", "kernel", "--workers", "1", "--https-port", "0"]);
        command
            .arg("--manifests")
            .arg(&manifests)
            .arg("--run-dir")
            .arg(&run_dir);
        command.args(["--ingress-address", &ADDRESS.to_string()]);
        command.args([
            "--http-port",
            &http.port().to_string(),
            "--metrics",
            &metrics.to_string(),
        ]);
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let poor = Self {
            child,
            directory,
            http,
            metrics,
        };
        poor.until("it serves", || {
            TcpStream::connect(http).is_ok() && poor.is_ready()
        });
        poor
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn until(&self, what: &str, mut ask: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ask() {
            assert!(Instant::now() < deadline, "{what}: not in time\n{}", self.log());
            std::thread::yield_now();
        }
    }

    /// Whether the probe says so in time.
    fn is_ready(&self) -> bool {
        self.probe("/readyz")
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn probe(&self, path: &str) -> std::io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        converse(TcpStream::connect(self.metrics)?, &request)
    }

    /// The planes, by what they are called.
    fn plane(&self, name: &str) -> Option<i32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        let is = |child: &&str| {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes())
        };
        children.split_ascii_whitespace().find(is)?.parse().ok()
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn converse(mut stream: TcpStream, request: &str) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Clients that take all they can get leave descriptors for connections to pods, for who asks how it goes, and for a
/// control plane that comes back.
#[test]
fn clients_do_not_take_the_last_descriptor() {
    let _turn = POOR.lock().unwrap_or_else(PoisonError::into_inner);
    let poor = Poor::start();
    let connect = || TcpStream::connect(poor.http).unwrap();
    let idle: Vec<_> = (0..2 * Poor::DESCRIPTORS).map(|_| connect()).collect();
    assert!(poor.is_ready());
    poor.until("it is told that clients wait", || {
        let metrics = poor.probe("/metrics").unwrap_or_default();
        let paused = |line: &str| {
            line.strip_prefix("headgate_http_accepts_paused_total ")?
                .parse()
                .ok()
        };
        metrics
            .lines()
            .find_map(paused)
            .is_some_and(|times: u64| times > 0)
    });
    // What is no request is answered and lingers on while it is not read.
    drop(idle);
    let nonsense: Vec<_> = (0..2 * Poor::DESCRIPTORS)
        .map(|_| {
            let mut stream = connect();
            // Where it is ended at once there is nobody to write to.
            let _ = stream.write_all(b"\0\r\n\r\n");
            stream
        })
        .collect();
    assert!(poor.is_ready());
    let before = poor.plane("controlplane").unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(before).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let again = "connected to the dataplane";
    poor.until("a control plane connects again", || {
        poor.log().matches(again).count() == 2
    });
    drop(nonsense);
    let request = "GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: close\r\n\r\n";
    let answer = converse(connect(), request).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let log = poor.log();
    assert!(!log.contains("Too many open files"), "{log}");
    assert!(log.contains("there may be 256 descriptors"), "{log}");
}

/// However the supervisor ends, its planes do not go on without it.
#[test]
fn a_killed_supervisor_takes_its_planes_along() {
    let _turn = POOR.lock().unwrap_or_else(PoisonError::into_inner);
    let poor = Poor::start();
    let planes = ["dataplane", "controlplane"].map(|name| poor.plane(name).unwrap());
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&poor.child),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    // One that has ended and that nobody has waited for yet has no command line.
    let has_ended =
        |plane: &i32| std::fs::read(format!("/proc/{plane}/cmdline")).map_or(true, |line| line.is_empty());
    poor.until("the planes end", || planes.iter().all(has_ended));
}
