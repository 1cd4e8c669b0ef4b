//! Source ports: what they are taken from, how many are in use, and when they are free again.

use super::packets::{Written, answers};
use super::*;
use crate::segment::{ACK, FIN, RST, SYN};

const REMOTE: &str = "198.51.100.10:80";
const MORE: [&str; 2] = ["10.0.0.101", "10.0.0.102"];

/// Two ports of its first address, and three of each of two others.
fn stack() -> Stack {
    let source: SourceAddress = Rc::new(|_| Some(ip(CLIENT)));
    Stack::new(StackConfig {
        more_sources: Rc::new(|_, number| Some((MORE.get(number)?.parse().unwrap(), 2_000..=2_002))),
        ..StackConfig::new(50_000..=50_001, source)
    })
}

fn call(stack: &Stack) -> Connecting {
    stack.connect(REMOTE.parse().unwrap()).unwrap()
}

fn in_use(stack: &Stack) -> (u64, u64) {
    stack.status().source_ports()
}

#[test]
fn other_addresses_are_used_once_all_ports_of_the_first_are() {
    let stack = stack();
    assert_eq!(in_use(&stack), (0, 2), "of whoever has no others");
    let calls: Vec<_> = (0..8).map(|_| call(&stack)).collect();
    let ends: Vec<_> = calls.iter().map(Connecting::local).collect();
    let of = |address: &str| {
        ends.iter()
            .filter(|end| end.ip() == address.parse::<IpAddr>().unwrap())
            .count()
    };
    assert_eq!((of(CLIENT), of(MORE[0]), of(MORE[1])), (2, 3, 3));
    assert!(ends[..2].iter().all(|end| end.ip() == ip(CLIENT)), "{ends:?}");
    assert_eq!(ends.iter().collect::<std::collections::HashSet<_>>().len(), 8);
    assert_eq!(in_use(&stack), (8, 8));
    assert_eq!(
        stack.connect(REMOTE.parse().unwrap()).err().unwrap().kind(),
        ErrorKind::AddrNotAvailable
    );
    assert_eq!(stack.status().counters[TcpCount::PortsExhausted], 1);
    // Another destination has all of them to itself, another port of the same address too.
    let other = stack.connect("198.51.100.10:81".parse().unwrap()).unwrap();
    assert_eq!(in_use(&stack), (8, 8));
    drop(other);
}

#[test]
fn ports_of_connections_that_were_given_up_are_free() {
    let stack = stack();
    let calls: Vec<_> = (0..8).map(|_| call(&stack)).collect();
    assert_eq!(in_use(&stack), (8, 8));
    drop(calls);
    answers(&stack, Nanos(1));
    assert_eq!(in_use(&stack).0, 0);
    assert!(stack.shared.inner.borrow().is_empty());
}

/// Opens a connection to a peer with or without timestamps and closes it first: TIME-WAIT.
fn closed(stack: &Stack, timestamps: bool, now: Nanos) {
    let mut calling = Box::pin(call(stack));
    let syn = answers(stack, now).pop().expect("a SYN");
    let syn = segment_of(&syn).unwrap();
    let option = |value: u32, echo: u32| {
        let mut bytes = vec![1, 1, 8, 10];
        bytes.extend(value.to_be_bytes());
        bytes.extend(echo.to_be_bytes());
        bytes
    };
    let ours = syn.options.timestamps.expect("we offer them").value;
    let segment = |flags, sequence: u32, acknowledgement| Written {
        v6: false,
        reply: true,
        ports: (80, syn.source.port()),
        sequence,
        acknowledgement,
        flags,
        window: 1_000,
        options: if timestamps { option(7, ours) } else { vec![] },
        payload: vec![],
    };
    let iss = syn.sequence.0;
    give(stack, &segment(SYN | ACK, 100, iss.wrapping_add(1)).packet(), now);
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let std::task::Poll::Ready(Ok(stream)) = std::future::Future::poll(calling.as_mut(), &mut context) else {
        panic!("no connection")
    };
    drop(stream);
    answers(stack, now);
    give(stack, &segment(FIN | ACK, 101, iss.wrapping_add(2)).packet(), now);
    answers(stack, now);
    assert_eq!(stack.status().now[TcpGauge::Connections], 0);
}

#[test]
fn time_wait_keeps_its_port_until_timestamps_tell_old_from_new() {
    let second = 1_000_000_000;
    for timestamps in [true, false] {
        let source: SourceAddress = Rc::new(|_| Some(ip(CLIENT)));
        let stack = Stack::new(StackConfig::new(50_000..=50_000, source));
        let start = Nanos(10 * second);
        answers(&stack, start);
        closed(&stack, timestamps, start);
        assert_eq!(in_use(&stack), (1, 1));
        let remote: SocketAddr = REMOTE.parse().unwrap();
        answers(&stack, Nanos(start.0 + second / 2));
        assert!(stack.connect(remote).is_err(), "too soon");
        answers(&stack, Nanos(start.0 + 2 * second));
        let again = stack.connect(remote);
        assert_eq!(again.is_ok(), timestamps);
        assert_eq!(in_use(&stack), (1, 1));
        drop(again);
        answers(&stack, Nanos(start.0 + 3 * second));
        answers(&stack, Nanos(start.0 + 31 * second));
        assert_eq!(in_use(&stack).0, 0);
        assert!(stack.shared.inner.borrow().is_empty());
    }
}

#[test]
fn a_stray_reset_gives_no_port_back() {
    let stack = stack();
    let call = call(&stack);
    let stray = Written {
        flags: RST,
        reply: true,
        ports: (80, call.local().port()),
        ..Written::syn(80, 5)
    };
    give(&stack, &stray.packet(), Nanos(1));
    assert_eq!(in_use(&stack).0, 1);
    drop(call);
}

/// Who answers clients must not be kept from it by their number.
#[test]
fn clients_leave_room_for_the_connections_that_answer_them() {
    run(async {
        let (client, _, mut network) = pair(Channel::perfect(), 1);
        let server = Stack::new(StackConfig {
            max_connections: 8,
            ..config()
        });
        let at: SocketAddr = "203.0.113.1:80".parse().unwrap();
        server.listen([at]);
        network.join(server.clone(), [at.ip()]);
        tokio::task::spawn_local(network.run());
        let calls: Vec<_> = (0..8).map(|_| client.connect(at).unwrap()).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let status = server.status();
        assert_eq!(status.now[TcpGauge::Connections], 6);
        assert!(status.counters[TcpCount::RefusedFull] >= 2);
        let answers: Vec<_> = (0..2).map(|_| call(&server)).collect();
        assert!(server.connect(REMOTE.parse().unwrap()).is_err());
        drop((calls, answers));
    });
}
