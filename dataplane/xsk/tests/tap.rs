//! The way to the kernel's stack and back.

mod common;

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use common::frames::*;
use common::{in_namespace, ip, wait_for};
use headgate_xsk::tap::Tap;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[test]
fn packets_go_to_the_kernel_and_come_from_it() {
    in_namespace(|| {
        let tap = Tap::create("hgtap0").expect("a free name");
        assert_eq!(tap.name(), "hgtap0");
        ip("addr add 192.0.2.1/24 dev hgtap0");
        let socket = UdpSocket::bind((HOST, 5000)).expect("the address is the host's");
        socket.set_nonblocking(true).expect("any socket can");

        let mut packet = ethernet(
            &[],
            0x0800,
            &ipv4(HOST, UDP, &[], 0, &datagram(5000, b"to the kernel")),
        );
        packet[..6].copy_from_slice(&tap.mac());
        tap.write(&packet).expect("the device is up");
        let mut buffer = [0; 2048];
        let length = wait_for("the datagram", || socket.recv(&mut buffer).ok());
        assert_eq!(&buffer[..length], b"to the kernel");

        // The kernel asks for its neighbour's address before it sends; either is a packet of its own.
        let asks = |packet: &[u8]| packet[12..14] == [8, 6] && packet[38..42] == [192, 0, 2, 99];
        socket
            .send_to(b"out", ("192.0.2.99", 9))
            .expect("there is a route");
        wait_for("the kernel's ARP request", || {
            let length = tap.read(&mut buffer).ok()?;
            asks(&buffer[..length]).then_some(())
        });
    });
}

#[test]
fn nothing_to_read_is_said_at_once() {
    in_namespace(|| {
        let tap = Tap::create("hgtap1").expect("a free name");
        let mut buffer = [0; 2048];
        let error = wait_for("the kernel to have said its own", || tap.read(&mut buffer).err());
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_device_goes_with_its_value_and_refusals_say_what_to_do() {
    in_namespace(|| {
        let tap = Tap::create("hgtap2").expect("a free name");
        let busy = Tap::create("hgtap2").expect_err("it exists").to_string();
        assert!(busy.contains("`ip link del hgtap2`"), "{busy}");
        drop(tap);
        wait_for("the device to go", || {
            (!ip("-br link show").contains("hgtap2")).then_some(())
        });
        for name in ["", "sixteen-letters-", "a/b", "a b", "."] {
            let refused = Tap::create(name).expect_err("no such name").to_string();
            assert!(refused.contains("1 to 15 characters"), "{refused}");
        }
    });
}
