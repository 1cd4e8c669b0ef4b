//! A stand-in API server, Headgate in front of a server of files, kubectl and curl.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headgate_apiserver::{ApiServer, Settings};
use headgate_lab::{Gateway, GatewayOptions, Namespace, Objects, free_port};
use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_headgate");
/// Where Ingresses are served; no other test uses it.
pub(crate) const ADDRESS: &str = "127.0.0.78";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(40);

static HERE: Namespace = Namespace::current();
/// Ports are looked for and taken later.
static TURN: Mutex<()> = Mutex::new(());

/// Fields are dropped in this order.
pub(crate) struct Bed {
    gateway: RefCell<Option<Gateway>>,
    pub(crate) server: ApiServer,
    pub(crate) http: SocketAddr,
    files: Child,
    pub(crate) pod: u16,
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Bed {
    /// With one process that keeps both planes.
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(settings, &[])
    }

    /// And these flags.
    pub(crate) fn with(settings: Settings, flags: &[&str]) -> Self {
        let bed = Self::without_gateway(settings);
        let gateway = bed.start(bed.directory(), bed.kubeconfig(), bed.http, flags);
        *bed.gateway.borrow_mut() = Some(gateway);
        bed
    }

    /// Both planes, kept by one process.
    pub(crate) fn start(
        &self,
        directory: &Path,
        kubeconfig: PathBuf,
        http: SocketAddr,
        flags: &[&str],
    ) -> Gateway {
        let port = http.port().to_string();
        let mut own = vec!["--http-port", &port, "--election-ttl", "4s"];
        if !flags.contains(&"--https-port") {
            own.extend(["--https-port", "0"]);
        }
        let options = GatewayOptions {
            program: PROGRAM.into(),
            ports: vec!["kernel".to_owned()],
            objects: Objects::Cluster(kubeconfig),
            ingress: vec![http.ip()],
            log: "info".to_owned(),
            arguments: own.iter().chain(flags).map(|&flag| flag.to_owned()).collect(),
        };
        Gateway::start_in(&HERE, directory, &options).unwrap()
    }

    /// Whoever wants one starts it.
    pub(crate) fn without_gateway(settings: Settings) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let server = ApiServer::start(settings).unwrap();
        std::fs::write(directory.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        let address: Ipv4Addr = ADDRESS.parse().unwrap();
        let [http, pod] = [28_080, 29_001].map(|port| free_port(&[address], port).unwrap());
        std::fs::create_dir(directory.path().join("www")).unwrap();
        std::fs::write(directory.path().join("www/index.html"), "hello\n").unwrap();
        let files = Command::new("python3")
            .args([
                "-m",
                "http.server",
                &pod.to_string(),
                "--bind",
                ADDRESS,
                "--protocol",
                "HTTP/1.1",
            ])
            .current_dir(directory.path().join("www"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bed = Self {
            gateway: RefCell::new(None),
            server,
            http: SocketAddr::from((address, http)),
            files,
            pod,
            directory,
            _turn: turn,
        };
        // Requests are answered 502 until it does.
        bed.until("the server of files listens", || {
            TcpStream::connect((address, pod)).is_ok()
        });
        bed
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// What kubectl prints; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new("kubectl")
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl: scripts/setup kubectl installs it");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    pub(crate) fn objects(&self) -> Vec<Value> {
        vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "headgate"},
                   "spec": {"controller": "headgate.dev/ingress"}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"},
                   "spec": {"ports": [{"name": "http", "port": 80, "targetPort": self.pod}]}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
                   "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
                   "ports": [{"name": "http", "port": self.pod, "protocol": "TCP"}]}),
            ingress("web", "web.example.com", "web"),
        ]
    }

    /// As `kubectl apply` takes them: one JSON value after the other.
    pub(crate) fn manifests(&self) -> String {
        let documents: Vec<_> = self.objects().iter().map(ToString::to_string).collect();
        documents.join("\n")
    }

    pub(crate) fn apply_all(&self) {
        self.server.store().apply_all(&self.objects()).unwrap();
    }

    /// The status that curl gets.
    pub(crate) fn curl(&self, host: &str, path: &str) -> String {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5"])
            .args(["--connect-to", &format!("::{}", self.http)])
            .arg(format!("http://{host}{path}"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn until_answered(&self, host: &str, path: &str, status: u16) {
        self.until(&format!("{host}{path} is answered {status}"), || {
            self.curl(host, path) == status.to_string()
        });
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "in vain: {what}\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        self.gateway
            .borrow()
            .as_ref()
            .map(Gateway::log)
            .unwrap_or_default()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.gateway.borrow().as_ref().unwrap().generation()
    }

    pub(crate) fn kill_control_plane(&self) {
        let (_, controlplane) = self.gateway.borrow().as_ref().unwrap().planes().unwrap();
        headgate_lab::kill_and_wait(controlplane).unwrap();
    }

    /// Ends Headgate; gives its log.
    pub(crate) fn stop(&self) -> String {
        let log = self.log();
        let gateway = self.gateway.borrow_mut().take().unwrap();
        assert!(gateway.stop().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.files.kill();
        let _ = self.files.wait();
    }
}

pub(crate) fn ingress(name: &str, host: &str, service: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "shop", "name": name},
        "spec": {"ingressClassName": "headgate", "rules": [{"host": host, "http": {"paths": [{
            "path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}},
        }]}}]},
    })
}

/// One whose Service is not there.
pub(crate) fn broken_ingress() -> Value {
    ingress("broken", "broken.example.com", "nothing")
}
