//! Pods as CNIs have them: behind an overlay device, behind a bridge of this node, behind a device for each pod.
//!
//! | | device | to the pod |
//! |---|---|---|
//! | Flannel, and Calico with VXLAN | a real `vxlan` device to another node | route by the other node's address on the device |
//! | Flannel, other users of the bridge plugin | a bridge with a veth pair to each pod | on the bridge's link |
//! | Calico, and others with routes to single pods | a veth pair without an address | a route of the host, /32; the pod's router is 169.254.1.1 |

use std::{fs, net::IpAddr, net::Ipv4Addr, sync::MutexGuard, time::Duration};

use headgate_lab::{
    Gateway, GatewayOptions, Lab, Process, Shop, address,
    client::{Curl, nc_udp},
    pod::READY,
    wait_until,
};
use serde_json::{Value, json};

use crate::support::{lab, options, options_on_sockets, program};

const SOON: Duration = Duration::from_secs(10);
const PORT: u16 = 8080;

/// A part of the network that other nodes reach this one by, over the overlay.
const OF_THE_NODE: &str = "10.245.1.224/27";

/// How a pod is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Vxlan,
    Bridge,
    HostRoute,
    /// A pod on the network of the gateway's own node.
    HostNetwork,
}

/// What Headgate has of the pods' devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// They are ports.
    All,
    /// None of them is.
    None,
    /// None of them is, and the node's network has an address for what Services send to pods.
    NoneButRouted,
    /// There are no ports: the kernel's sockets.
    Sockets,
}

impl Way {
    const ALL: [Self; 4] = [Self::Vxlan, Self::Bridge, Self::HostRoute, Self::HostNetwork];

    /// The device on the gateway's node.
    fn device(self) -> &'static str {
        match self {
            Self::Vxlan => "flannel.1",
            Self::Bridge => "cni0",
            Self::HostRoute => "cali1",
            Self::HostNetwork => "node",
        }
    }

    fn pod(self) -> Ipv4Addr {
        match self {
            Self::Vxlan => Ipv4Addr::new(10, 245, 2, 11),
            Self::Bridge => Ipv4Addr::new(10, 246, 1, 11),
            Self::HostRoute => Ipv4Addr::new(10, 247, 1, 11),
            Self::HostNetwork => Ipv4Addr::new(10, 244, 1, 1),
        }
    }

    /// Where the pod's Service is.
    fn service(self) -> IpAddr {
        let number = Self::ALL.iter().position(|&way| way == self).unwrap_or_default();
        address::vip(1 + u8::try_from(number).unwrap()).0
    }

    fn name(self) -> String {
        self.device().replace('.', "-")
    }

    fn host(self) -> String {
        format!("{}.example.com", self.name())
    }

    /// Makes the devices and routes of the CNI.
    fn set_up(self, lab: &Lab) {
        match self {
            Self::Vxlan => vxlan(lab),
            Self::Bridge => {
                pair(lab, "vethb", "eb0");
                lab.gateway
                    .ip(&[
                        "link add cni0 type bridge",
                        "addr add 10.246.1.1/24 dev cni0",
                        "link set cni0 up",
                        "link set vethb master cni0",
                    ])
                    .unwrap();
                lab.gateway
                    .run_ok("sysctl", &["-qw", "net.ipv4.ip_forward=1"])
                    .unwrap();
                // Of a pod of its own namespace the table would be main.
                lab.pods
                    .ip(&[
                        "addr add 10.246.1.11/24 dev eb0",
                        "route add default via 10.246.1.1 dev eb0 table 106",
                        "rule add from 10.246.1.11 to 169.254.0.0/16 lookup 106",
                    ])
                    .unwrap();
            }
            Self::HostNetwork => {}
            Self::HostRoute => {
                pair(lab, "cali1", "ec0");
                // Of a pod of its own namespace the table would be main.
                lab.pods
                    .ip(&[
                        "addr add 10.247.1.11/32 dev ec0",
                        "route add 169.254.1.1 dev ec0 scope link table 107",
                        "route add default via 169.254.1.1 dev ec0 table 107",
                        "rule add from 10.247.1.11 lookup 107",
                    ])
                    .unwrap();
                // As a node of a cluster does.
                lab.gateway
                    .run_ok("sysctl", &["-qw", "net.ipv4.ip_forward=1"])
                    .unwrap();
                // The host answers for 169.254.1.1, where it has a route for it: the default one.
                lab.gateway
                    .ip(&[
                        "route add 10.247.1.11/32 dev cali1 scope link",
                        "route add default via 192.0.2.10 dev g0",
                    ])
                    .unwrap();
                let settings = [
                    "net.ipv4.conf.cali1.forwarding=1",
                    "net.ipv4.conf.cali1.proxy_arp=1",
                    "net.ipv4.neigh.cali1.proxy_delay=0",
                ];
                lab.gateway
                    .run_ok("sysctl", &[&["-qw"][..], &settings].concat())
                    .unwrap();
            }
        }
    }

    fn server(self, lab: &Lab) -> Process {
        let namespace = if self == Self::HostNetwork {
            &lab.gateway
        } else {
            &lab.pods
        };
        let mut command = namespace.command(program());
        let at = format!("{}:{PORT}", self.pod());
        command.args(["lab", "pod", "--name", &self.name(), "--http", &at, "--udp", &at]);
        Process::spawn_until("a pod", command, READY, SOON).unwrap()
    }

    fn objects(self) -> Vec<Value> {
        let (name, labels) = (self.name(), json!({"app": "behind"}));
        let port = json!({"name": "http", "protocol": "TCP", "port": PORT});
        let datagrams = json!({"name": "datagrams", "protocol": "UDP", "port": PORT});
        let backend = json!({"service": {"name": name, "port": {"number": PORT}}});
        vec![
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": name, "labels": labels},
                   "status": {"phase": "Running", "podIP": self.pod(), "podIPs": [{"ip": self.pod()}],
                              "conditions": [{"type": "Ready", "status": "True"}]}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name},
                   "spec": {"externalIPs": [self.service()], "ports": [port, datagrams]}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"namespace": "shop", "name": format!("{name}-x"),
                                "labels": {"kubernetes.io/service-name": name}},
                   "ports": [port, datagrams], "endpoints": [{"addresses": [self.pod()]}]}),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                   "metadata": {"namespace": "shop", "name": name},
                   "spec": {"ingressClassName": "headgate", "rules": [{"host": self.host(), "http": {"paths": [
                       {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
        ]
    }
}

/// The other node is the pods' namespace; its address on the link between them is that of the lab's first pod.
fn vxlan(lab: &Lab) {
    let nodes = [
        (&lab.gateway, "g1", "10.244.1.1", 1, 2, "10.244.1.11"),
        (&lab.pods, "p0", "10.244.1.11", 2, 1, "10.244.1.1"),
    ];
    for (namespace, under, local, own, other, remote) in nodes {
        let mac = |node: u8| format!("02:00:00:00:f1:0{node}");
        namespace
            .ip(&[
                format!(
                    "link add flannel.1 address {} mtu 1450 type vxlan id 1 dev {under} local {local} dstport 8472 nolearning",
                    mac(own)
                ),
                format!("addr add 10.245.{own}.0/32 dev flannel.1"),
                "link set flannel.1 up".to_owned(),
                format!("neigh add 10.245.{other}.0 lladdr {} dev flannel.1 nud permanent", mac(other)),
                format!("route add 10.245.{other}.0/24 via 10.245.{other}.0 dev flannel.1 onlink"),
            ])
            .unwrap();
        let entry = ["fdb", "append", &mac(other), "dev", "flannel.1", "dst", remote];
        namespace.run_ok("bridge", &entry).unwrap();
    }
    // As a node of a cluster does.
    lab.gateway
        .run_ok("sysctl", &["-qw", "net.ipv4.ip_forward=1"])
        .unwrap();
    // What its sender leaves without a checksum leaves Headgate without one.
    lab.pods
        .run_ok("ethtool", &["-K", "flannel.1", "tx", "off"])
        .unwrap();
    lab.pods.ip(&["addr add 10.245.2.11/32 dev lo"]).unwrap();
}

/// A veth pair from the node to a pod.
fn pair(lab: &Lab, node: &str, pod: &str) {
    let link = format!(
        "link add {node} numrxqueues 2 numtxqueues 2 type veth peer name {pod} netns {} numrxqueues 2 numtxqueues 2",
        lab.pods.name()
    );
    lab.gateway.ip(&[link, format!("link set {node} up")]).unwrap();
    lab.pods.ip(&[format!("link set {pod} up")]).unwrap();
    let settings = ["-K", pod, "tx", "off", "tso", "off", "gso", "off", "gro", "on"];
    lab.pods.run_ok("ethtool", &settings).unwrap();
}

/// Fields are dropped in this order.
struct Bed {
    gateway: Gateway,
    _servers: Vec<Process>,
    ports: Ports,
    lab: Lab,
    _turn: MutexGuard<'static, ()>,
}

impl Bed {
    /// With pods that are reached in these ways.
    fn make(ways: &[Way], ports: Ports) -> Option<Self> {
        let (lab, turn) = lab()?;
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "headgate"},
                   "spec": {"controller": "headgate.dev/ingress"}}),
            // The first client alone.
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                   "metadata": {"namespace": "shop", "name": "first"},
                   "spec": {"podSelector": {"matchLabels": {"app": "behind"}},
                            "ingress": [{"from": [{"ipBlock": {"cidr": format!("{}/32", address::client(0).0)}}]}]}}),
        ];
        let mut servers = Vec::new();
        for way in ways {
            way.set_up(&lab);
            servers.push(way.server(&lab));
            objects.extend(way.objects());
        }
        let manifests = lab.directory().join("manifests");
        fs::create_dir(&manifests).unwrap();
        let text: String = objects.iter().map(|object| format!("{object}\n")).collect();
        fs::write(manifests.join("all.json"), text).unwrap();
        let mut options = match ports {
            Ports::Sockets => options_on_sockets(&lab, &manifests),
            Ports::All | Ports::None | Ports::NoneButRouted => options(&manifests),
        };
        if ports == Ports::NoneButRouted {
            options.arguments = vec![format!("--tap-networks={OF_THE_NODE}")];
        }
        if ports == Ports::All {
            let devices = ways.iter().map(|way| way.device().to_owned());
            options.ports.extend(devices);
        }
        let options = GatewayOptions {
            ingress: vec![Shop::INGRESS.0],
            ..options
        };
        let gateway = Gateway::start(&lab, &options).expect("Headgate");
        Some(Self {
            gateway,
            _servers: servers,
            ports,
            lab,
            _turn: turn,
        })
    }

    fn curl(&self, client: u8, to: IpAddr) -> Curl<'_> {
        let curl = Curl::new(&self.lab.clients).to(to);
        curl.from(address::client(client).0)
            .args(&["--connect-timeout", "3"])
            .deadline(SOON)
    }

    /// Requests, connections and what is neither allowed.
    fn check(&self, way: Way) {
        let url = format!("http://{}/", way.host());
        let served = || {
            self.curl(0, Shop::INGRESS.0)
                .get(&url)
                .is_ok_and(|answer| answer.status == 200)
        };
        wait_until("the first request is served", SOON, served)
            .unwrap_or_else(|error| panic!("{way:?}: {error}\n{}", self.tell()));
        for length in [0, 100, 100_000] {
            let url = format!("http://{}/bytes/{length}", way.host());
            let answer = self.curl(0, Shop::INGRESS.0).get(&url).unwrap();
            assert_eq!(
                (answer.status, answer.header("x-pod")),
                (200, Some(&*way.name())),
                "{way:?}"
            );
            assert_eq!(answer.header("content-length"), Some(&*length.to_string()));
        }
        assert_eq!(
            self.curl(1, Shop::INGRESS.0).get(&url).unwrap().status,
            403,
            "{way:?}"
        );
        match self.ports {
            Ports::All => self.check_service(way),
            // The other node has no route back to what only this node knows.
            Ports::None if way == Way::Vxlan => {}
            Ports::None | Ports::NoneButRouted => {
                let before = self.answers();
                self.check_service(way);
                assert!(self.answers() > before, "{way:?}: they came by the kernel");
            }
            Ports::Sockets => {}
        }
    }

    /// Answers of pods that came by the TAP device.
    fn answers(&self) -> u64 {
        self.gateway.count("/totals/from_kernel").unwrap()
    }

    fn check_service(&self, way: Way) {
        let service = format!("http://{}:{PORT}/", way.service());
        let at_service = |client: u8| {
            let curl = Curl::new(&self.lab.clients).from(address::client(client).0);
            curl.args(&["--connect-timeout", "3"]).get(&service)
        };
        let answer = at_service(0).unwrap_or_else(|error| panic!("{way:?}: {error:#}\n{}", self.tell()));
        assert_eq!(
            (answer.status, answer.header("x-pod")),
            (200, Some(&*way.name())),
            "{way:?}"
        );
        assert!(at_service(1).is_err(), "{way:?}: policies hold");
        let said = nc_udp(&self.lab.clients, way.service(), PORT, "hello").unwrap();
        assert_eq!(said, format!("{} hello", way.name()), "{way:?}");
        let long = format!("{service}bytes/1000000");
        let curl = Curl::new(&self.lab.clients).from(address::client(0).0);
        let answer = curl.get(&long).unwrap();
        assert_eq!(answer.header("content-length"), Some("1000000"), "{way:?}");
    }

    fn tell(&self) -> String {
        format!(
            "{}\n{:#}",
            self.gateway.log(),
            self.gateway.status().unwrap_or_default()
        )
    }
}

#[test]
fn pods_behind_an_overlay_device_are_reached_and_policies_hold() {
    let Some(bed) = Bed::make(&[Way::Vxlan], Ports::All) else {
        return;
    };
    bed.check(Way::Vxlan);
}

#[test]
fn pods_of_this_node_behind_a_bridge_are_reached_and_policies_hold() {
    let Some(bed) = Bed::make(&[Way::Bridge], Ports::All) else {
        return;
    };
    bed.check(Way::Bridge);
}

#[test]
fn pods_by_a_route_of_the_host_each_are_reached_and_policies_hold() {
    let Some(bed) = Bed::make(&[Way::HostRoute], Ports::All) else {
        return;
    };
    bed.check(Way::HostRoute);
}

/// No interface is named: the kernel's routes, whatever they are.
#[test]
fn on_the_kernels_sockets_pods_are_reached_however_the_kernel_reaches_them() {
    let Some(bed) = Bed::make(&Way::ALL, Ports::Sockets) else {
        return;
    };
    for way in Way::ALL {
        bed.check(way);
    }
}

/// Devices of pods come and go with them, and nobody names them: Ingresses then go by the kernel's sockets, and Services by the
/// TAP device.
#[test]
fn pods_whose_devices_are_no_ports_are_reached_by_the_kernel_and_policies_hold() {
    let Some(bed) = Bed::make(&Way::ALL, Ports::None) else {
        return;
    };
    for way in Way::ALL {
        bed.check(way);
    }
}

/// Other nodes have a route to the pods' network of this one: from there they are reached by Services, too.
#[test]
fn pods_of_other_nodes_are_reached_by_services_from_the_network_of_this_node() {
    let Some(bed) = Bed::make(&[Way::Vxlan], Ports::NoneButRouted) else {
        return;
    };
    bed.check(Way::Vxlan);
}
