//! The three gateways, each in front of a pod of its own.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use headgate_lab::{Gateway, Lab, Process, Shop, address, tls::Authority, wait_until};

use super::exchange::{Front, OURS};
use super::pod::{HOST, RecordingPod};
use crate::support::{options, options_on_sockets};

const START: Duration = Duration::from_secs(20);
const POD_PORT: u16 = 8080;
/// Where the certificate is, if there is one.
const SECRET: &str = "web-tls";

/// What runs; ends when dropped.
pub(super) struct Gateways {
    /// Headgate, nginx, haproxy.
    pub(super) fronts: [Front; 3],
    _peers: [Process; 2],
    _headgate: Gateway,
}

impl Gateways {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let peer = |port| SocketAddr::new(address::GATEWAY_V4.into(), port);
        let (ours, _headgate) = headgate(lab, true, None)?;
        let nginx_front = front(lab, "nginx", 2, peer(8081))?;
        let haproxy_front = front(lab, "haproxy", 3, peer(8082))?;
        let _peers = [
            nginx(lab, nginx_front.address, pod(2))?,
            haproxy(lab, haproxy_front.address, pod(3))?,
        ];
        let fronts = [ours, nginx_front, haproxy_front];
        Ok(Self {
            fronts,
            _peers,
            _headgate,
        })
    }
}

fn pod(n: u8) -> SocketAddr {
    SocketAddr::new(address::pod(n).0, POD_PORT)
}

fn front(lab: &Lab, name: &'static str, n: u8, address: SocketAddr) -> Result<Front> {
    let pod = RecordingPod::listen(&lab.pods, pod(n))?;
    let piece = usize::MAX;
    Ok(Front {
        name,
        address,
        pod,
        piece,
        tls: None,
    })
}

/// Headgate alone, with a certificate of this authority.
pub(super) fn headgate(
    lab: &Lab,
    on_sockets: bool,
    authority: Option<&Authority>,
) -> Result<(Front, Gateway)> {
    let front = front(lab, OURS, 1, SocketAddr::new(Shop::INGRESS.0, 80))?;
    let directory = lab.directory().join("manifests");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("framing.yaml"), manifests(pod(1)))?;
    if let Some(authority) = authority {
        let secret = authority.issue(&[HOST])?.secret("framing", SECRET);
        fs::write(directory.join("secret.yaml"), secret)?;
    }
    let mut options = if on_sockets {
        options_on_sockets(lab, &directory)
    } else {
        options(&directory)
    };
    options.arguments = ["--workers", "1"].map(str::to_owned).to_vec();
    Ok((front, Gateway::start(lab, &options)?))
}

/// An Ingress for every host, in front of the pod.
fn manifests(pod: SocketAddr) -> String {
    let (ip, port) = (pod.ip(), pod.port());
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: framing}}\n\
         spec:\n  selector: {{app: web}}\n  ports: [{{port: 80, targetPort: {port}}}]\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: framing, labels: {{app: web}}}}\n\
         spec: {{containers: [{{name: web, image: web}}]}}\n\
         status: {{podIP: {ip}, podIPs: [{{ip: {ip}}}]}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  {{name: web, namespace: framing,\n\
         annotations: {{nginx.ingress.kubernetes.io/ssl-redirect: \"false\"}}}}\n\
         spec:\n  ingressClassName: headgate\n  tls: [{{hosts: [{HOST}], secretName: {SECRET}}}]\n  defaultBackend: {{service: {{name: web, port: {{number: 80}}}}}}\n\
         ---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: headgate}}\n\
         spec: {{controller: headgate.dev/ingress}}\n"
    )
}

/// Its settings for requests are those that ingress-nginx has without a ConfigMap.
fn nginx(lab: &Lab, listen: SocketAddr, pod: SocketAddr) -> Result<Process> {
    let directory = lab.directory().join("nginx");
    fs::create_dir_all(&directory)?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", directory.display()))
        .concat();
    let config = format!(
        "daemon off; master_process off; user root; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{ }}\n\
         http {{\naccess_log off;\n{temporary}\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         map $http_host $best_http_host {{ default $http_host; '' $host; }}\n\
         upstream pods {{ server {pod}; keepalive 16; }}\n\
         server {{\nlisten {listen}; server_name {HOST}; client_max_body_size 0; large_client_header_buffers 4 8k;\n\
         location / {{\nproxy_pass http://pods; proxy_http_version 1.1; proxy_buffering off;\n\
         proxy_set_header Host $best_http_host; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\n}}\n}}\n}}\n",
        dir = directory.display()
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = lab.gateway.command("nginx");
    command.arg("-c").arg(&file);
    start(lab, command, &directory, listen).context("nginx")
}

fn haproxy(lab: &Lab, listen: SocketAddr, pod: SocketAddr) -> Result<Process> {
    let directory = lab.directory().join("haproxy");
    fs::create_dir_all(&directory)?;
    let config = format!(
        "global\n  nbthread 1\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend web\n  bind {listen}\n  default_backend pods\n\
         backend pods\n  server web {pod}\n"
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = lab.gateway.command("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    start(lab, command, &directory, listen).context("haproxy")
}

/// Starts a server in the gateway and waits until it takes connections.
fn start(lab: &Lab, command: Command, directory: &Path, listen: SocketAddr) -> Result<Process> {
    let log = directory.join("log");
    let process = Process::spawn_logged("a peer", command, &log).context("`scripts/setup` installs it")?;
    let connects = || {
        let connected = lab.clients.enter(|| std::net::TcpStream::connect(listen));
        connected.is_ok_and(|connected| connected.is_ok())
    };
    wait_until("it listens", START, connects).with_context(|| fs::read_to_string(log).unwrap_or_default())?;
    Ok(process)
}
