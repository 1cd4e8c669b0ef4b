use tokio::sync::mpsc;

use super::*;
use crate::start::testing::free;

fn listeners(workers: u8) -> (Listeners, Vec<Arc<Inlet>>) {
    let shared = Arc::new(Shared::new(workers, mpsc::channel(1).0).unwrap());
    let inlets: Vec<_> = (0..workers).map(|_| Arc::default()).collect();
    (Listeners::new(&shared, inlets.clone()), inlets)
}

#[test]
fn each_worker_gets_a_socket_and_what_stays_is_left_alone() {
    let (mut listeners, inlets) = listeners(2);
    let [first, second] = [free(), free()];
    listeners.follow(&[first].into());
    let taken: Vec<_> = inlets.iter().map(|inlet| inlet.take()).collect();
    assert!(
        taken
            .iter()
            .all(|sockets| sockets.len() == 1 && sockets[0].0 == first)
    );
    listeners.follow(&[first, second].into());
    for inlet in &inlets {
        let sockets = inlet.take();
        assert_eq!(
            sockets.iter().map(|(address, _)| *address).collect::<Vec<_>>(),
            [second]
        );
    }
    assert!(std::net::TcpStream::connect(first).is_ok());
}

#[test]
fn an_address_that_is_taken_is_told_and_tried_again() {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    let (mut listeners, inlets) = listeners(2);
    listeners.follow(&[address].into());
    assert_eq!(
        listeners.fault(address),
        Some("another program of this host listens there")
    );
    assert!(inlets[0].is_empty());
    drop(theirs);
    listeners.retry();
    assert_eq!(listeners.fault(address), None);
    assert_eq!(inlets[1].take().len(), 1);
}

#[test]
fn an_address_of_one_link_is_said_to_be_none() {
    let (mut listeners, _) = listeners(1);
    let address: SocketAddr = "[fe80::77]:8080".parse().unwrap();
    listeners.follow(&[address].into());
    let fault = listeners.fault(address).unwrap();
    assert!(fault.contains("an address of one link"), "{fault}");
}

#[test]
fn an_address_of_another_host_is_named() {
    let (mut listeners, _) = listeners(1);
    let address: SocketAddr = "203.0.113.77:8080".parse().unwrap();
    listeners.follow(&[address].into());
    assert_eq!(
        listeners.fault(address),
        Some("the address 203.0.113.77 is not on this host")
    );
    listeners.follow(&BTreeSet::new());
    assert_eq!(listeners.fault(address), None);
}

#[test]
fn a_low_port_without_the_capability_says_what_to_do() {
    let reason = explain("192.0.2.1:80".parse().unwrap(), Errno::ACCESS);
    for part in ["CAP_NET_BIND_SERVICE", "--http-port 8080", "setcap"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
}
