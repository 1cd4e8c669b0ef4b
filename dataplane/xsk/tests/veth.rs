//! Queues and steering on real interfaces: pairs of veth in a namespace of the test's own.

mod common;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use common::frames::*;
use common::{Raw, in_namespace, ip, veth, wait_for};
use headgate_xsk::{
    AddressRule, BusyPoll, Frame, FrameCache, Outcome, Queue, QueueConfig, Steering, Umem, XdpMode, ZeroCopy,
};

const VIP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ALL: AddressRule = AddressRule {
    all: true,
    source_ports: None,
    fragments: false,
    neighbours: false,
};

fn config(interface: &str, queue: u32) -> QueueConfig {
    QueueConfig {
        ring_size: 512,
        ..QueueConfig::new(interface, queue)
    }
}

fn udp(to: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(to, UDP, &[], 0, &datagram(port, payload)))
}

/// An interface with the program, a socket on both queues, and the VIP all to itself.
struct Port {
    steering: Steering,
    queues: Vec<Queue>,
}

impl Port {
    fn open(interface: &str, umem: &'static Umem, mode: XdpMode) -> Self {
        let (mut steering, got) = Steering::attach(interface, mode).expect("nothing is attached yet");
        assert_eq!(got, mode);
        let queues: Vec<Queue> = (0..2)
            .map(|queue| {
                let config = QueueConfig {
                    mode,
                    ..config(interface, queue)
                };
                Queue::bind(umem, &config).expect("the queue is free")
            })
            .collect();
        for (number, queue) in queues.iter().enumerate() {
            steering
                .set_queue(number as u32, queue)
                .expect("the queue is bound");
        }
        steering.set_address(VIP.into(), ALL).expect("there is room");
        Self { steering, queues }
    }

    fn receive(&mut self, cache: &mut FrameCache) -> Option<(usize, Frame)> {
        let mut frames = Vec::new();
        let mut queues = self.queues.iter_mut().enumerate();
        let number = queues
            .find_map(|(number, queue)| (queue.receive(cache, &mut frames, 1) > 0).then_some(number))?;
        Some((number, frames.pop()?))
    }

    fn counted(&self, outcome: Outcome) -> u64 {
        self.steering.counters().expect("counters").get(outcome)
    }
}

/// Sends and takes back until the kernel has sent everything and holds frames for receiving alone.
fn settle(umem: &'static Umem, cache: &mut FrameCache, queues: &mut [&mut Queue]) {
    wait_for("sent frames to come back", || {
        let mut sending = 0;
        for queue in &mut *queues {
            queue.transmit(cache, &mut Vec::new());
            sending += queue.statistics().expect("statistics").sending;
        }
        (sending == 0).then_some(())
    });
    let filling: u64 = queues
        .iter()
        .map(|queue| queue.statistics().expect("statistics").filling)
        .sum();
    assert_eq!(umem.kernel_frames() as u64, filling);
    assert_eq!(
        umem.free_frames() as u64 + filling,
        umem.frames() as u64,
        "a frame is lost"
    );
}

fn echo(mode: XdpMode) {
    veth("g0", "c0");
    let umem = Umem::mapped(4096, false).expect("memory");
    let mut cache = umem.cache();
    let mut port = Port::open("g0", umem, mode);
    let client = Raw::open("c0");
    for round in 0..100_u8 {
        let packet = udp(VIP, 9, &vec![round; usize::from(round) * 14]);
        client.send(&packet);
        let (number, mut frame) = wait_for("the packet", || port.receive(&mut cache));
        assert_eq!(frame.data(), packet);
        frame.data_mut()[0] = 0xaa;
        let mut frames = vec![frame];
        assert_eq!(port.queues[number].transmit(&mut cache, &mut frames), 1);
        let answer = wait_for("the answer", || client.receive());
        assert_eq!(answer[0], 0xaa);
        assert_eq!(answer[1..], packet[1..]);
    }
    assert_eq!(port.counted(Outcome::Address), 100);
    let [one, other] = &mut port.queues[..] else {
        unreachable!("two queues")
    };
    settle(umem, &mut cache, &mut [one, other]);
    let counts = port
        .queues
        .iter()
        .map(|queue| queue.statistics().expect("statistics"));
    let (received, completed, bad) = counts.fold((0, 0, 0), |sum, counts| {
        (
            sum.0 + counts.received,
            sum.1 + counts.completed,
            sum.2 + counts.bad_descriptors,
        )
    });
    assert_eq!((received, completed, bad), (100, 100, 0));
}

#[test]
fn packets_are_received_and_sent_in_native_mode() {
    in_namespace(|| echo(XdpMode::Native));
}

#[test]
fn packets_are_received_and_sent_in_generic_mode() {
    in_namespace(|| echo(XdpMode::Generic));
}

/// Forwards what arrives on `from` to `to` until `done` says so.
fn forward(cache: &mut FrameCache, from: &mut Queue, to: &mut Queue, done: &dyn Fn() -> bool) {
    let mut frames = Vec::with_capacity(64);
    while !done() {
        let room = 64 - frames.len();
        if from.receive(cache, &mut frames, room) == 0 && !to.needs_attention() {
            wait_readable(from);
        }
        to.transmit(cache, &mut frames);
    }
}

/// Leaves the processor to others until a packet arrives, but looks up now and then.
fn wait_readable(queue: &Queue) {
    let mut wanted = [rustix::event::PollFd::new(queue, rustix::event::PollFlags::IN)];
    let soon = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    rustix::event::poll(&mut wanted, Some(&soon)).expect("the socket can be waited for");
}

#[test]
#[allow(clippy::too_many_lines, reason = "one step after the other")]
fn two_workers_forward_between_two_ports_and_lose_nothing() {
    in_namespace(|| {
        const ROUNDS: u32 = 200;
        const BURST: u32 = 64;
        veth("c0", "g0");
        veth("g1", "p0");
        let umem = Umem::mapped(8192, false).expect("memory");
        let mut left = Port::open("g0", umem, XdpMode::Native);
        let mut right = Port::open("g1", umem, XdpMode::Native);
        let pods = Raw::open("p0");
        let clients_memory = Umem::mapped(1024, false).expect("memory");
        let mut clients: Vec<Queue> = (0..2)
            .map(|queue| {
                Queue::bind(
                    clients_memory,
                    &QueueConfig {
                        ring_size: 64,
                        ..config("c0", queue)
                    },
                )
                .expect("free")
            })
            .collect();
        let done = std::sync::atomic::AtomicBool::new(false);
        let finished = || done.load(std::sync::atomic::Ordering::Acquire);
        std::thread::scope(|scope| {
            for (from, to) in left.queues.iter_mut().zip(&mut right.queues) {
                let finished = &finished;
                scope.spawn(move || {
                    let mut cache = umem.cache();
                    forward(&mut cache, from, to, finished);
                    settle_one(&mut cache, to);
                });
            }
            let mut cache = clients_memory.cache();
            for round in 0..ROUNDS {
                let queue = &mut clients[round as usize % 2];
                burst(&mut cache, queue, round * BURST, BURST);
                let mut seen = std::collections::BTreeSet::new();
                while seen.len() < BURST as usize {
                    let packet = wait_for("every packet of the burst", || pods.receive());
                    let number = <[u8; 4]>::try_from(&packet[42..46]).expect("the payload");
                    assert!(seen.insert(u32::from_be_bytes(number)), "a packet came twice");
                }
                assert_eq!(seen.first(), Some(&(round * BURST)));
                assert_eq!(seen.last(), Some(&(round * BURST + BURST - 1)));
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let per_queue = u64::from(ROUNDS * BURST / 2);
        for queue in &left.queues {
            let counts = queue.statistics().expect("statistics");
            assert_eq!(counts.received, per_queue, "sent on queue q, received on queue q");
        }
        let mut cache = umem.cache();
        let queues = left.queues.iter_mut().chain(&mut right.queues);
        settle(umem, &mut cache, &mut queues.collect::<Vec<_>>());
        settle(
            clients_memory,
            &mut clients_memory.cache(),
            &mut clients.iter_mut().collect::<Vec<_>>(),
        );
    });
}

fn settle_one(cache: &mut FrameCache, queue: &mut Queue) {
    wait_for("sent frames to come back", || {
        queue.transmit(cache, &mut Vec::new());
        (queue.statistics().expect("statistics").sending == 0).then_some(())
    });
}

/// Sends `count` numbered packets to the VIP.
fn burst(cache: &mut FrameCache, queue: &mut Queue, first: u32, count: u32) {
    let mut frames: Vec<Frame> = (first..first + count)
        .map(|number| {
            let mut frame = wait_for("a free frame", || cache.take());
            frame
                .copy_from(&udp(VIP, 9, &number.to_be_bytes()))
                .expect("the packet fits");
            frame
        })
        .collect();
    wait_for("room to send", || {
        queue.transmit(cache, &mut frames);
        (frames.is_empty() && !queue.needs_attention()).then_some(())
    });
}

/// The next datagram that the kernel hands to `socket`.
fn arrived(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = wait_for("the kernel's copy", || socket.recv(&mut buffer).ok());
    buffer[..length].to_vec()
}

fn kernel_socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((HOST, port)).expect("the address is the host's");
    socket.set_nonblocking(true).expect("any socket can");
    socket
}

/// Sends a datagram to the host from an address that it has a route to.
fn to_host(client: &Raw, gateway_mac: [u8; 6], port: u16, payload: &[u8]) {
    let mut frame = udp(HOST, port, payload);
    frame[..6].copy_from_slice(&gateway_mac);
    client.send(&frame);
}

fn mac(interface: &str) -> [u8; 6] {
    let shown = ip(&format!("-br link show dev {interface}"));
    let text = shown.split_whitespace().nth(2).expect("a link-layer address");
    let octets: Vec<u8> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).expect("hexadecimal"))
        .collect();
    octets.try_into().expect("six octets")
}

#[test]
fn what_is_not_taken_or_has_no_socket_reaches_the_kernel() {
    in_namespace(|| {
        veth("g0", "c0");
        ip(&format!("addr add {HOST}/24 dev g0"));
        let umem = Umem::mapped(4096, false).expect("memory");
        let mut cache = umem.cache();
        let mut port = Port::open("g0", umem, XdpMode::Native);
        let (client, gateway) = (Raw::open("c0"), mac("g0"));
        let (taken, other) = (kernel_socket(5000), kernel_socket(22));
        port.steering
            .add_port(HOST.into(), UDP, 5000)
            .expect("there is room");

        to_host(&client, gateway, 22, b"not taken");
        assert_eq!(arrived(&other), b"not taken");
        assert_eq!(port.counted(Outcome::NotTaken), 1);

        to_host(&client, gateway, 5000, b"taken");
        let (_, frame) = wait_for("the packet", || port.receive(&mut cache));
        assert_eq!(&frame.data()[42..47], b"taken");
        drop(frame);

        for queue in 0..2 {
            port.steering.clear_queue(queue).expect("it was set");
        }
        to_host(&client, gateway, 5000, b"no socket");
        assert_eq!(
            arrived(&taken),
            b"no socket",
            "the one before did not reach the kernel"
        );
        assert_eq!(port.counted(Outcome::NoSocket), 1);

        for (number, queue) in port.queues.iter().enumerate() {
            port.steering
                .set_queue(number as u32, queue)
                .expect("the queue is bound");
        }
        to_host(&client, gateway, 5000, b"taken again");
        let (_, frame) = wait_for("the packet", || port.receive(&mut cache));
        assert_eq!(&frame.data()[42..53], b"taken again");
    });
}

#[test]
fn a_port_without_sockets_passes_everything() {
    in_namespace(|| {
        veth("g0", "c0");
        ip(&format!("addr add {HOST}/24 dev g0"));
        let (mut steering, _) = Steering::attach("g0", XdpMode::Native).expect("nothing is attached yet");
        steering.set_address(HOST.into(), ALL).expect("there is room");
        let socket = kernel_socket(5000);
        to_host(&Raw::open("c0"), mac("g0"), 5000, b"passed");
        assert_eq!(arrived(&socket), b"passed");
        let counters = steering.counters().expect("counters");
        assert_eq!(counters.get(Outcome::NoSocket), 1);
        assert_eq!(counters.get(Outcome::Address), 0);
    });
}

#[test]
fn a_driver_without_xdp_gets_generic_mode_and_says_so() {
    in_namespace(|| {
        ip("link set lo mtu 1500");
        let (mut steering, mode) =
            Steering::attach("lo", XdpMode::Native).expect("generic mode always works");
        assert_eq!(mode, XdpMode::Generic);
        assert_eq!(steering.native_refusal(), Some("its driver has no XDP"));
        let umem = Umem::mapped(1024, false).expect("memory");
        let mut cache = umem.cache();
        let mut queue = Queue::bind(
            umem,
            &QueueConfig {
                mode,
                ..config("lo", 0)
            },
        )
        .expect("the queue is free");
        assert_eq!(queue.zero_copy_refusal(), Some("generic XDP always copies"));
        steering.set_queue(0, &queue).expect("the queue is bound");
        let local: IpAddr = Ipv4Addr::LOCALHOST.into();
        steering.add_port(local, UDP, 5000).expect("there is room");
        let socket = UdpSocket::bind((local, 0)).expect("a free port");
        socket
            .send_to(b"generic", (local, 5000))
            .expect("the way is open");
        let mut frames = Vec::new();
        wait_for("the packet", || {
            (queue.receive(&mut cache, &mut frames, 1) == 1).then_some(())
        });
        assert_eq!(&frames[0].data()[42..], b"generic");
    });
}

#[test]
fn zero_copy_is_asked_for_and_its_refusal_told() {
    in_namespace(|| {
        veth("g0", "c0");
        let umem = Umem::mapped(2048, false).expect("memory");
        let require = QueueConfig {
            zero_copy: ZeroCopy::Require,
            ..config("g0", 0)
        };
        let refused = Queue::bind(umem, &require).expect_err("veth has no zero-copy");
        assert!(
            refused.to_string().starts_with("g0 has no zero-copy ("),
            "{refused}"
        );
        let first = Queue::bind(umem, &config("g0", 0)).expect("copies instead");
        assert!(!first.zero_copy());
        assert!(first.zero_copy_refusal().is_some());
        let second = Queue::bind(umem, &config("g0", 1)).expect("copies like the first");
        assert_eq!(
            second.zero_copy_refusal(),
            Some("a port that shares its packet memory copies")
        );
        let off = QueueConfig {
            zero_copy: ZeroCopy::Off,
            ..config("c0", 0)
        };
        let third = Queue::bind(umem, &off).expect("the queue is free");
        assert_eq!(third.zero_copy_refusal(), None, "it was not asked for");
        let refused = Queue::bind(
            umem,
            &QueueConfig {
                queue: 1,
                interface: "c0".into(),
                ..require
            },
        );
        let refused = refused.expect_err("its memory is copied already");
        assert!(
            refused.to_string().starts_with("c0 has no zero-copy ("),
            "{refused}"
        );
    });
}

#[test]
fn refusals_say_what_to_do() {
    in_namespace(|| {
        veth("g0", "c0");
        let umem = Umem::mapped(2048, false).expect("memory");
        let refusal = |config: &QueueConfig| Queue::bind(umem, config).expect_err("refused").to_string();
        let missing = refusal(&config("nowhere0", 0));
        assert!(missing.contains("`ip link`"), "{missing}");
        let missing = Steering::attach("nowhere0", XdpMode::Native).expect_err("no such interface");
        assert!(missing.to_string().contains("`ip link`"), "{missing}");
        let odd = refusal(&QueueConfig {
            ring_size: 100,
            ..config("g0", 0)
        });
        assert_eq!(
            odd,
            "rings of 100 entries: the size is a power of two from 64 to 2048"
        );
        ip("link set g0 mtu 3000");
        let mtu = refusal(&config("g0", 0));
        assert!(mtu.contains("`ip link set dev g0 mtu 1500`"), "{mtu}");
        ip("link set g0 mtu 1500");
        let queue = refusal(&config("g0", 7));
        assert!(queue.contains("`ethtool -l g0`"), "{queue}");
        let heap = Queue::bind(Umem::heap(64), &config("g0", 0)).expect_err("the kernel does not know it");
        assert!(heap.to_string().contains("Umem::mapped"), "{heap}");

        let held = Queue::bind(umem, &config("g0", 0)).expect("nothing of the above is left behind");
        let own = refusal(&config("g0", 0));
        assert!(own.starts_with("queue 0 of g0 is in use"), "{own}");
        let other = Umem::mapped(1024, false).expect("memory");
        let other = Queue::bind(other, &config("g0", 0))
            .expect_err("it is bound")
            .to_string();
        assert!(other.starts_with("queue 0 of g0 is in use"), "{other}");
        drop(held);

        let _attached = Steering::attach("g0", XdpMode::Native).expect("nothing is attached yet");
        let busy = Steering::attach("g0", XdpMode::Native).expect_err("one is attached");
        assert!(busy.to_string().contains("xdp off"), "{busy}");
    });
}

#[test]
fn a_dropped_queue_is_given_out_again() {
    in_namespace(|| {
        veth("g0", "c0");
        let umem = Umem::mapped(4096, false).expect("memory");
        let client = Raw::open("c0");
        for round in 0..3 {
            let mut cache = umem.cache();
            let mut port = Port::open("g0", umem, XdpMode::Native);
            client.send(&udp(VIP, 9, b"again"));
            let (_, frame) = wait_for("the packet", || port.receive(&mut cache));
            cache.put(frame);
            assert_eq!(umem.free_frames() + umem.kernel_frames(), 4096, "round {round}");
        }
    });
}

#[test]
fn the_program_goes_with_its_steering() {
    in_namespace(|| {
        veth("g0", "c0");
        let (steering, _) = Steering::attach("g0", XdpMode::Native).expect("nothing is attached yet");
        assert!(ip("link show dev g0").contains("prog/xdp"));
        drop(steering);
        assert!(!ip("link show dev g0").contains("prog/xdp"));
    });
}

#[test]
fn busy_polling_is_accepted() {
    in_namespace(|| {
        veth("g0", "c0");
        let umem = Umem::mapped(1024, false).expect("memory");
        let polling = QueueConfig {
            busy_poll: Some(BusyPoll {
                microseconds: 20,
                budget: 64,
            }),
            ..config("g0", 0)
        };
        let mut queue = Queue::bind(umem, &polling).expect("the options are the kernel's own");
        assert_eq!(queue.receive(&mut umem.cache(), &mut Vec::new(), 64), 0);
    });
}

#[test]
fn frames_of_another_memory_are_not_sent() {
    in_namespace(|| {
        veth("g0", "c0");
        let (umem, other) = (Umem::mapped(1024, false).expect("memory"), Umem::heap(4));
        let mut queue = Queue::bind(umem, &config("g0", 0)).expect("the queue is free");
        let mut frame = other.cache().take().expect("four are free");
        frame.copy_from(&udp(VIP, 9, b"stray")).expect("it fits");
        assert_eq!(queue.transmit(&mut umem.cache(), &mut vec![frame]), 1);
        let counts = queue.statistics().expect("statistics");
        assert_eq!((counts.foreign, counts.transmitted), (1, 0));
        assert_eq!(other.free_frames(), 4);
    });
}

/// Not a test of its own: what the next one runs in another process, and kills.
#[test]
fn attached_until_killed() {
    let Some(interface) = std::env::var_os("HEADGATE_TEST_ATTACH") else {
        return;
    };
    let interface = interface.to_str().expect("a name in ASCII");
    let _attached = Steering::attach(interface, XdpMode::Native).expect("nothing is attached yet");
    loop {
        std::thread::park();
    }
}

#[test]
fn the_program_goes_with_a_process_that_is_killed() {
    in_namespace(|| {
        veth("g0", "c0");
        let is_attached = || ip("link show dev g0").contains("prog/xdp");
        // A child has the namespace of the thread that starts it.
        let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "attached_until_killed"])
            .env("HEADGATE_TEST_ATTACH", "g0")
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this test runs again");
        wait_for("the child to attach", || is_attached().then_some(()));
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
        wait_for("the kernel to detach", || (!is_attached()).then_some(()));
    });
}
