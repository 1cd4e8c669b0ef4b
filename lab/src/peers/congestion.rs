//! A line that is congested and says so: what each kind of end makes of it (RFC 3168).

use std::time::{Duration, Instant};

use headgate_net::wire::{Parsed, ecn, parse_packet, tcp, tcp_flag};

use super::PATIENCE;
use super::ends::{Act, App};
use super::wire::{Kind, Options, Wire};
use crate::{Impairment, privileged};

use Act::{Read, ReadAll, Shut, Write};
use Kind::{Kernel, Ours};

/// What a side said about congestion, and the line to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The two flags of its SYN.
    setup: u8,
    /// Segments that may be marked: new data, and others, of which there must be none.
    may: u64,
    must_not: u64,
    marked: u64,
    echoes: u64,
    reductions: u64,
    /// Segments with data that were sent before.
    again: u64,
    next: Option<u32>,
}

impl Said {
    /// Takes note of a packet, and marks it where the line is `full` and it may be.
    pub(super) fn watch(&mut self, packet: &mut [u8], full: bool) {
        let Ok(Parsed::Ip(headers)) = parse_packet(packet) else {
            panic!("a bad packet")
        };
        let segment = headers.segment(packet);
        let header = tcp::TcpHeader::of(segment).unwrap();
        let flags = header.flags() & (tcp_flag::ECE | tcp_flag::CWR);
        let (sequence, data) = (header.sequence(), segment.len() - header.header_len());
        let may = ecn::of(packet, &headers) != ecn::NOT_ECT;
        if header.flags() & tcp_flag::SYN != 0 {
            self.setup = flags;
            self.next = Some(sequence.wrapping_add(1));
            self.must_not += u64::from(may);
            return;
        }
        self.echoes += u64::from(flags & tcp_flag::ECE != 0);
        self.reductions += u64::from(flags & tcp_flag::CWR != 0);
        let next = self.next.get_or_insert(sequence);
        let end = sequence.wrapping_add(data as u32);
        let new = data > 0 && end.wrapping_sub(*next).cast_signed() > 0;
        self.again += u64::from(data > 0 && !new);
        if new {
            *next = end;
        }
        *(if new { &mut self.may } else { &mut self.must_not }) += u64::from(may);
        if full && may {
            ecn::set(packet, ecn::CE);
            self.marked += 1;
        }
    }
}

/// Each sends four million bytes to the other.
const ACTS: [&[Act]; 2] = [
    &[Write(4_000_000), Read(4_000_000), Shut, ReadAll],
    &[Read(4_000_000), Write(4_000_000), Shut, ReadAll],
];

/// Ends of these kinds with a line of 40 Mbit/s and 10 ms between them, that marks from a bandwidth-delay product on; what
/// they said.
fn play(kinds: [Kind; 2]) -> [Said; 2] {
    let options = Options {
        marks: Some(50_000),
        ..Options::default()
    };
    let impairment = Impairment {
        delay: Duration::from_millis(5),
        rate: Some(40e6),
        queue: 10_000_000,
        ..Impairment::NONE
    };
    let mut wire = Wire::make(kinds, options, impairment);
    let [client, server] = wire.meet();
    let mut apps = [App::new(client, ACTS[0]), App::new(server, ACTS[1])];
    let (start, mut asked) = (Instant::now(), [false; 2]);
    while !(apps.iter().all(App::is_done) && wire.is_quiet()) {
        wire.turn();
        apps.iter_mut().for_each(App::step);
        for (side, asked) in asked.iter_mut().enumerate() {
            // A kernel that echoes has seen what may be marked, and says so.
            if wire.said[side].echoes > 0 && !std::mem::replace(asked, true) {
                let said = wire.connections(side);
                assert!(said.is_none_or(|said| said.contains("ecnseen")), "{kinds:?}");
            }
        }
        assert!(start.elapsed() < PATIENCE, "{kinds:?}: {:?}", wire.said);
    }
    assert_eq!(wire.overflowed(), 0, "{kinds:?}");
    for app in apps {
        assert_eq!(
            app.log,
            ["read up to 4000000", "the end after 4000000"],
            "{kinds:?}"
        );
    }
    wire.said
}

#[test]
fn a_congested_line_is_heard_of_without_a_loss() {
    if !privileged() {
        return;
    }
    for kinds in [[Kernel, Kernel], [Ours, Kernel], [Kernel, Ours], [Ours, Ours]] {
        let said = play(kinds);
        let [client, server] = &said;
        assert_eq!(client.setup, tcp_flag::ECE | tcp_flag::CWR, "{kinds:?}");
        assert_eq!(server.setup, tcp_flag::ECE, "{kinds:?}");
        for (side, other) in [(client, server), (server, client)] {
            assert!(side.marked > 0 && side.may > 2_000, "{kinds:?}: {said:?}");
            assert!(other.echoes > 0, "{kinds:?}: marks are echoed: {said:?}");
            assert!(side.reductions > 0, "{kinds:?}: echoes are answered: {said:?}");
            assert_eq!(side.must_not, 0, "{kinds:?}: {said:?}");
            // The line drops nothing; a busy machine may look like a lost tail.
            assert!(side.again * 100 < side.may, "{kinds:?}: {said:?}");
        }
    }
}
