//! More connections to a pod at once than one address has source ports for: those that there is no port for wait for one.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use headgate_lab::{Shop, wait_until};

use crate::draining::connect;
use crate::support::Bed;

/// A quarter of them is for HTTP, 32 for each worker.
const FEW: [&str; 2] = ["--source-ports", "61000-61255"];
/// An address of the pods' network that nobody has.
const OWN: &str = "10.244.1.250";
/// To three pods by two workers.
const UPLOADS: usize = 300;

const BEGIN: &[u8] = b"POST /upload HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 5\r\n\r\nhe";

#[test]
fn an_address_of_its_own_has_room_for_more_connections_than_the_hosts() {
    for own in [false, true] {
        let mut arguments = FEW.to_vec();
        if own {
            arguments.extend(["--source-addresses", OWN]);
        }
        let Some(bed) = Bed::make_with(|_| (), &arguments) else {
            return;
        };
        let to: SocketAddr = (Shop::INGRESS.0, 80).into();
        let begin = || {
            let mut stream = connect(to).unwrap();
            stream.write_all(BEGIN).unwrap();
            stream
        };
        let all: Vec<TcpStream> = bed
            .lab
            .clients
            .enter(|| (0..UPLOADS).map(|_| begin()).collect())
            .unwrap();
        if own {
            let busy = || bed.sum_of_workers("/l7/upstream_busy") == UPLOADS as i64;
            wait_until("every upload has its pod", Duration::from_secs(10), busy).unwrap();
        }
        let status = bed.gateway.status().unwrap();
        let served = all
            .into_iter()
            .filter_map(finish)
            .filter(|answer| answer.starts_with("HTTP/1.1 200"))
            .count();
        let of_workers = |name: &str| -> Vec<u64> {
            let workers = status["workers"].as_array().unwrap();
            workers
                .iter()
                .map(|worker| worker["l7"]["tcp"][name].as_u64().unwrap())
                .collect()
        };
        if own {
            assert_eq!(served, UPLOADS);
            assert!(
                of_workers("source_ports_limit")
                    .iter()
                    .all(|limit| *limit == 32 + 32_256),
                "{status:#}"
            );
            assert!(
                of_workers("source_ports_used").iter().all(|used| *used > 32),
                "{status:#}"
            );
        } else {
            assert_eq!(served, UPLOADS);
            assert!(
                bed.sum_of_workers("/l7/tcp/counters/ports_exhausted") > 0,
                "the ports of the host do not suffice"
            );
            assert!(
                of_workers("source_ports_limit").iter().all(|limit| *limit == 32),
                "{status:#}"
            );
        }
    }
}

/// Sends the rest and reads the answer.
fn finish(mut stream: TcpStream) -> Option<String> {
    stream.write_all(b"llo").ok()?;
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}
