//! What a client is told, in the form that its connection has: HTTP/1.1 or HTTP/2.

use super::client::Client;
use crate::gateway::Gateway;
use crate::h1::body::BodyWriter;
use crate::h1::response::ResponseHead;
use crate::h1::write;
use crate::h2::head::write as section;
use crate::request::{Answer, Audience};

/// 100 (RFC 9110, section 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Client {
    /// The head of a pod's response.
    pub(super) fn respond(
        &mut self,
        head: &ResponseHead<'_, '_>,
        audience: &Audience,
        keep: bool,
        body: BodyWriter,
        gateway: &Gateway,
    ) {
        if let Some(end) = self.wire.part() {
            let block = &mut *gateway.block.borrow_mut();
            block.clear();
            gateway.date(|date| section::response(head, date, block));
            return end.head(block, false);
        }
        let to = self.outbox.fill(&mut gateway.spare.borrow_mut());
        let persistence = audience.persistence(keep);
        gateway.date(|date| write::response(head, persistence, body, date, to));
    }

    /// A response before the response, such as 103.
    pub(super) fn inform(&mut self, head: &ResponseHead<'_, '_>, gateway: &Gateway) {
        if let Some(end) = self.wire.part() {
            let block = &mut *gateway.block.borrow_mut();
            block.clear();
            section::interim(head, block);
            return end.head(block, true);
        }
        write::interim(head, self.outbox.fill(&mut gateway.spare.borrow_mut()));
    }

    /// The connection becomes something else; of a stream 200 says so (RFC 8441, section 5).
    pub(super) fn switch(&mut self, head: &ResponseHead<'_, '_>, gateway: &Gateway) {
        if let Some(end) = self.wire.part() {
            let block = &mut *gateway.block.borrow_mut();
            block.clear();
            section::tunnel(head, block);
            return end.head(block, true);
        }
        write::switch(head, self.outbox.fill(&mut gateway.spare.borrow_mut()));
    }

    /// Its body is wanted.
    pub(super) fn invite(&mut self, gateway: &Gateway) {
        if let Some(end) = self.wire.part() {
            let mut block = Vec::new();
            section::status(100, &mut block);
            return end.head(&block, true);
        }
        let to = self.outbox.fill(&mut gateway.spare.borrow_mut());
        to.extend_from_slice(CONTINUE);
    }

    /// An answer of our own; how many bytes its text has.
    pub(super) fn answer(
        &mut self,
        answer: &Answer,
        audience: &Audience,
        keep: bool,
        gateway: &Gateway,
    ) -> usize {
        let to = self.outbox.fill(&mut gateway.spare.borrow_mut());
        let Some(end) = self.wire.part() else {
            return answer.write(audience, keep, gateway, to);
        };
        let block = &mut *gateway.block.borrow_mut();
        block.clear();
        let text = gateway.date(|date| answer.write_section(audience, date, block));
        end.head(block, false);
        end.end(Vec::new());
        let text = text.unwrap_or_default();
        to.extend_from_slice(text.as_bytes());
        text.len()
    }

    /// Nothing follows what it was told, but for trailers, as lines.
    pub(super) fn end(&mut self, trailers: &[u8]) {
        if let Some(end) = self.wire.part() {
            let mut block = Vec::new();
            section::trailers(trailers, &mut block);
            end.end(block);
        }
    }
}
