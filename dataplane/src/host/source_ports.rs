//! Keeps the kernel from handing out the source ports that Headgate sends from.

use std::path::{Path, PathBuf};

use crate::options::PortRange;

use super::Sysctl;

/// Both families obey the IPv4 setting (`Documentation/networking/ip-sysctl.rst`).
const RESERVED: &str = "net/ipv4/ip_local_reserved_ports";
const EPHEMERAL: &str = "net/ipv4/ip_local_port_range";

/// Why the source ports cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcePortsError {
    /// The kernel would give the same ports to programs of the host.
    #[error(
        "source ports {wanted} overlap the kernel's own {ephemeral} and could not be reserved ({error}); set \
         net.ipv4.ip_local_reserved_ports={wanted} yourself, or choose others with --source-ports"
    )]
    Overlap {
        /// `--source-ports`.
        wanted: PortRange,
        /// `net.ipv4.ip_local_port_range`.
        ephemeral: PortRange,
        /// Why they could not be reserved.
        error: std::io::Error,
    },
}

/// A reservation that ends with this value.
#[derive(Debug)]
pub struct ReservedPorts {
    change: Option<Reservation>,
}

/// What a reservation changed. It stands in a file, too, for the instance after one that was killed.
#[derive(Debug)]
struct Reservation {
    before: String,
    after: String,
    record: PathBuf,
}

impl ReservedPorts {
    /// Adds `wanted` to `net.ipv4.ip_local_reserved_ports`, keeping in the file `record` what to put back.
    ///
    /// # Errors
    /// When that cannot be done and the ports are among those that the kernel hands out.
    pub fn reserve(wanted: PortRange, record: PathBuf) -> Result<Self, SourcePortsError> {
        let setting = Sysctl::new(RESERVED);
        let now = setting.read().unwrap_or_default();
        let before = left_behind(&record, &now).unwrap_or_else(|| now.clone());
        if covers(&before, wanted) {
            return Ok(Self { change: None });
        }
        let both = if before.is_empty() {
            wanted.to_string()
        } else {
            format!("{before},{wanted}")
        };
        // The kernel sorts and joins ranges: what it says afterwards is what we made.
        match setting.write(&both).and_then(|()| setting.read()) {
            Ok(after) => {
                if let Err(error) = std::fs::write(&record, format!("{before}\n{after}\n")) {
                    tracing::warn!(
                        "{}: {error}; if this process is killed, {setting} stays",
                        record.display()
                    );
                }
                Ok(Self {
                    change: Some(Reservation {
                        before,
                        after,
                        record,
                    }),
                })
            }
            Err(error) => refused(wanted, error),
        }
    }
}

/// The value before that of an instance which was killed, if its change is still there.
fn left_behind(record: &Path, now: &str) -> Option<String> {
    let text = std::fs::read_to_string(record).ok()?;
    let mut lines = text.lines();
    let (before, after) = (lines.next()?, lines.next()?);
    (after == now).then(|| before.to_owned())
}

impl Drop for ReservedPorts {
    fn drop(&mut self) {
        let Some(Reservation {
            before,
            after,
            record,
        }) = &self.change
        else {
            return;
        };
        let setting = Sysctl::new(RESERVED);
        match setting.read() {
            // An empty text would leave the setting as it is; a newline clears it.
            Ok(now) if now == *after => {
                if let Err(error) = setting.write(&format!("{before}\n")) {
                    tracing::warn!("{setting} could not be put back to \"{before}\": {error}");
                }
            }
            _ => tracing::warn!("{setting} was changed by somebody else meanwhile and stays as it is"),
        }
        // Without it the next start takes what it finds for the operator's.
        let _ = std::fs::remove_file(record);
    }
}

fn refused(wanted: PortRange, error: std::io::Error) -> Result<ReservedPorts, SourcePortsError> {
    let text = Sysctl::new(EPHEMERAL).read().unwrap_or_default();
    match ephemeral(&text).filter(|range| range.overlaps(wanted)) {
        Some(ephemeral) => Err(SourcePortsError::Overlap {
            wanted,
            ephemeral,
            error,
        }),
        None => {
            tracing::info!(
                "source ports {wanted} are not reserved ({error}), but outside of what the kernel hands out"
            );
            Ok(ReservedPorts { change: None })
        }
    }
}

/// Two numbers with a tab between, as in `32768 60999`.
pub(super) fn ephemeral(text: &str) -> Option<PortRange> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some(PortRange {
        first: numbers.next()?.ok()?,
        last: numbers.next()?.ok()?,
    })
}

/// Whether a list such as `80,8000-8100` has all of `wanted` in one of its ranges, which the kernel keeps joined.
pub(super) fn covers(list: &str, wanted: PortRange) -> bool {
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u16>(), last.parse::<u16>());
        matches!((first, last), (Ok(first), Ok(last)) if first <= wanted.first && wanted.last <= last)
    })
}
