//! The control plane parses what others wrote, and needs no privilege for it.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

/// Gives up all capabilities of this thread, and of those that it starts, for good: none can come back by executing
/// a file.
///
/// # Errors
///
/// What the kernel refused. Giving up needs no privilege, so it refuses only where it knows no capabilities.
pub(crate) fn drop_all() -> io::Result<()> {
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
