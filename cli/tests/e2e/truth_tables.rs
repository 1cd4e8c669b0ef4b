//! The truth tables of `tests/policy/cases`, with real packets: from pods and from clients outside to the pods' Services and
//! hosts, over TCP, UDP and HTTP, IPv4 and IPv6.

use std::{
    io::ErrorKind,
    net::{IpAddr, TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use headgate_lab::address;
use serde_json::json;

use crate::cluster::{Bed, HTTP_PORT, PODS, SILENT_PORT, service};
use crate::probe::{Kind, Probe};
use crate::truth::{self, Case, Cell, Expectation, Step};

#[test]
fn packets_go_where_the_tables_say() {
    let Some(bed) = Bed::make() else { return };
    let sent = run_all(bed, |_| true);
    assert!(sent > 10_000, "{sent}");
}

#[test]
fn requests_go_where_the_tables_say_on_the_kernels_sockets() {
    let Some(bed) = Bed::make_on_sockets() else { return };
    let sent = run_all(bed, |kind| kind == Kind::Http);
    assert!(sent > 1_000, "{sent}");
}

/// Tries every case by the connections that are `wanted`; returns how many these are.
fn run_all(mut bed: Bed, wanted: fn(Kind) -> bool) -> usize {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/cases");
    let mut wrong = Vec::new();
    let mut sent = 0;
    for page in [
        "isolation",
        "selectors",
        "peers",
        "blocks",
        "ports",
        "conflicts",
        "pods",
        "changes",
        "refused",
        "tiers",
    ] {
        for case in truth::cases(&cases.join(format!("{page}.md"))) {
            run(&mut bed, case, wanted, (&mut sent, &mut wrong));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {sent} went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    sent
}

#[test]
fn answers_and_errors_pass_a_pod_that_may_send_nothing() {
    let Some(mut bed) = Bed::make() else { return };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "x", "name": "silent"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]},
    });
    let (v4, v6) = address::pod(1);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": "a"},
        "status": {"podIPs": [{"ip": v4}, {"ip": v6}]},
    });
    bed.apply_text(&format!("{policy}\n{pod}\n"));
    let (client, to) = (address::client(0), service(1));
    for (from, to) in [(client.0, to.0), (client.1, to.1)] {
        let socket = |port| {
            let socket = bed
                .lab
                .clients
                .enter(|| UdpSocket::bind((from, 0)).unwrap())
                .unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            socket.connect((to, port)).unwrap();
            socket.send(b"ping").unwrap();
            socket.recv(&mut [0; 64]).map_err(|error| error.kind())
        };
        assert_eq!(socket(80), Ok("x/a ping".len()), "{from}");
        // The pod's ICMP error is about the client's datagram: it belongs to that flow.
        assert_eq!(socket(SILENT_PORT), Err(ErrorKind::ConnectionRefused), "{from}");
        let connect = || TcpStream::connect((to, SILENT_PORT)).unwrap_err().kind();
        assert_eq!(
            bed.lab.clients.enter(connect).unwrap(),
            ErrorKind::ConnectionRefused,
            "{from}"
        );
    }
}

fn run(bed: &mut Bed, case: Case, wanted: fn(Kind) -> bool, (sent, wrong): (&mut usize, &mut Vec<String>)) {
    let mut cluster = case.cluster;
    for (line, step) in case.steps {
        match step {
            Step::Apply(objects) => cluster.apply(objects),
            Step::Policies(_) => {}
            Step::Delete(keys) => keys
                .iter()
                .for_each(|key| assert!(cluster.delete(key), "{key:?}")),
            Step::Expect(matrix) => {
                let expectations = matrix.expectations(&cluster).unwrap();
                let probes = expectations.iter().flat_map(probes);
                let probes: Vec<(Probe, Cell)> = probes.filter(|(probe, _)| wanted(probe.kind)).collect();
                if !probes.is_empty() {
                    bed.apply(&cluster);
                    *sent += probes.len();
                    let step = |what: String| format!("{}, line {line}: {what}", case.name);
                    wrong.extend(bed.probe(&probes).into_iter().map(step));
                }
            }
        }
    }
}

/// What of it the lab can try: clients are its pods and its outside, servers its nine pods. Ends that have both families use
/// IPv4 for TCP and IPv6 for UDP, for the sake of time.
fn probes(expectation: &Expectation) -> Vec<(Probe, Cell)> {
    let pairs: Vec<_> = expectation.pairs().collect();
    let (port, cell) = (expectation.port, expectation.cell);
    let mut all = Vec::new();
    for &(from, to) in &pairs {
        let kind = match (expectation.protocol.as_str(), port) {
            // Routed requests go to IPv4 endpoints.
            ("TCP", HTTP_PORT) if from.is_ipv4() => Kind::Http,
            ("TCP", 80..=81) => Kind::Tcp,
            ("UDP", 80..=81) => Kind::Udp,
            _ => continue,
        };
        if pairs.len() > 1 && from.is_ipv4() == (kind == Kind::Udp) {
            continue;
        }
        if let (Some(to), true) = (pod(to), is_ours(from)) {
            all.push((Probe { from, to, port, kind }, cell));
        }
    }
    all
}

/// Which of the nine pods has the address, counted from 1.
fn pod(address: IpAddr) -> Option<u8> {
    (1..).take(PODS.len()).find(|n| has(address::pod(*n), address))
}

/// Whether the lab can send from the address.
fn is_ours(address: IpAddr) -> bool {
    let mut ours = (1..=address::PODS)
        .map(address::pod)
        .chain((0..address::CLIENTS).map(address::client));
    ours.any(|pair| has(pair, address))
}

fn has((v4, v6): (IpAddr, IpAddr), address: IpAddr) -> bool {
    address == v4 || address == v6
}
