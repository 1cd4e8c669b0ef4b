//! What is said of readiness, whatever is below.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::*;

/// A dataplane of one worker, whose ports are up or not.
struct Below {
    shared: Shared,
    up: AtomicBool,
}

impl Reports for Arc<Below> {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn report(&self, _: &mut Status) {}

    fn ready(&self) -> Result<(), String> {
        let up = self.up.load(Ordering::Relaxed);
        up.then_some(()).ok_or_else(|| "port eth0 is down".to_owned())
    }

    fn flows(&self, _: &FlowQuery) -> Result<FlowList, String> {
        Ok(FlowList::default())
    }
}

/// Ready from the first state that every worker works by, whether or not a control plane is there, while ports are up and
/// until the end.
#[test]
fn readiness_follows_the_workers_and_not_the_control_plane() {
    let below = Arc::new(Below {
        shared: Shared::new(1, mpsc::channel(1).0).unwrap(),
        up: AtomicBool::new(true),
    });
    let desk = Desk {
        started: Instant::now(),
        reporter: Arc::clone(&below),
        control: Arc::default(),
        flow_log: Box::new(FlowLogStatus::default),
    };
    let control = |change: fn(&mut ControlStatus)| change(&mut desk.control.lock().unwrap());
    let nothing = Err("no state of a control plane is in force yet".to_owned());
    assert_eq!(desk.ready(), nothing);
    // It has connected, and what it said was refused.
    control(|status| {
        status.connected = true;
        status.sessions = 1;
        status.rejected = 1;
    });
    assert_eq!(desk.ready(), nothing);
    // Counted when every worker has taken it up.
    control(|status| status.applied = 1);
    assert_eq!(desk.ready(), Ok(()));
    control(|status| {
        status.connected = false;
        status.faults = 1;
    });
    assert_eq!(desk.ready(), Ok(()), "traffic goes on by the last state");
    below.up.store(false, Ordering::Relaxed);
    assert_eq!(desk.ready(), Err("port eth0 is down".to_owned()));
    below.up.store(true, Ordering::Relaxed);
    below.shared.stop();
    assert_eq!(desk.ready(), Err("the dataplane is ending".to_owned()));
}
