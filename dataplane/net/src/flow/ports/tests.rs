use proptest::prelude::*;

use super::{Part, SourcePorts};
use crate::verdict::WorkerId;

#[test]
fn too_narrow_is_refused() {
    assert!(SourcePorts::new(40000, 39999, 1).is_err());
    assert!(SourcePorts::new(0, 65535, 1).is_err());
    assert!(SourcePorts::new(40000, 40010, 2).is_err());
    assert!(SourcePorts::new(40000, 40015, 0).is_err());
    assert!(SourcePorts::new(40000, 40015, 2).is_ok());
    assert!(SourcePorts::new(1, 65535, 1).is_ok());
}

#[test]
fn one_worker_with_every_port() {
    let ports = SourcePorts::new(1, 65535, 1).unwrap();
    assert_eq!(ports.range(), 1..=65535);
    assert_eq!(ports.owner(0), None);
    assert_eq!(ports.owner(65535), Some((WorkerId(0), Part::L7)));
}

proptest! {
    /// The slices cover the range without overlap, and `owner` is their inverse.
    #[test]
    fn owner_inverts_slice(first in 1u16.., width in 8u16.., workers in 1u8..) {
        let last = u32::from(first) + u32::from(width) * u32::from(workers) - 1;
        let Ok(last) = u16::try_from(last) else { return Ok(()) };
        let ports = SourcePorts::new(first, last, workers).unwrap();
        let mut next = first;
        for worker in (0..workers).map(WorkerId) {
            for part in [Part::L4, Part::L7] {
                let slice = ports.slice(worker, part);
                prop_assert_eq!(*slice.start(), next);
                for port in slice.clone() {
                    prop_assert_eq!(ports.owner(port), Some((worker, part)));
                }
                next = slice.end().wrapping_add(1);
            }
        }
        prop_assert_eq!(next, last.wrapping_add(1));
        prop_assert_eq!(*ports.range().end(), last);
        prop_assert_eq!(ports.owner(last.wrapping_add(1)), None);
    }
}
