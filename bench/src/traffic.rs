//! The kernel as generator, by the program of `xdp-progs/src/traffic.rs`, and as sink.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::Array,
    programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp},
};
use headgate_lab::Namespace;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../xdp-progs/traffic.o");

/// Bytes of a generated frame, without the four of the checksum that a real link adds.
pub(crate) const FRAME: usize = 60;

/// UDP over IPv4 as the generator sends it; source ports count up from 1024.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Of the interface that receives it.
    pub(crate) destination_mac: [u8; 6],
    /// Of the client.
    pub(crate) source: Ipv4Addr,
    /// Where it goes.
    pub(crate) destination: (Ipv4Addr, u16),
    /// How many source ports, and so flows.
    pub(crate) flows: u16,
}

impl Stream {
    /// Its first frame; the UDP checksum is zero, which IPv4 allows.
    fn frame(&self) -> [u8; FRAME] {
        const IP: usize = 14;
        const UDP: usize = IP + 20;
        let mut frame = [0; FRAME];
        frame[..6].copy_from_slice(&self.destination_mac);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        let length = u16::try_from(FRAME - IP).expect("a short frame");
        frame[IP] = 0x45;
        frame[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
        frame[IP + 8] = 64;
        frame[IP + 9] = 17;
        frame[IP + 12..IP + 16].copy_from_slice(&self.source.octets());
        frame[IP + 16..IP + 20].copy_from_slice(&self.destination.0.octets());
        let sum: u32 = frame[IP..UDP]
            .chunks(2)
            .map(|b| u32::from(u16::from_be_bytes([b[0], b[1]])))
            .sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
        frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
        frame[UDP..UDP + 2].copy_from_slice(&1024_u16.to_be_bytes());
        frame[UDP + 2..UDP + 4].copy_from_slice(&self.destination.1.to_be_bytes());
        frame[UDP + 4..UDP + 6].copy_from_slice(&(length - 20).to_be_bytes());
        frame
    }
}

/// Sends a [`Stream`] out of an interface, from the core of the calling thread.
pub(crate) struct Generator {
    ebpf: Ebpf,
    interface: u32,
    stream: Stream,
}

impl Generator {
    /// Loads the program. `interface` is an index in the network namespace of the thread that will send.
    ///
    /// # Errors
    ///
    /// Without the privilege.
    pub(crate) fn new(interface: u32, stream: Stream) -> Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("loading the generator")?;
        let mut template: Array<_, [u16; FRAME / 2]> =
            Array::try_from(ebpf.map_mut("TEMPLATE").context("no map TEMPLATE")?)?;
        let mut units = [0; FRAME / 2];
        for (unit, bytes) in units.iter_mut().zip(stream.frame().chunks(2)) {
            *unit = u16::from_ne_bytes([bytes[0], bytes[1]]);
        }
        template.set(0, units, 0)?;
        let mut flows: Array<_, [u32; 2]> = Array::try_from(ebpf.map_mut("FLOWS").context("no map FLOWS")?)?;
        flows.set(0, [1024, u32::from(stream.flows)], 0)?;
        program(&mut ebpf, "generate")?.load()?;
        Ok(Self {
            ebpf,
            interface,
            stream,
        })
    }

    /// Sends as fast as the kernel can for `duration`, in runs of `burst` frames; returns how many were sent.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn send(&mut self, duration: Duration, burst: u32) -> Result<u64> {
        let frame = self.stream.frame();
        // struct xdp_md (linux/bpf.h): data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let mut context = [0_u8; 24];
        context[4..8].copy_from_slice(&u32::try_from(FRAME)?.to_ne_bytes());
        context[12..16].copy_from_slice(&self.interface.to_ne_bytes());
        let end = Instant::now() + duration;
        let mut sent = 0;
        let program: &mut Xdp = program(&mut self.ebpf, "generate")?;
        while Instant::now() < end {
            program
                .test_run(TestRunOptions {
                    data_in: Some(&frame),
                    ctx_in: Some(&context),
                    repeat: burst,
                    attrs: TestRunAttrs::new().xdp_live_frames(64),
                    ..TestRunOptions::new()
                })
                .context("BPF_PROG_TEST_RUN with live frames")?;
            sent += u64::from(burst);
        }
        Ok(sent)
    }
}

/// Drops the UDP that arrives at an interface as soon as the kernel has it, and counts it.
///
/// An XDP program would be the obvious sink, but veth copies every packet of a socket for one, at the expense of the sender's core.
pub(crate) struct Sink<'a> {
    namespace: &'a Namespace,
}

impl<'a> Sink<'a> {
    /// Sets up the rule; it goes with the namespace.
    ///
    /// # Errors
    ///
    /// When there is no `nft`, or the kernel has no ingress hook.
    pub(crate) fn attach(namespace: &'a Namespace, interface: &str) -> Result<Self> {
        let rules = format!(
            "add table netdev bench; add counter netdev bench sink; \
             add chain netdev bench ingress {{ type filter hook ingress device {interface} priority 0; }}; \
             add rule netdev bench ingress meta l4proto udp counter name sink drop"
        );
        namespace.run_ok("nft", &[&rules])?;
        Ok(Self { namespace })
    }

    /// Frames so far.
    ///
    /// # Errors
    ///
    /// When the counter cannot be read.
    pub(crate) fn frames(&self) -> Result<u64> {
        let listing = self
            .namespace
            .run_ok("nft", &["-j", "list", "counter", "netdev", "bench", "sink"])?;
        let listing: serde_json::Value = serde_json::from_str(&listing)?;
        let counters = listing["nftables"].as_array().into_iter().flatten();
        counters
            .filter_map(|object| object["counter"]["packets"].as_u64())
            .next()
            .with_context(|| format!("no counter in {listing}"))
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("no program {name} in the object"))?;
    Ok(program.try_into()?)
}
