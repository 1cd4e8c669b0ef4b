//! Pods are replaced behind a gateway that follows a cluster, as a Deployment does it: the new one is ready, then the old one
//! goes. Who asks meanwhile notices nothing, however pods end.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use headgate_apiserver::{ApiServer, Settings};
use headgate_lab::{
    Gateway, GatewayOptions, Lab, Objects, Pod, PodSpec, Process, Shop, address, client::Curl, kill_and_wait,
    wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::draining::{connect, exchange};
use crate::support::{lab, options, options_on_sockets};

/// Requests a second, whether or not those before are answered.
const RATE: u64 = 2000;
/// As many may be under way at once; they are behind the rate where the machine is too slow for it.
const CLIENTS: usize = 32;
const REPLICAS: u8 = 4;
const PORT: u16 = 8080;
const SOON: Duration = Duration::from_secs(20);
/// Of a pod's preStop hook.
const PRE_STOP: Duration = Duration::from_secs(1);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";
/// So that some are under way whenever a pod ends.
const SLOW: &[u8] = b"GET /slow/5 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";
/// Nobody may send it twice.
const POST: &[u8] = b"POST /upload HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 5\r\n\r\nhello";

/// How pods of a Deployment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A preStop hook waits before SIGTERM, at which the server dies.
    WaitsFirst,
    /// Nginx with its image's stop signal, SIGQUIT, at once: idle connections are closed, requests are answered.
    Nginx,
    /// SIGTERM at once, at which the server dies in the midst of requests.
    Dies,
}

impl Kind {
    /// What clients send, one after the other.
    fn requests(self) -> &'static [&'static [u8]] {
        match self {
            Self::WaitsFirst => &[GET, POST, SLOW, GET],
            Self::Nginx => &[GET],
            Self::Dies => &[SLOW],
        }
    }
}

enum Server {
    Lab(Pod),
    Nginx(Process),
}

/// A pod and what its EndpointSlice says of it.
struct Replica {
    number: u8,
    kind: Kind,
    server: Server,
    ready: bool,
    terminating: bool,
}

impl Replica {
    fn start(lab: &Lab, kind: Kind, number: u8) -> Self {
        let server = match kind {
            Kind::Nginx => Server::Nginx(nginx(lab, number)),
            Kind::WaitsFirst | Kind::Dies => {
                let spec = PodSpec {
                    tcp: Vec::new(),
                    udp: Vec::new(),
                    ..PodSpec::new(&format!("web-{number}"), number)
                };
                Server::Lab(lab.start_pod(&spec).unwrap())
            }
        };
        Self {
            number,
            kind,
            server,
            ready: true,
            terminating: false,
        }
    }

    /// As the kubelet does it.
    fn end(self) {
        if self.kind == Kind::WaitsFirst {
            std::thread::sleep(PRE_STOP);
        }
        match self.server {
            Server::Lab(pod) => pod.terminate().unwrap(),
            Server::Nginx(process) => {
                process.signal(Signal::QUIT).unwrap();
                process.finish(SOON).unwrap();
            }
        }
    }

    fn name(&self) -> String {
        format!("web-{}", self.number)
    }

    fn endpoint(&self) -> Value {
        json!({
            "addresses": [address::pod(self.number).0],
            "conditions": {"ready": self.ready, "serving": true, "terminating": self.terminating},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": self.name()},
        })
    }
}

fn nginx(lab: &Lab, number: u8) -> Process {
    let at: SocketAddr = (address::pod(number).0, PORT).into();
    let directory = lab.directory().join(format!("nginx-{number}"));
    std::fs::create_dir_all(&directory).unwrap();
    // Clients' connections end now and then by themselves, too.
    let text = format!(
        "daemon off; pid {0}/pid; error_log {0}/error.log; worker_processes 1; events {{}}\n\
         http {{ access_log off; keepalive_requests 500;\n\
         server {{ listen {at}; location / {{ add_header x-pod web-{number}; return 200 'hello\\n'; }} }} }}\n",
        directory.display()
    );
    let file = directory.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = lab.pods.command("nginx");
    command.arg("-p").arg(&directory).arg("-c").arg(&file);
    let process = Process::spawn_logged("nginx", command, &directory.join("log")).unwrap();
    let listens = || lab.pods.enter(|| TcpStream::connect(at)).unwrap().is_ok();
    wait_until("nginx listens", SOON, listens).unwrap();
    process
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    asked: AtomicU64,
    served: AtomicU64,
    slowest: Mutex<Duration>,
    failed: Mutex<Vec<String>>,
}

impl Seen {
    /// One of the clients, which share the rate.
    fn client(&self, kind: Kind, begun: Instant) {
        let mut kept: Option<TcpStream> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let due = begun + Duration::from_nanos(1_000_000_000 / RATE * number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let sent = Instant::now();
            let requests = kind.requests();
            let request = requests[number as usize % requests.len()];
            match Self::request(kept.take(), request) {
                Ok(stream) => {
                    kept = stream;
                    self.served.fetch_add(1, Ordering::Relaxed);
                    let mut slowest = self.slowest.lock().unwrap();
                    *slowest = slowest.max(sent.elapsed());
                }
                Err(error) => self.failed.lock().unwrap().push(error.to_string()),
            }
        }
    }

    fn request(kept: Option<TcpStream>, request: &[u8]) -> io::Result<Option<TcpStream>> {
        let mut stream = match kept {
            Some(stream) => stream,
            None => connect((Shop::INGRESS.0, 80).into())?,
        };
        match exchange(&mut stream, request) {
            Ok(ends) => Ok((!ends).then_some(stream)),
            Err((error, _)) => Err(error),
        }
    }

    fn wait_for_more(&self, more: u64) {
        let aim = self.served.load(Ordering::Relaxed) + more;
        wait_until("requests go on", SOON, || {
            self.served.load(Ordering::Relaxed) >= aim
        })
        .unwrap();
    }

    fn check(&self) {
        let failed = self.failed.lock().unwrap();
        assert!(
            failed.is_empty(),
            "{} of {self} failed: {:?}",
            failed.len(),
            &failed[..failed.len().min(5)]
        );
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slowest = *self.slowest.lock().unwrap();
        write!(
            f,
            "{} requests, the slowest {slowest:.1?}",
            self.served.load(Ordering::Relaxed)
        )
    }
}

/// Fields are dropped in this order.
struct Bed {
    gateway: Gateway,
    server: ApiServer,
    replicas: Vec<Replica>,
    lab: Lab,
    _turn: MutexGuard<'static, ()>,
}

impl Bed {
    fn make(on_sockets: bool) -> Option<Self> {
        let (lab, turn) = lab()?;
        let server = lab
            .gateway
            .enter(|| ApiServer::start(Settings::default()))
            .unwrap()
            .unwrap();
        let kubeconfig = lab.directory().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        let replicas: Vec<_> = (1..=REPLICAS)
            .map(|number| Replica::start(&lab, Kind::WaitsFirst, number))
            .collect();
        server.store().apply_all(&objects()).unwrap();
        server.store().apply(&slice(&replicas)).unwrap();
        let options = GatewayOptions {
            objects: Objects::Cluster(kubeconfig),
            ..if on_sockets {
                options_on_sockets(&lab, lab.directory())
            } else {
                options(lab.directory())
            }
        };
        let gateway = Gateway::start(&lab, &options).expect("Headgate");
        Some(Self {
            gateway,
            server,
            replicas,
            lab,
            _turn: turn,
        })
    }

    fn publish(&self) {
        self.server.store().apply(&slice(&self.replicas)).unwrap();
    }

    /// Puts a new pod in the place of the oldest one; `maxSurge: 1`, `maxUnavailable: 0`.
    fn replace(&mut self, kind: Kind) {
        let taken: Vec<u8> = self.replicas.iter().map(|replica| replica.number).collect();
        let number = (1..=address::PODS)
            .cycle()
            .skip(usize::from(*taken.last().unwrap()))
            .find(|number| !taken.contains(number))
            .unwrap();
        let mut new = Replica::start(&self.lab, kind, number);
        new.ready = false;
        self.replicas.push(new);
        self.publish();
        self.replicas.last_mut().unwrap().ready = true;
        self.publish();
        (self.replicas[0].ready, self.replicas[0].terminating) = (false, true);
        self.publish();
        let old = self.replicas.remove(0);
        old.end();
        self.publish();
    }

    fn kill_control_plane(&self) {
        let (_, controlplane) = self.gateway.planes().unwrap();
        kill_and_wait(controlplane).unwrap();
    }

    /// Pods of `kind` take the place of those that are there, under load; then they are replaced themselves.
    fn roll_out(&mut self, kind: Kind, restart: bool) {
        let clients = self.lab.clients.clone();
        // Others than those that end first could not answer what these clients ask.
        for _ in 0..REPLICAS {
            self.replace(kind);
        }
        self.until_in_force();
        let (seen, begun) = (Seen::default(), Instant::now());
        let ended = std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| clients.enter(|| seen.client(kind, begun)).unwrap());
            }
            // Also where something below fails.
            let _stops = Stop(&seen);
            seen.wait_for_more(500);
            for number in 0..REPLICAS {
                if restart && number == REPLICAS / 2 {
                    self.kill_control_plane();
                }
                self.replace(kind);
                seen.wait_for_more(500);
            }
            self.until_in_force();
            begun.elapsed()
        });
        seen.check();
        let rate = seen.served.load(Ordering::Relaxed) as f64 / ended.as_secs_f64();
        // Nobody to tell where standard error is closed.
        let _ = writeln!(io::stderr(), "{kind:?}: {seen}, {rate:.0} a second, 0 failed");
    }

    /// All pods that are there answer, and no others.
    fn until_in_force(&self) {
        let there: BTreeSet<_> = self.replicas.iter().map(Replica::name).collect();
        let curl = Curl::new(&self.lab.clients).to(Shop::INGRESS.0);
        let ask = |_| {
            let answer = curl.get("http://shop.example.com/").unwrap();
            answer.header("x-pod").unwrap_or_default().to_owned()
        };
        let answering = || (0..4 * REPLICAS).map(ask).collect::<BTreeSet<_>>();
        wait_until("the pods that are there answer", SOON, || answering() == there)
            .unwrap_or_else(|error| panic!("{error}: {there:?}\n{}", self.gateway.log()));
    }
}

struct Stop<'a>(&'a Seen);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn objects() -> Vec<Value> {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "headgate"},
               "spec": {"controller": "headgate.dev/ingress"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"},
               "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "shop", "name": "web"},
               "spec": {"ingressClassName": "headgate", "rules": [{"host": "shop.example.com", "http": {"paths": [
                   {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
    ]
}

fn slice(replicas: &[Replica]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": replicas.iter().map(Replica::endpoint).collect::<Vec<_>>(),
    })
}

#[test]
fn a_rolling_update_of_pods_fails_no_request() {
    for on_sockets in [false, true] {
        let Some(mut bed) = Bed::make(on_sockets) else {
            return;
        };
        bed.roll_out(Kind::WaitsFirst, false);
        bed.roll_out(Kind::Nginx, true);
        bed.roll_out(Kind::Dies, false);
    }
}
