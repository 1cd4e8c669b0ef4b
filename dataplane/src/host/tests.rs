use std::net::SocketAddr;

use headgate_ring::message::Protocol;
use rustix::thread::CapabilitySet;

use super::*;
use crate::options::PortRange;
use crate::testing::Namespace;

const WANTED: PortRange = PortRange {
    first: 61000,
    last: 65535,
};

#[test]
fn missing_privileges_are_all_named() {
    let said = privileges::missing(CapabilitySet::NET_RAW).unwrap().to_string();
    assert!(
        said.starts_with("missing CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON: run as root"),
        "{said}"
    );
    let enough = CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    assert!(privileges::missing(enough).is_none());
}

#[test]
fn the_run_directory_has_one_owner() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let first = RunDir::take(&path).unwrap();
    let said = RunDir::take(&path).unwrap_err().to_string();
    assert!(
        said.contains(&format!("another headgate (process {})", std::process::id())),
        "{said}"
    );
    std::fs::write(first.file("x.sock"), "").unwrap();
    assert!(!first.clear("x.sock").unwrap().exists());
    drop(first);
    RunDir::take(&path).unwrap();
}

#[test]
fn a_run_directory_below_a_file_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let said = RunDir::take(&file.path().join("run")).unwrap_err().to_string();
    assert!(said.contains("--run-dir"), "{said}");
}

#[test]
fn lists_of_ports_are_understood() {
    assert!(source_ports::covers("80,61000-65535", WANTED));
    assert!(source_ports::covers("1-65535", WANTED));
    assert!(!source_ports::covers("", WANTED));
    assert!(!source_ports::covers("80,61001-65535", WANTED));
    let range = source_ports::ephemeral("32768\t60999").unwrap();
    assert_eq!(
        range,
        PortRange {
            first: 32768,
            last: 60999
        }
    );
}

#[test]
fn reserved_ports_are_given_back() {
    let namespace = Namespace::new("ports");
    let directory = tempfile::tempdir().unwrap();
    namespace.inside(|| {
        let reserve = || ReservedPorts::reserve(WANTED, directory.path().join("saved")).unwrap();
        let setting = Sysctl::new("net/ipv4/ip_local_reserved_ports");
        for before in ["", "8080,9000-9010"] {
            setting.write(&format!("{before}\n")).unwrap();
            let reserved = reserve();
            assert!(source_ports::covers(&setting.read().unwrap(), WANTED));
            drop(reserved);
            assert_eq!(setting.read().unwrap(), before);
        }
        setting.write("8080\n").unwrap();
        std::mem::forget(reserve());
        drop(reserve());
        assert_eq!(
            setting.read().unwrap(),
            "8080",
            "what one that was killed left is put back by the next"
        );
        let reserved = reserve();
        setting.write("1-65535").unwrap();
        drop(reserved);
        assert_eq!(setting.read().unwrap(), "1-65535", "somebody else's change stays");
    });
}

#[test]
fn tables_of_sockets_are_read() {
    let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000\n\
                   1: 0100007F:0017 00000000:0000 01 00000000:00000000 00:00000000\n\
                   2: nonsense\n";
    let address: SocketAddr = "127.0.0.1:22".parse().unwrap();
    assert_eq!(
        listening::parse(text, Protocol::Tcp, 0x0a),
        [Listening {
            protocol: Protocol::Tcp,
            address
        }]
    );
}

#[test]
fn sockets_are_found_and_matched() {
    let namespace = Namespace::new("listen");
    namespace.block_on(async || {
        let tcp = std::net::TcpListener::bind("127.0.0.1:8080").unwrap();
        let udp = std::net::UdpSocket::bind("[::]:5353").unwrap();
        let found = listening();
        let taken = |protocol, text: &str| {
            let address = text.parse().unwrap();
            found.iter().any(|socket| socket.takes(protocol, address))
        };
        assert!(taken(Protocol::Tcp, "127.0.0.1:8080"));
        assert!(!taken(Protocol::Tcp, "127.0.0.2:8080"));
        assert!(!taken(Protocol::Udp, "127.0.0.1:8080"));
        assert!(taken(Protocol::Udp, "[2001:db8::1]:5353"));
        assert!(taken(Protocol::Udp, "192.0.2.1:5353"));
        drop((tcp, udp));
    });
}
