//! A stand-in API server, the source that follows it, and the store that it fills. Each wait is for an event, and a
//! watchdog ends a wait in vain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_apiserver::{ApiServer, Settings};
use headgate_ring::message::{Key, Object};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::reflector::Patience;
use crate::{Access, Kubernetes, Watching, WritingOptions};
use headgate_controlplane::compile::compile;
use headgate_controlplane::harness::{NOW, settings};
use headgate_controlplane::model::{Id, Kind, ObjectName};
use headgate_controlplane::source::store::Store;
use headgate_controlplane::source::{Change, Contents, Source, Stopper};

/// How long a wait in vain takes.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// That of the tests: what takes long otherwise is soon.
pub(crate) const QUICK: Patience = Patience {
    answer: Duration::from_secs(2),
    page: Duration::from_secs(2),
    silence: Duration::from_secs(20),
    watch: 290,
    recheck: Duration::from_millis(200),
    starting: WATCHDOG,
    credentials: Duration::from_secs(1),
    pauses: (Duration::from_millis(10), Duration::from_millis(200)),
};

pub(crate) struct Bed {
    pub(crate) server: ApiServer,
    pub(crate) source: Kubernetes,
    pub(crate) store: Store,
    temporary: TempDir,
    _alive: Sender<()>,
}

/// A server that no test needs to differ.
pub(crate) fn server() -> ApiServer {
    ApiServer::start(Settings::default()).expect("a server")
}

/// What follows it as the administrator, all of it.
pub(crate) fn options(kubeconfig: &Path) -> Watching {
    Watching {
        access: Access::Kubeconfig {
            path: kubeconfig.to_owned(),
            context: None,
        },
        namespaces: Vec::new(),
        named: Vec::new(),
        health: None,
        writing: None,
        admission: None,
    }
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::on(server())
    }

    pub(crate) fn on(server: ApiServer) -> Self {
        Self::with(server, QUICK, |_| {})
    }

    pub(crate) fn writing(server: ApiServer, writing: WritingOptions) -> Self {
        Self::with(server, QUICK, |options| options.writing = Some(writing))
    }

    pub(crate) fn with(server: ApiServer, patience: Patience, change: impl FnOnce(&mut Watching)) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let kubeconfig = temporary.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig()).expect("written");
        let mut options = options(&kubeconfig);
        change(&mut options);
        let source = Kubernetes::patiently(options, patience).expect("a source");
        let stop = source.stopper();
        let (alive, gone) = channel::<()>();
        std::thread::spawn(move || {
            if gone.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
                stop();
            }
        });
        Self {
            server,
            source,
            store: Store::default(),
            temporary,
            _alive: alive,
        }
    }

    /// Takes in all that comes from now on, on a thread.
    pub(crate) fn follow(self) -> Followed {
        let Self {
            server,
            mut source,
            mut store,
            temporary,
            _alive: alive,
        } = self;
        let stop = source.stopper();
        let thread = std::thread::spawn(move || {
            let _alive = alive;
            while let Some(batch) = source.next() {
                store.update(batch);
            }
        });
        Followed {
            server,
            stop,
            temporary,
            thread: Some(thread),
        }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.temporary.path().join("kubeconfig")
    }

    pub(crate) fn apply(&self, object: &Value) -> Value {
        self.server.store().apply(object).expect("an object")
    }

    /// Takes in one batch. Gives what of the model is other than before.
    pub(crate) fn step(&mut self) -> BTreeSet<Id> {
        let batch = self.source.next().expect("the watchdog has bitten");
        self.store.update(batch)
    }

    /// Takes in what comes until this holds.
    pub(crate) fn until(&mut self, holds: impl Fn(&Store) -> bool) {
        while !holds(&self.store) {
            self.step();
        }
    }

    pub(crate) fn until_complete(&mut self) {
        self.until(Store::is_complete);
    }

    pub(crate) fn until_there(&mut self, id: &Id) {
        self.until(|store| store.model().contains(id));
    }

    pub(crate) fn until_gone(&mut self, id: &Id) {
        self.until(|store| !store.model().contains(id));
    }

    /// Takes in what comes until it is what the server has.
    pub(crate) fn until_agreed(&mut self) {
        loop {
            let (watched, files) = (compiled(&self.store), compiled(&self.of_files()));
            if watched == files {
                return;
            }
            let Some(batch) = self.source.next() else {
                let other = |key: &&Key| watched.get(*key) != files.get(*key);
                let all: BTreeSet<_> = watched.keys().chain(files.keys()).filter(other).collect();
                panic!("in vain; others are {all:?}, lines {:?}", self.lines());
            };
            self.store.update(batch);
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        headgate_controlplane::harness::lines(&self.store)
    }

    /// What the server has, as files.
    fn of_files(&self) -> Store {
        let mut store = Store::default();
        let objects = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::Endpoints)
            .flat_map(|kind| {
                let all = self.server.store().list(kind.as_str(), "");
                all.into_iter().map(move |object| (kind, object))
            });
        let files = objects.enumerate().map(|(at, (kind, mut value))| {
            value["apiVersion"] = json!(kind.api_version());
            value["kind"] = json!(kind.as_str());
            let document = headgate_controlplane::source::decode::Document { line: 1, value };
            Change::File(
                Path::new(&format!("{at}.yaml")).into(),
                Contents::Documents(vec![document]),
            )
        });
        store.apply(files);
        store
    }
}

/// A source whose batches are taken in as they come.
pub(crate) struct Followed {
    pub(crate) server: ApiServer,
    stop: Stopper,
    temporary: TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Followed {
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.temporary.path().join("kubeconfig")
    }

    /// Ends the source, and waits for that.
    pub(crate) fn end(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

pub(crate) fn compiled(store: &Store) -> BTreeMap<Key, Object> {
    compile(store.model(), &settings(), NOW).state
}

pub(crate) fn id(kind: Kind, namespace: &str, name: &str) -> Id {
    Id::new(kind, ObjectName::new(namespace, name))
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn pod(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    })
}

pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"selector": {"app": "web"}, "externalIPs": ["198.51.100.7"], "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

pub(crate) fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"port": 8080, "protocol": "TCP"}],
    })
}

pub(crate) fn ingress(name: &str, host: &str, service: &str, secret: Option<&str>) -> Value {
    let tls: Vec<_> = secret
        .iter()
        .map(|name| json!({"hosts": [host], "secretName": name}))
        .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {
            "ingressClassName": "headgate",
            "tls": tls,
            "rules": [{"host": host, "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": 80}}},
            }]}}],
        },
    })
}

pub(crate) fn secret(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"namespace": "shop", "name": name},
        "data": {"tls.crt": value, "tls.key": value},
    })
}
