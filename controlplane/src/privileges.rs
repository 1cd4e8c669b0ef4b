//! The control plane parses what others wrote, and needs no privilege for it.

use std::io;

/// Gives up all capabilities of this thread, and of those that it starts, for good: none can come back by executing
/// a file.
///
/// # Errors
///
/// What the kernel refused. Giving up needs no privilege, so it refuses only where it knows no capabilities.
#[cfg(target_os = "linux")]
pub(crate) fn drop_all() -> io::Result<()> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
    };
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

/// Elsewhere privileges are the user's, and a process that is root's stays so: a line of the log says it.
///
/// # Errors
///
/// None; as on Linux.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
pub(crate) fn drop_all() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        tracing::warn!("the control plane runs as root and needs no privilege: start it as another user");
    }
    Ok(())
}
