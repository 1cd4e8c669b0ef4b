//! What a process without the privileges is told. Capabilities belong to a thread, so each test drops its own.

mod common;

use std::error::Error;

use common::{in_namespace, veth};
use headgate_xsk::tap::Tap;
use headgate_xsk::{FRAME_SIZE, Queue, QueueConfig, Steering, Umem, XdpMode};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Leaves the calling thread with these capabilities alone.
fn keep(capabilities: CapabilitySet) {
    let sets = CapabilitySets {
        effective: capabilities,
        permitted: capabilities,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).expect("capabilities can be dropped");
}

fn told(refused: &dyn Error, what_to_do: &str) {
    let said = refused.to_string();
    assert!(said.contains(what_to_do), "{said}");
}

#[test]
fn without_any_capability() {
    in_namespace(|| {
        veth("g0", "c0");
        keep(CapabilitySet::empty());
        told(
            &Umem::mapped(64, false).expect_err("refused"),
            "run as root, or with CAP_NET_RAW",
        );
        let attached = Steering::attach("g0", XdpMode::Native);
        told(&attached.expect_err("refused"), "run as root, or with CAP_BPF");
        told(
            &Tap::create("hgtap0").expect_err("refused"),
            "run as root, or with CAP_NET_ADMIN",
        );
        assert_eq!(Umem::heap(64).free_frames(), 64, "memory of the heap needs none");
    });
}

#[test]
fn with_network_capabilities_and_a_limit_on_locked_memory() {
    in_namespace(|| {
        veth("g0", "c0");
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
        keep(CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN);
        // Memory up to the limit is really taken, so a limit that is next to none is left alone.
        if let Some(bytes) = limit.filter(|&bytes| bytes <= 256 << 20) {
            let too_many = (bytes / FRAME_SIZE as u64 + 1) as u32;
            told(
                &Umem::mapped(too_many, false).expect_err("refused"),
                "ulimit -l unlimited",
            );
        }
        let umem = Umem::mapped(256, false).expect("these capabilities suffice for that much");
        let config = QueueConfig {
            ring_size: 64,
            ..QueueConfig::new("g0", 0)
        };
        Queue::bind(umem, &config).expect("these capabilities suffice");
    });
}

#[test]
fn huge_pages_that_nobody_reserved() {
    in_namespace(|| {
        let reserved = std::fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
        // As many pages as are reserved in all, and one.
        let pages = reserved.trim().parse::<u32>().unwrap_or(0) + 1;
        let refused = Umem::mapped(pages * 1024, true).expect_err("there are not as many");
        told(&refused, "sysctl -w vm.nr_hugepages=");
    });
}
