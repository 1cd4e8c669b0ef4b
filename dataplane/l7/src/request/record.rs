//! The fifth stage: what is known of a request when it has ended.

use std::rc::Rc;
use std::sync::Arc;

use super::Gateway;
use headgate_net::clock::Nanos;
use headgate_net::record::HttpCount;
use headgate_net::routes::Route;

/// A request being answered. Goes with it from its head to the last byte of the response, and is counted when it is
/// dropped, however the request ends.
pub(crate) struct RequestRecord {
    gateway: Rc<Gateway>,
    started: Nanos,
    route: Option<Arc<Route>>,
}

impl RequestRecord {
    pub(super) fn begin(gateway: &Rc<Gateway>) -> Self {
        gateway.active.set(gateway.active.get() + 1);
        Self {
            gateway: Rc::clone(gateway),
            started: gateway.net.now(),
            route: None,
        }
    }

    /// The request is one of this route's.
    pub(super) fn found(&mut self, route: Arc<Route>) -> &Arc<Route> {
        self.route.insert(route)
    }

    /// The response ended before its end.
    pub(super) fn broke_off(&self) {
        self.gateway.tally.count(HttpCount::BrokenResponses);
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let gateway = &self.gateway;
        let took = gateway.net.now().since(self.started);
        gateway.tally.took(took);
        gateway.active.set(gateway.active.get() - 1);
        if let Some(route) = &self.route {
            tracing::trace!(route = %route.definition().origin, ?took, "a request has ended");
        }
    }
}
