//! gRPC from a client to pods, neither of which Headgate wrote: Debian's grpcio.

use std::path::Path;
use std::time::Duration;

use headgate_lab::{Process, Shop, address, wait_until};

use crate::support::Bed;

/// Where the interpreter of the distribution is, whose packages `scripts/setup` installs.
const PYTHON: &str = "/usr/bin/python3";
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/grpc/peer.py");
/// The numbers of the pods.
const PODS: [u8; 2] = [9, 10];
const PORT: u16 = 50_051;

const OBJECTS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec: {selector: {app: greeter}, ports: [{port: 80, targetPort: 50051, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: v1
kind: Service
metadata: {name: silent, namespace: shop}
spec: {selector: {app: silent}, ports: [{port: 80, targetPort: 50051, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: grpc, namespace: shop, annotations: {nginx.ingress.kubernetes.io/ssl-redirect: 'false'}}
spec:
  ingressClassName: headgate
  tls: [{hosts: [grpc.example.com], secretName: grpc-tls}]
  rules:
    - host: grpc.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: greeter, port: {number: 80}}}}]}
    - host: silent.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: silent, port: {number: 80}}}}]}
";

fn pod(number: u8) -> String {
    let (v4, _) = address::pod(number);
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: greeter-{number}, namespace: shop, labels: {{app: greeter}}}}\n\
         spec: {{containers: [{{name: server, image: registry.example.com/greeter:1}}]}}\n\
         status: {{phase: Running, podIP: {v4}, podIPs: [{{ip: {v4}}}], conditions: [{{type: Ready, status: 'True'}}]}}\n"
    )
}

/// The servers, and the manifests that name them.
fn serve(bed: &Bed) -> Vec<Process> {
    let secret = bed.shop.authority.issue(&["grpc.example.com"]).unwrap();
    let objects = [
        OBJECTS,
        &PODS.map(pod).concat(),
        "---\n",
        &secret.secret("shop", "grpc-tls"),
    ];
    let served = PODS.map(|number| {
        let mut command = bed.lab.pods.command(PYTHON);
        let at = format!("{}:{PORT}", address::pod(number).0);
        command.args([PEER, "serve", &at, &format!("greeter-{number}")]);
        Process::spawn_until("greeter", command, "ready", Duration::from_secs(20)).unwrap()
    });
    bed.shop.write("grpc.yaml", &objects.concat()).unwrap();
    served.into()
}

fn call(bed: &Bed, arguments: &[&str]) -> String {
    assert!(Path::new(PYTHON).exists(), "scripts/setup installs it");
    let arguments = [&[PEER], arguments].concat();
    let finished = bed
        .lab
        .clients
        .run(PYTHON, &arguments, Duration::from_secs(100))
        .unwrap();
    assert!(
        finished.success(),
        "{arguments:?}: {}{}",
        finished.stdout,
        finished.stderr
    );
    finished.stdout
}

#[test]
fn calls_of_all_kinds_reach_pods_over_tls_and_without() {
    for bed in Bed::on_each() {
        let servers = serve(&bed);
        let ca_file = bed.shop.ca_file().display().to_string();
        wait_until("the routes are there", Duration::from_secs(20), || {
            let answer = bed.curl().get("http://grpc.example.com/");
            answer.is_ok_and(|answer| answer.status != 404)
        })
        .unwrap();
        let (plain, tls) = (
            format!("{}:80", Shop::INGRESS.0),
            format!("{}:443", Shop::INGRESS.0),
        );
        for arguments in [
            &["call", &plain, "grpc.example.com"][..],
            &["call", &tls, "grpc.example.com", &ca_file],
        ] {
            let said = call(&bed, arguments);
            assert!(said.contains("served by greeter-10 greeter-9"), "{said}");
        }
        call(&bed, &["unavailable", &plain, "silent.example.com"]);
        bed.wait_until_quiet();
        drop(servers);
    }
}
