//! Source ports where there are too few: who waits for one, and who has to give one away.
//!
//! Requests to a pod towards which no port is free wait for one as long as they would for the pod. What becomes free goes to the clients
//! that have least; and where one has more than others, what it holds and does not use ends for them. So who takes all ports and
//! never reads takes them from nobody but himself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};

use super::Engine;
use headgate_net::clock::Nanos;
use headgate_net::record::HttpCount;

/// How often those that wait are looked at, and how much less often for each client.
const PAUSE: Duration = Duration::from_millis(10);
const FOR_EACH_CLIENT: Duration = Duration::from_micros(1);
/// Since when a client must have taken and sent nothing of what its exchange waits for.
const STALLED: Duration = Duration::from_secs(2);
/// Exchanges that end for others, at most, each time.
const MOST: usize = 64;

/// What a client, by its address, has of the ports towards a pod.
#[derive(Default)]
struct PortHolder {
    held: usize,
    /// Keys of exchanges that wait for the client.
    stalled: Vec<usize>,
}

impl Engine {
    /// Gives ports that have become free to those that wait, and has others make room.
    pub(super) fn share_ports(&mut self, now: Nanos) {
        if self.gateway.shortage.next().is_none_or(|next| now < next) {
            return;
        }
        let pause = PAUSE + FOR_EACH_CLIENT * u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        for pod in self.gateway.shortage.take(now.after(pause)) {
            if self.share_ports_of(pod, now) {
                self.gateway.shortage.add(pod);
            }
        }
    }

    /// Whether somebody still waits.
    fn share_ports_of(&mut self, pod: SocketAddr, now: Nanos) -> bool {
        let before = Nanos(now.0.saturating_sub(STALLED.as_nanos() as u64));
        let mut holders = HashMap::<IpAddr, PortHolder>::new();
        let mut waiting = Vec::new();
        for (key, seat) in &self.clients {
            let address = seat.dialogue.who().ip();
            if seat.dialogue.waits_for_port() == Some(pod) {
                waiting.push((key, address));
            } else if seat.dialogue.endpoint() == Some(pod) {
                let holder = holders.entry(address).or_default();
                holder.held += 1;
                if seat.dialogue.is_stalled(before) {
                    holder.stalled.push(key);
                }
            }
        }
        let held = |address: &IpAddr| holders.get(address).map_or(0, |holder| holder.held);
        waiting.sort_by_cached_key(|(_, address)| held(address));
        let got = waiting
            .iter()
            .take_while(|(key, _)| self.has_port_now(*key, now))
            .count();
        for (_, address) in waiting.iter().skip(got).take(MOST) {
            let least = holders.get(address).map_or(0, |holder| holder.held) + 1;
            let most = holders.values_mut().max_by_key(|holder| holder.held);
            let Some(key) = most.filter(|most| most.held > least).and_then(|most| {
                most.held -= 1;
                most.stalled.pop()
            }) else {
                break;
            };
            self.end_slow(key);
            holders.entry(*address).or_default().held += 1;
        }
        got < waiting.len()
    }

    /// Lets one that waits try again.
    fn has_port_now(&mut self, key: usize, now: Nanos) -> bool {
        if let Some(seat) = self.clients.get_mut(key) {
            seat.dialogue.grant();
        }
        self.look(key, now);
        let seat = self.clients.get(key);
        seat.is_none_or(|seat| seat.dialogue.waits_for_port().is_none())
    }

    /// Ends an exchange that waits for its client.
    fn end_slow(&mut self, key: usize) {
        if let Some(seat) = self.clients.get_mut(key) {
            seat.dialogue.give_way();
            self.gateway.tally.count(HttpCount::SlowClients);
            self.unseat(key);
        }
    }
}
