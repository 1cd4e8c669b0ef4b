//! Whether this process may do what it must.

use rustix::thread::{CapabilitySet, capabilities};

/// What is missing; its message says how to get it.
#[derive(Debug, thiserror::Error)]
#[error(
    "missing {}: run as root, or give the file `setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon+ep`, or in a \
     container `securityContext.capabilities.add: [NET_ADMIN, NET_RAW, BPF, PERFMON]`",
    .0.join(", ")
)]
pub struct MissingPrivileges(pub Vec<&'static str>);

/// Checks the effective capabilities. CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON, as it does in the
/// kernel, whose verifier wants the latter for programs that it would otherwise call too clever with pointers.
///
/// # Errors
/// Names all that are missing at once.
pub fn check_privileges() -> Result<(), MissingPrivileges> {
    // A kernel that does not tell will refuse later with an error of its own.
    let have = capabilities(None).map_or(CapabilitySet::all(), |sets| sets.effective);
    missing(have).map_or(Ok(()), Err)
}

pub(super) fn missing(have: CapabilitySet) -> Option<MissingPrivileges> {
    let needs = [
        ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
        ("CAP_NET_RAW", CapabilitySet::NET_RAW),
        ("CAP_BPF", CapabilitySet::BPF | CapabilitySet::SYS_ADMIN),
        ("CAP_PERFMON", CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN),
    ];
    let absent: Vec<_> = needs
        .iter()
        .filter(|(_, any)| !have.intersects(*any))
        .map(|(name, _)| *name)
        .collect();
    (!absent.is_empty()).then_some(MissingPrivileges(absent))
}
