//! Connections' first packets, handed to the kernel's network stack as if the loopback interface of this thread's
//! namespace had received them, by the program `replay` of `xdp-progs/src/traffic.rs`.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, PerCpuArray, PerCpuValues},
    programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp},
    util::nr_cpus,
};

use crate::policy::cluster::Connection;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../xdp-progs/traffic.o");

/// Bytes of a frame.
pub(super) const FRAME: usize = 64;
/// Where the IP header begins.
const IP: usize = 14;

/// Frames in the kernel, ready to be replayed.
pub(super) struct Replay {
    ebpf: Ebpf,
}

impl Replay {
    /// Makes a frame of each connection.
    ///
    /// # Errors
    ///
    /// Without the privilege.
    pub(super) fn new(connections: &[Connection]) -> Result<Self> {
        let count = u32::try_from(connections.len())?;
        ensure!(count > 0, "nothing to replay");
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FRAMES", count)
            .load(OBJECT)
            .context("loading the generator")?;
        let mut frames: Array<_, [u64; FRAME / 8]> =
            Array::try_from(ebpf.map_mut("FRAMES").context("no map FRAMES")?)?;
        for (number, connection) in (0..).zip(connections) {
            frames.set(number, units(&frame(connection)), 0)?;
        }
        let mut counts: Array<_, u32> = Array::try_from(ebpf.map_mut("COUNT").context("no map COUNT")?)?;
        counts.set(0, count, 0)?;
        program(&mut ebpf)?.load()?;
        Ok(Self { ebpf })
    }

    /// Replays `frames` frames on this core, beginning with the first; returns the nanoseconds for each, as
    /// the kernel says.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn run(&mut self, frames: u32) -> Result<f64> {
        let zeros = vec![0_u64; nr_cpus().map_err(|(_, error)| error)?];
        let mut sent: PerCpuArray<_, u64> =
            PerCpuArray::try_from(self.ebpf.map_mut("GENERATED").context("no map GENERATED")?)?;
        sent.set(0, PerCpuValues::try_from(zeros)?, 0)?;
        let result = program(&mut self.ebpf)?
            .test_run(TestRunOptions {
                data_in: Some(&[0; FRAME]),
                repeat: frames,
                attrs: TestRunAttrs::new().xdp_live_frames(64),
                ..TestRunOptions::new()
            })
            .context("BPF_PROG_TEST_RUN with live frames")?;
        Ok(result.duration.as_secs_f64() * 1e9)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut("replay").context("no program replay")?;
    Ok(program.try_into()?)
}

fn units(frame: &[u8; FRAME]) -> [u64; FRAME / 8] {
    let mut units = [0; FRAME / 8];
    for (unit, bytes) in units.iter_mut().zip(frame.chunks_exact(8)) {
        *unit = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    }
    units
}

/// A connection's first packet, as far as the rules look at it: addresses, protocol, ports. All MAC addresses are
/// zero, as loopback's is.
pub(super) fn frame(connection: &Connection) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let transport = match (connection.src, connection.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            frame[12..14].copy_from_slice(&[0x08, 0x00]);
            frame[IP] = 0x45;
            frame[IP + 3] = (FRAME - IP) as u8;
            frame[IP + 8] = 64;
            frame[IP + 9] = connection.protocol;
            frame[IP + 12..IP + 16].copy_from_slice(&src.octets());
            frame[IP + 16..IP + 20].copy_from_slice(&dst.octets());
            let checksum = checksum(&frame[IP..IP + 20]);
            frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
            IP + 20
        }
        (src, dst) => {
            let octets = |a: IpAddr| match a {
                IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
                IpAddr::V6(a) => a.octets(),
            };
            frame[12..14].copy_from_slice(&[0x86, 0xdd]);
            frame[IP] = 0x60;
            frame[IP + 5] = (FRAME - IP - 40) as u8;
            frame[IP + 6] = connection.protocol;
            frame[IP + 7] = 64;
            frame[IP + 8..IP + 24].copy_from_slice(&octets(src));
            frame[IP + 24..IP + 40].copy_from_slice(&octets(dst));
            IP + 40
        }
    };
    frame[transport..transport + 2].copy_from_slice(&40_000_u16.to_be_bytes());
    frame[transport + 2..transport + 4].copy_from_slice(&connection.dst_port.to_be_bytes());
    frame
}

/// Of an IPv4 header whose checksum is zero (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks_exact(2)
        .map(|b| u32::from(u16::from_be_bytes([b[0], b[1]])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
