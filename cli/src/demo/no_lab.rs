//! Where there are no namespaces and no AF_XDP.

use anyhow::{Result, bail};

use super::{Stage, report::Report};
use crate::flags::DemoOptions;

/// Refuses.
pub(super) fn stage(_: &DemoOptions, _: &mut Report) -> Result<Stage> {
    bail!(
        "the demo of packets needs Linux; `headgate demo --port kernel` shows HTTP on this system's sockets"
    )
}
