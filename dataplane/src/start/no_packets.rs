//! Where there is no AF_XDP.

use super::RunError;
use crate::options::Options;

/// Refuses.
#[expect(clippy::unused_async, reason = "as where there are packets")]
pub(super) async fn run_until(options: &Options, _: &mut super::Asks) -> Result<(), RunError> {
    Err(RunError::NeedsLinux(options.ports.clone()))
}
