use proptest::prelude::*;

use super::{SourcePortOwner, SourcePorts};
use crate::ids::{StageId, WorkerId};

#[test]
fn too_narrow_is_refused() {
    assert!(SourcePorts::new(40000, 39999, 1).is_err());
    assert!(SourcePorts::new(0, 65535, 1).is_err());
    assert!(SourcePorts::new(40000, 40010, 2).is_err());
    assert!(SourcePorts::new(40000, 40015, 0).is_err());
    assert!(SourcePorts::new(40000, 40015, 2).is_ok());
    assert!(SourcePorts::new(1, 65535, 1).is_ok());
    assert!(SourcePorts::cut(40000, 40015, 2, 0).is_err());
    assert!(SourcePorts::cut(40000, 40015, 1, 3).is_err());
    assert!(SourcePorts::cut(40000, 40015, 3, 1).is_err());
    assert!(SourcePorts::cut(40000, 40015, 1, 2).is_ok());
}

#[test]
fn one_worker_with_every_port() {
    let ports = SourcePorts::new(1, 65535, 1).unwrap();
    assert_eq!(ports.range(), 1..=65535);
    assert_eq!(ports.owner(0), None);
    assert_eq!(ports.owner(65535), Some(SourcePortOwner::L7(StageId(0))));
}

/// All unprivileged ports of an address that only Headgate has, each with one stage; none of other addresses.
#[test]
fn addresses_of_its_own_are_the_stages() {
    const OWN: &[std::net::IpAddr] = &[std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 250))];
    for stages in [1, 2, 3, 64] {
        let ports = SourcePorts::cut(60_000, 61_535, 1, stages).unwrap();
        assert_eq!(ports.owner_at(OWN[0], 5_000), None);
        let ports = ports.with_addresses(OWN);
        let mut next = 1024;
        for stage in (0..stages).map(StageId) {
            let slice = ports.slice_of_own(stage);
            assert_eq!(*slice.start(), next);
            assert!(
                [*slice.start(), *slice.end()]
                    .iter()
                    .all(|port| ports.owner_at(OWN[0], *port) == Some(stage))
            );
            next = slice.end().wrapping_add(1);
        }
        assert!(
            next == 0 || (65_536 - u32::from(next)) < u32::from(stages),
            "{next} of {stages}"
        );
        assert_eq!(ports.owner_at(OWN[0], 1_023), None);
        assert_eq!(ports.owner_at("10.244.1.251".parse().unwrap(), 5_000), None);
    }
}

/// A quarter for L7, whoever shares it.
#[test]
fn stages_share_a_quarter() {
    for stages in [1, 2, 8] {
        let ports = SourcePorts::cut(60_000, 60_255, 2, stages).unwrap();
        assert_eq!(ports.slice(SourcePortOwner::L4(WorkerId(1))), 60_096..=60_191);
        let each = 64 / u16::from(stages);
        assert_eq!(
            ports.slice(SourcePortOwner::L7(StageId(0))),
            60_192..=60_192 + each - 1
        );
    }
}

proptest! {
    /// The slices of all workers and stages follow each other without overlap, `owner` is their inverse, and what is left at
    /// the end is less than one port for each.
    #[test]
    fn owner_inverts_slice(first in 1u16.., total in 8u16..8192, workers in 1u8..=64, stages in 1u8..=64) {
        let Some(last) = first.checked_add(total - 1) else { return Ok(()) };
        let Ok(ports) = SourcePorts::cut(first, last, workers, stages) else {
            let narrow = total / 4 < 2 * u16::from(stages)
                || total - total / 4 < 6 * u16::from(workers) + u16::from(stages);
            prop_assert!(narrow, "refused though there is room");
            return Ok(());
        };
        let mut next = first;
        let l4 = (0..workers).map(|worker| SourcePortOwner::L4(WorkerId(worker)));
        let l7 = (0..stages).map(|stage| SourcePortOwner::L7(StageId(stage)));
        for part in l4.chain(l7) {
            let slice = ports.slice(part);
            prop_assert_eq!(*slice.start(), next);
            for port in slice.clone() {
                prop_assert_eq!(ports.owner(port), Some(part));
            }
            next = slice.end().wrapping_add(1);
        }
        prop_assert_eq!(*ports.range().end(), next.wrapping_sub(1));
        let rest = last.wrapping_add(1).wrapping_sub(next);
        prop_assert!(rest < u16::from(workers), "{} ports are unused", rest);
        for port in [first.wrapping_sub(1), next, last.wrapping_add(1)] {
            prop_assert_eq!(ports.owner(port), None);
        }
    }
}
