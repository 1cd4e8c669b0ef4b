//! The fifth stage: what is known of a request when it has ended.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;

use super::Gateway;
use crate::body::Progress;
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
    /// The body of the request, while it has one that is sent on.
    upload: OnceCell<Progress>,
    status: Cell<Option<StatusCode>>,
    /// Bytes of the response's body.
    sent: Cell<u64>,
}

impl RequestRecord {
    pub(super) fn begin(gateway: &Rc<Gateway>) -> Self {
        gateway.active.set(gateway.active.get() + 1);
        Self {
            gateway: Rc::clone(gateway),
            started: gateway.net.now(),
            route: OnceCell::new(),
            upstream: OnceCell::new(),
            upload: OnceCell::new(),
            status: Cell::default(),
            sent: Cell::default(),
        }
    }

    /// The request is one of this route's.
    pub(super) fn found(&self, route: Arc<Route>) -> &Arc<Route> {
        self.route.get_or_init(|| route)
    }

    /// A pod of this upstream is to answer it.
    pub(super) fn goes_to(&self, upstream: &Number) {
        if self.upstream.set(upstream.clone()).is_ok() {
            let record = self.gateway.tally.upstream(upstream);
            record.counts.count(UpstreamCount::Requests);
            let active = record.now.get(UpstreamGauge::Active);
            record.now.set(UpstreamGauge::Active, active + 1);
        }
    }

    /// Its body is on the way to the pod.
    pub(super) fn uploads(&self, progress: &Progress) {
        let _ = self.upload.get_or_init(|| progress.clone());
    }

    /// The head of the pod's response is there.
    pub(super) fn answered_by_pod(&self) {
        if let Some(upstream) = self.upstream.get() {
            let took = self.gateway.net.now().since(self.started);
            self.gateway.tally.upstream(upstream).latency.record(took);
        }
    }

    /// The client is told this.
    pub(super) fn answered(&self, status: StatusCode) {
        self.gateway.tally.answered(status);
        self.status.set(Some(status));
    }

    /// So much more of the response's body is on the way to the client.
    pub(super) fn sends(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// The response ended before its end.
    pub(super) fn broke_off(&self) {
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
                record.requests.count(Class::of(status.as_u16()));
                let us = took.as_nanos().div_ceil(1_000);
                record.total_us.add(u64::try_from(us).unwrap_or(u64::MAX));
            }
            let uploaded = self.upload.get().map_or(0, Progress::bytes);
            record.counts.add(RouteCount::RequestBytes, uploaded);
            record.counts.add(RouteCount::ResponseBytes, self.sent.get());
        }
    }
}
