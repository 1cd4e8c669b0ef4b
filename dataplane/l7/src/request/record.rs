//! The last step: what is known of a request when it has ended.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::gateway::Gateway;
use headgate_net::clock::Nanos;
use headgate_net::number::Number;
use headgate_net::record::{Class, HttpCount, RouteCount, UpstreamCount, UpstreamGauge};
use headgate_net::routes::Route;

/// A request being answered. Goes with it from its head to the last byte of the response, and is counted when it is
/// dropped, however the request ends.
pub(crate) struct RequestRecord {
    gateway: Rc<Gateway>,
    started: Nanos,
    route: OnceCell<Arc<Route>>,
    upstream: OnceCell<Number>,
    /// Bytes of the request's body.
    uploaded: Cell<u64>,
    status: Cell<Option<u16>>,
    /// Bytes of the response's body.
    sent: Cell<u64>,
}

impl RequestRecord {
    pub(crate) fn begin(gateway: &Rc<Gateway>) -> Self {
        gateway.active.set(gateway.active.get() + 1);
        Self {
            gateway: Rc::clone(gateway),
            started: gateway.net.now(),
            route: OnceCell::new(),
            upstream: OnceCell::new(),
            uploaded: Cell::default(),
            status: Cell::default(),
            sent: Cell::default(),
        }
    }

    /// The request is one of this route's.
    pub(crate) fn found(&self, route: Arc<Route>) -> &Arc<Route> {
        self.route.get_or_init(|| route)
    }

    /// A pod of this upstream is to answer it.
    pub(crate) fn goes_to(&self, upstream: &Number) {
        if self.upstream.set(upstream.clone()).is_ok() {
            let record = self.gateway.tally.upstream(upstream);
            record.counts.count(UpstreamCount::Requests);
            let active = record.now.get(UpstreamGauge::Active);
            record.now.set(UpstreamGauge::Active, active + 1);
        }
    }

    /// So much more of its body is on the way to the pod.
    pub(crate) fn uploads(&self, bytes: usize) {
        self.uploaded.set(self.uploaded.get() + bytes as u64);
    }

    /// The head of the pod's response is there.
    pub(crate) fn answered_by_pod(&self) {
        if let Some(upstream) = self.upstream.get() {
            let took = self.gateway.net.now().since(self.started);
            self.gateway.tally.upstream(upstream).latency.record(took);
        }
    }

    /// The client is told this.
    pub(crate) fn answered(&self, status: u16) {
        self.gateway.tally.answered(status);
        self.status.set(Some(status));
    }

    /// So much more of the response's body is on the way to the client.
    pub(crate) fn sends(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// The response ended before its end.
    pub(crate) fn broke_off(&self) {
        self.gateway.tally.count(HttpCount::BrokenResponses);
        if let Some(route) = self.route.get() {
            let counts = &self.gateway.tally.route(route.number()).counts;
            counts.count(RouteCount::BrokenResponses);
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let gateway = &self.gateway;
        let took = gateway.net.now().since(self.started);
        gateway.tally.took(took);
        gateway.active.set(gateway.active.get() - 1);
        if let Some(upstream) = self.upstream.get() {
            let now = &gateway.tally.upstream(upstream).now;
            let active = now.get(UpstreamGauge::Active);
            now.set(UpstreamGauge::Active, active.saturating_sub(1));
        }
        if let Some(route) = self.route.get() {
            tracing::trace!(route = %route.definition().origin, ?took, "a request has ended");
            let record = gateway.tally.route(route.number());
            if let Some(status) = self.status.get() {
                record.requests.count(Class::of(status));
                let us = took.as_nanos().div_ceil(1_000);
                record.total_us.add(u64::try_from(us).unwrap_or(u64::MAX));
            }
            record.counts.add(RouteCount::RequestBytes, self.uploaded.get());
            record.counts.add(RouteCount::ResponseBytes, self.sent.get());
        }
    }
}
