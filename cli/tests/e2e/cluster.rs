//! The cluster of the truth tables, alive: nine pods with servers, each behind a Service of its own and, for HTTP, a host of
//! its own.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::MutexGuard,
    time::Duration,
};

use headgate_lab::{Gateway, GatewayOptions, Lab, Pod, PodSpec, Shop, address, wait_until};
use serde_json::{Value, json};

use crate::support::{lab, options, options_on_sockets};
use crate::truth::Cluster;

/// The pods of `cluster.yaml`, in the order of their addresses.
pub(crate) const PODS: [&str; 9] = ["x/a", "x/b", "x/c", "y/a", "y/b", "y/c", "z/a", "z/b", "z/c"];
/// Served by HTTP and balanced at L4; port 80 echoes.
pub(crate) const HTTP_PORT: u16 = 81;
/// Balanced, but no pod listens there.
pub(crate) const SILENT_PORT: u16 = 82;

const SOON: Duration = Duration::from_secs(5);

/// A lab with Headgate in front of the nine pods. Fields are dropped in this order.
pub(crate) struct Bed {
    pub(crate) gateway: Gateway,
    _pods: Vec<Pod>,
    pub(crate) lab: Lab,
    manifests: PathBuf,
    /// Makes each state differ from the one before, so that its generation can be waited for.
    changes: u16,
    _turn: MutexGuard<'static, ()>,
}

/// Where the Service of pod `n`, counted from 1, is: IPv4 and IPv6.
pub(crate) fn service(n: u8) -> (IpAddr, IpAddr) {
    address::vip(n)
}

/// The name by which HTTP requests reach pod `n`.
pub(crate) fn host(n: u8) -> String {
    format!("pod-{n}.example.com")
}

impl Bed {
    /// `None` without privileges. Without any policy until [`Self::apply`].
    pub(crate) fn make() -> Option<Self> {
        Self::make_with(&[])
    }

    /// Headgate gets these arguments besides.
    pub(crate) fn make_with(arguments: &[&str]) -> Option<Self> {
        Self::build(|_, manifests| options(manifests), arguments)
    }

    /// On the kernel's sockets, where requests are all that is served.
    pub(crate) fn make_on_sockets() -> Option<Self> {
        Self::build(options_on_sockets, &[])
    }

    fn build(options: impl FnOnce(&Lab, &Path) -> GatewayOptions, arguments: &[&str]) -> Option<Self> {
        let (lab, turn) = lab()?;
        let pods = (1..).zip(PODS).map(|(n, name)| {
            let spec = PodSpec {
                name: name.to_owned(),
                number: n,
                http: vec![HTTP_PORT],
                tcp: vec![80],
                udp: vec![80, 81],
            };
            lab.start_pod(&spec).expect("a pod")
        });
        let pods = pods.collect();
        let manifests = lab.directory().join("manifests");
        fs::create_dir(&manifests).unwrap();
        fs::write(manifests.join("services.json"), services()).unwrap();
        let mut options = options(&lab, &manifests);
        options.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let gateway = Gateway::start(&lab, &options).expect("Headgate");
        Some(Self {
            gateway,
            _pods: pods,
            lab,
            manifests,
            changes: 0,
            _turn: turn,
        })
    }

    /// Replaces the cluster's objects, and returns when the dataplane has acknowledged them.
    pub(crate) fn apply(&mut self, cluster: &Cluster) {
        self.apply_text(&cluster.manifests());
    }

    /// The same for manifests as JSON values one after the other.
    pub(crate) fn apply_text(&mut self, manifests: &str) {
        // What the control plane has had acknowledged.
        let acknowledged = || self.gateway.count("/control/generation").expect("a status");
        let before = acknowledged();
        self.changes += 1;
        replace(
            &self.manifests,
            "cluster.json",
            &format!("{manifests}{}\n", marker(self.changes)),
        );
        wait_until("the new state is in force", SOON, || acknowledged() > before).unwrap_or_else(|error| {
            panic!("{error}; Headgate said:\n{}", self.gateway.log());
        });
    }

    /// Packets denied so far, by direction.
    pub(crate) fn denied(&self) -> BTreeMap<String, u64> {
        let status = self.gateway.status().expect("a status");
        let mut denied = BTreeMap::new();
        for denial in status["denials"].as_array().into_iter().flatten() {
            let direction = denial["direction"].as_str().unwrap_or_default().to_owned();
            *denied.entry(direction).or_default() += denial["packets"].as_u64().unwrap_or(0);
        }
        denied
    }
}

/// Written beside it, then renamed.
fn replace(directory: &Path, name: &str, text: &str) {
    let beside = directory.join(format!(".{name}.new"));
    fs::write(&beside, text).unwrap();
    fs::rename(beside, directory.join(name)).unwrap();
}

/// A Service that nobody asks for, another one each time.
fn marker(number: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "lab", "name": "marker"},
        "spec": {"externalIPs": [address::vip(20).0], "ports": [{"port": 1000 + number}]},
    })
}

/// Services and their endpoints are written down by address: what happens to pods and labels leaves them alone.
fn services() -> String {
    let mut objects = Vec::new();
    let mut rules = Vec::new();
    for n in (1..).take(PODS.len()) {
        let (name, (v4, v6)) = (format!("pod-{n}"), service(n));
        let numbers = [80, HTTP_PORT, SILENT_PORT];
        let ports = numbers
            .map(|port| ["TCP", "UDP"].map(|protocol| (protocol, port)))
            .concat();
        let port = |(protocol, port): &(&str, u16)| {
            let name = format!("{}-{port}", protocol.to_lowercase());
            json!({"name": name, "protocol": protocol, "port": port})
        };
        let ports: Vec<Value> = ports.iter().map(port).collect();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "lab", "name": name},
            "spec": {"externalIPs": [v4, v6], "ports": ports},
        }));
        for (family, address) in [("IPv4", address::pod(n).0), ("IPv6", address::pod(n).1)] {
            objects.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                "metadata": {
                    "namespace": "lab", "name": format!("{name}-{}", family.to_lowercase()),
                    "labels": {"kubernetes.io/service-name": name},
                },
                "ports": ports, "endpoints": [{"addresses": [address]}],
            }));
        }
        let backend = json!({"service": {"name": name, "port": {"number": HTTP_PORT}}});
        rules.push(json!({
            "host": host(n), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        }));
    }
    objects.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "headgate"},
        "spec": {"controller": "headgate.dev/ingress"},
    }));
    objects.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "lab", "name": "pods"},
        "spec": {"ingressClassName": "headgate", "rules": rules},
    }));
    objects.iter().map(|object| format!("{object}\n")).collect()
}

/// Where HTTP requests go.
pub(crate) const INGRESS: (IpAddr, IpAddr) = Shop::INGRESS;
