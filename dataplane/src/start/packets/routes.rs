//! Keeps the workers' forwarding table in step with the kernel, and asks the kernel what workers want to know.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::local_addresses;
use crate::mirror::{Asker, Device, Mirror};
use crate::steering::Steerer;
use crate::telemetry::{LinkState, RouteStatus};
use crate::worker::{Shared, Wanted};
use headgate_net::fib::{Fib, Snapshot, TapAddresses};
use headgate_net::ids::PortId;

/// How often neighbours are refreshed that nobody has confirmed for a while, and how many at a time. The kernel does not see
/// our packets to them: left alone, it would never notice that one has moved.
const REFRESH: Duration = Duration::from_secs(5);
const REFRESH_AT_ONCE: usize = 64;
/// After a failure to read the kernel's tables.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What the status document shows of all this.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) routes: RouteStatus,
    /// By port.
    pub(super) links: Vec<LinkState>,
}

/// The mirror, and who depends on it.
pub(super) struct Routes {
    follower: RouteFollower,
    inquirer: Inquirer,
}

impl Routes {
    /// Publishes the first table.
    pub(super) fn new(
        mirror: Mirror,
        questions: mpsc::Receiver<Wanted>,
        shared: &Arc<Shared>,
        steerer: &Arc<Mutex<Steerer>>,
        devices: &[Device],
        tap: TapAddresses,
        status: Arc<Mutex<Watched>>,
    ) -> Self {
        let ports: Vec<_> = (0..)
            .map(PortId)
            .zip(devices.iter().map(|device| device.link.index))
            .collect();
        let inquirer = Inquirer {
            asker: mirror.asker(),
            questions,
            ports: ports.clone(),
            status: Arc::clone(&status),
        };
        let mut follower = RouteFollower {
            mirror,
            shared: Arc::clone(shared),
            steerer: Arc::clone(steerer),
            ports,
            names: devices.iter().map(|device| device.name.clone()).collect(),
            tap,
            publication: 0,
            status,
        };
        follower.publish();
        Self { follower, inquirer }
    }

    /// Never ends; can be dropped at any time.
    pub(super) async fn keep(self) -> Infallible {
        tokio::select! {
            never = self.follower.run() => never,
            never = self.inquirer.run() => never,
        }
    }
}

fn note(status: &Mutex<Watched>, change: impl FnOnce(&mut RouteStatus)) {
    change(&mut status.lock().unwrap_or_else(PoisonError::into_inner).routes);
}

/// Publishes what the mirror shows.
struct RouteFollower {
    mirror: Mirror,
    shared: Arc<Shared>,
    steerer: Arc<Mutex<Steerer>>,
    ports: Vec<(PortId, u32)>,
    names: Vec<String>,
    tap: TapAddresses,
    publication: u64,
    status: Arc<Mutex<Watched>>,
}

impl RouteFollower {
    async fn run(mut self) -> Infallible {
        loop {
            match self.mirror.changed().await {
                Ok(()) => self.publish(),
                Err(error) => {
                    tracing::error!("{error}; routes and neighbours stay as they were");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Tells when a port goes or comes.
    fn watch_links(&self) {
        let kernel = self.mirror.kernel();
        let state = |(_, index): &(PortId, u32)| match kernel.devices.get(index) {
            None => LinkState::Gone,
            Some(device) if !device.link.up => LinkState::Down,
            Some(device) if !device.carrier => LinkState::NoCarrier,
            Some(_) => LinkState::Up,
        };
        let links: Vec<_> = self.ports.iter().map(state).collect();
        let mut watched = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, link) in links.iter().enumerate() {
            let before = watched.links.get(index).copied().unwrap_or_default();
            let name = &self.names[index];
            match link {
                _ if *link == before => {}
                LinkState::Up => tracing::info!("port {name} is up again"),
                LinkState::Gone => {
                    tracing::error!("port {name} is gone; when it is back, restart the dataplane");
                }
                LinkState::Down | LinkState::NoCarrier => tracing::warn!("port {name} is {link}"),
            }
        }
        watched.links = links;
    }

    fn publish(&mut self) {
        self.watch_links();
        self.publication += 1;
        let kernel = self.mirror.kernel();
        let snapshot = Snapshot {
            tap: self.tap,
            ..kernel.snapshot(&self.ports)
        };
        let fib = Fib::build(&snapshot, self.publication);
        self.shared.fib.store(Arc::new(fib));
        self.shared.wake_all();
        let mut steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = steerer.set_local(local_addresses(kernel)) {
            tracing::error!("the steering programs do not follow the host's addresses: {error}");
        }
        drop(steerer);
        note(&self.status, |status| {
            status.publication = self.publication;
            status.routes = kernel.routes.len();
            status.neighbours = kernel.neighbours.len();
            status.mirror = self.mirror.statistics();
        });
    }
}

/// Has the kernel resolve what workers need, and check now and then what they use.
struct Inquirer {
    asker: Asker,
    questions: mpsc::Receiver<Wanted>,
    ports: Vec<(PortId, u32)>,
    status: Arc<Mutex<Watched>>,
}

impl Inquirer {
    async fn run(mut self) -> Infallible {
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((port, neighbour)) = self.questions.recv() => {
                    if let Some((_, link)) = self.ports.get(usize::from(port.0)) {
                        self.ask(*link, neighbour).await;
                    }
                }
                _ = refresh.tick() => self.refresh().await,
            }
        }
    }

    async fn ask(&self, link: u32, neighbour: IpAddr) {
        let result = self.asker.ask(link, neighbour).await;
        note(&self.status, |status| {
            status.asked += 1;
            status.refused += u64::from(result.is_err());
        });
        if let Err(error) = result {
            tracing::debug!("the kernel does not ask for neighbour {neighbour}: {error}");
        }
    }

    async fn refresh(&self) {
        match self.asker.stale().await {
            Ok(stale) => {
                let ours = |link: &u32| self.ports.iter().any(|(_, index)| index == link);
                for (link, neighbour) in stale
                    .into_iter()
                    .filter(|(link, _)| ours(link))
                    .take(REFRESH_AT_ONCE)
                {
                    self.ask(link, neighbour).await;
                }
            }
            Err(error) => tracing::warn!("{error}; stale neighbours are not refreshed"),
        }
    }
}
