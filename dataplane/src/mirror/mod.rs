//! A copy of the kernel's links, addresses, routes and neighbours, kept by netlink.
//!
//! Neighbours follow each notification. For the rest a notification only says that a copy is out of date, and
//! the table is read again: the kernel does not tell every route that it removes (those of a link that goes down, or of
//! a removed address, go in silence), and a table that is read whole cannot drift. Reading waits a little, the longer the
//! table is, so that a burst of changes costs a few reads and not one for each.
//!
//! Only the tables `local` and `main` are read: policy routing (`ip rule`) and VRFs are not mirrored.

mod kernel;
mod neighbours;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::stream::Stream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::AsyncSocket as _;

use crate::telemetry::MirrorStatistics;

pub use kernel::{Device, Kernel, Neighbours};
pub use neighbours::Asker;

/// Bytes of the notification socket's buffer: a resync costs more than this.
const RECEIVE_BUFFER: i32 = 4 << 20;
/// How long a burst of changes may collect before the first read.
const SETTLE: Duration = Duration::from_millis(1);
/// Reading may take at most one part in so many of the time.
const READ_SHARE: u32 = 8;

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

type Message = NetlinkMessage<RouteNetlinkMessage>;
type Events = Pin<Box<dyn Stream<Item = Message> + Send>>;

/// Why the mirror has no state to show.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The socket could not be made.
    #[error("opening a netlink socket: {0}")]
    Open(#[from] std::io::Error),
    /// A table could not be read.
    #[error("reading the kernel's {table}: {error}")]
    Dump {
        /// Which one.
        table: &'static str,
        /// What netlink said.
        error: Box<rtnetlink::Error>,
    },
}

/// How often a part of the copy has become out of date, and as of which of these times it was read.
#[derive(Clone, Copy, Debug, Default)]
struct CopyPart {
    changes: u64,
    read: u64,
}

impl CopyPart {
    fn out_of_date(self) -> bool {
        self.changes != self.read
    }
}

/// The copy and the socket that keeps it. Must live on a tokio runtime with I/O and time.
pub struct Mirror {
    handle: rtnetlink::Handle,
    asker: Asker,
    events: Events,
    kernel: Kernel,
    /// Links, addresses and routes.
    tables: CopyPart,
    neighbours: CopyPart,
    changed: bool,
    read_took: Duration,
    statistics: MirrorStatistics,
}

impl Mirror {
    /// Subscribes, then reads everything, in this order: what changes meanwhile is seen again, never missed.
    ///
    /// # Errors
    /// Without netlink there is no forwarding.
    pub async fn open() -> Result<Self, MirrorError> {
        let (handle, events) = connect()?;
        let mut mirror = Self {
            asker: Asker::new(handle.clone()),
            handle,
            events,
            kernel: Kernel::default(),
            tables: CopyPart::default(),
            neighbours: CopyPart::default(),
            changed: false,
            read_took: Duration::ZERO,
            statistics: MirrorStatistics::default(),
        };
        mirror.forget();
        mirror.read().await?;
        Ok(mirror)
    }

    /// The state as last read.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// What speaks to the kernel, by the same socket.
    #[must_use]
    pub fn handle(&self) -> rtnetlink::Handle {
        self.handle.clone()
    }

    /// What asks the kernel to resolve neighbours.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Counters.
    #[must_use]
    pub fn statistics(&self) -> MirrorStatistics {
        self.statistics
    }

    /// Waits until the copy differs from what it was. Can be cancelled; what it was reading is then read again.
    ///
    /// # Errors
    /// When a table cannot be read; calling again tries again.
    pub async fn changed(&mut self) -> Result<(), MirrorError> {
        loop {
            self.take_ready_events();
            // Neighbours that answered are not kept waiting for routes.
            if std::mem::take(&mut self.changed) {
                return Ok(());
            }
            if self.tables.out_of_date() || self.neighbours.out_of_date() {
                tokio::time::sleep(SETTLE.max(self.read_took * READ_SHARE)).await;
                self.take_ready_events();
                self.read().await?;
                continue;
            }
            match self.events.next().await {
                Some(message) => self.take(&message),
                None => self.reopen().await?,
            }
        }
    }

    /// Nothing is known for certain any more.
    fn forget(&mut self) {
        self.tables.changes += 1;
        self.neighbours.changes += 1;
    }

    fn take_ready_events(&mut self) {
        while let Some(Some(message)) = self.events.next().now_or_never() {
            self.take(&message);
        }
    }

    /// The connection ends when its socket fails or a message makes no sense to the decoder.
    async fn reopen(&mut self) -> Result<(), MirrorError> {
        self.statistics.reopened += 1;
        tracing::warn!("the netlink connection broke; opening a new one");
        tokio::time::sleep(Duration::from_millis(100)).await;
        (self.handle, self.events) = connect()?;
        self.asker.replace(self.handle.clone());
        self.forget();
        Ok(())
    }

    fn take(&mut self, message: &Message) {
        self.statistics.events += 1;
        match &message.payload {
            NetlinkPayload::InnerMessage(inner) => self.apply(inner),
            NetlinkPayload::Overrun(_) => {
                self.statistics.overruns += 1;
                self.forget();
            }
            _ => {}
        }
    }

    fn apply(&mut self, message: &RouteNetlinkMessage) {
        use RouteNetlinkMessage as M;
        match message {
            M::NewNeighbour(entry) => {
                if let Some((key, new)) = kernel::neighbour(entry) {
                    let old = self.kernel.neighbours.insert(key, new);
                    // Ageing is no change: what is sent where stays the same.
                    self.changed |= old.flatten() != new;
                }
            }
            M::DelNeighbour(entry) => {
                if let Some((key, _)) = kernel::neighbour(entry) {
                    let old = self.kernel.neighbours.remove(&key);
                    self.changed |= old.flatten().is_some();
                }
            }
            M::NewLink(_) | M::DelLink(_) | M::NewAddress(_) | M::DelAddress(_) => {
                self.tables.changes += 1;
            }
            M::NewRoute(_) | M::DelRoute(_) => {
                self.tables.changes += 1;
            }
            _ => {}
        }
    }

    /// Reads what is out of date. A change while reading makes it out of date again; so does giving up in between.
    async fn read(&mut self) -> Result<(), MirrorError> {
        let began = Instant::now();
        if self.tables.out_of_date() {
            let changes = self.tables.changes;
            self.read_tables().await?;
            self.tables.read = changes;
        }
        if self.neighbours.out_of_date() {
            let changes = self.neighbours.changes;
            self.read_neighbours().await?;
            self.neighbours.read = changes;
        }
        self.changed = true;
        self.read_took = began.elapsed();
        self.statistics.reads += 1;
        Ok(())
    }

    async fn read_tables(&mut self) -> Result<(), MirrorError> {
        let links = dump("links", self.handle.link().get().execute()).await?;
        let addresses = dump("addresses", self.handle.address().get().execute()).await?;
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let rows = dump("routes", self.handle.route().get(all_routes(family)).execute()).await?;
            routes.extend(rows.iter().filter_map(kernel::route));
        }
        let devices = links.iter().map(kernel::device);
        self.kernel.devices = devices.map(|device| (device.link.index, device)).collect();
        self.kernel.addresses = addresses.iter().filter_map(kernel::address).collect();
        self.kernel.routes = routes;
        Ok(())
    }

    async fn read_neighbours(&mut self) -> Result<(), MirrorError> {
        let mut neighbours = BTreeMap::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = self.handle.neighbours().get().set_address_family(family);
            let rows = dump("neighbours", request.execute()).await?;
            neighbours.extend(rows.iter().filter_map(kernel::neighbour));
        }
        self.kernel.neighbours = neighbours;
        Ok(())
    }
}

fn connect() -> Result<(rtnetlink::Handle, Events), MirrorError> {
    let (mut connection, handle, events) = rtnetlink::new_multicast_connection(&GROUPS)?;
    connection
        .socket_mut()
        .socket_mut()
        .set_rx_buf_sz(RECEIVE_BUFFER)?;
    tokio::spawn(connection);
    Ok((handle, Box::pin(events.map(|(message, _)| message))))
}

fn all_routes(family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.attributes = Vec::<RouteAttribute>::new();
    message
}

async fn dump<T>(
    table: &'static str,
    stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, MirrorError> {
    let rows = stream.try_collect().await;
    rows.map_err(|error| MirrorError::Dump {
        table,
        error: Box::new(error),
    })
}
