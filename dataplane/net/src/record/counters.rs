//! Counts of one worker's packet path, as it writes them.

use std::collections::HashMap;
use std::sync::Arc;

use headgate_ring::message::Direction;

use super::{Count, DenialRecord, Denied, PacketCount, ServiceRecord, WorkerRecord};
use crate::number::Number;
use crate::verdict::{Answer, Kernel, Reason, Verdict};

/// The writer's end of a [`WorkerRecord`]: how the packets of a worker ended. All counts only grow.
#[derive(Debug, Default)]
pub struct Counters {
    record: Arc<WorkerRecord>,
    denials: Denials,
}

impl Counters {
    /// Writes to `record`, and nobody else may.
    #[must_use]
    pub fn new(record: Arc<WorkerRecord>) -> Self {
        Self {
            denials: Denials::new(Arc::clone(&record.denials)),
            record,
        }
    }

    /// What is written to.
    #[must_use]
    pub fn record(&self) -> &Arc<WorkerRecord> {
        &self.record
    }

    /// Counts one packet or flow.
    #[inline]
    pub fn count(&self, what: PacketCount) {
        self.record.packets.count(what);
    }

    /// Counts several.
    #[inline]
    pub fn add(&self, what: PacketCount, more: usize) {
        self.record.packets.add(what, more as u64);
    }

    /// What is counted of the Service that has a number.
    #[inline]
    #[must_use]
    pub fn service(&self, number: &Number) -> &ServiceRecord {
        self.record.services.of(number)
    }

    /// The same by the number's [short index](Number::short_index), where its holder was asked about before.
    #[inline]
    #[must_use]
    pub fn service_at(&self, index: u16) -> &ServiceRecord {
        self.record.services.at(index)
    }

    /// How many were counted.
    #[must_use]
    pub fn get(&self, what: PacketCount) -> u64 {
        self.record.packets.get(what)
    }

    /// Packets dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.record.drops.get(reason)
    }

    /// Packets handed to the kernel for `cause`.
    #[must_use]
    pub fn to_kernel(&self, cause: Kernel) -> u64 {
        self.record.kernel.get(cause)
    }

    /// Packets answered with `answer`.
    #[must_use]
    pub fn answered(&self, answer: Answer) -> u64 {
        self.record.answers.get(answer)
    }

    /// Packets that NetworkPolicies and ClusterNetworkPolicies forbade, by policy.
    #[must_use]
    pub const fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Counts a drop and gives its verdict; the worker uses it for drops outside the pipeline.
    #[inline]
    pub fn drop(&self, reason: Reason) -> Verdict {
        self.record.drops.count(reason);
        Verdict::Drop(reason)
    }

    /// Counts a packet for the kernel and gives its verdict.
    #[inline]
    pub fn kernel(&self, cause: Kernel) -> Verdict {
        self.record.kernel.count(cause);
        Verdict::ToKernel
    }

    /// Counts an answer and gives its verdict.
    #[inline]
    pub fn answer(&self, answer: Answer) -> Verdict {
        self.record.answers.count(answer);
        Verdict::Reply
    }

    /// [`denials`](Self::denials), to count one more.
    pub fn denials_mut(&mut self) -> &mut Denials {
        &mut self.denials
    }
}

/// Packets that policies forbade, by policy. A count outlives changes of the state, and so does the count of a policy
/// that is gone; one that is renamed is another policy.
///
/// A change of the state costs nothing here, however many policies there are: a policy's count is looked for by its name
/// when it first denies under a state, and remembered by its index from then on.
#[derive(Debug, Default)]
pub struct Denials {
    record: Arc<DenialRecord>,
    /// In the order of their first denials.
    counts: Vec<Arc<Denied>>,
    /// Places in `counts`: of ingress, of egress.
    by_name: HashMap<String, [Option<usize>; 2]>,
    /// Where counts were found lately, by the low bits of the policy's index.
    recent: Vec<Recent>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recent {
    publication: u64,
    index: usize,
    place: Option<usize>,
}

impl Denials {
    const RECENT: usize = 64;

    fn new(record: Arc<DenialRecord>) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    /// `(policy, direction, packets)` of every policy that has denied, in the order in which they first did.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Direction, u64)> {
        self.counts
            .iter()
            .map(|d| (d.policy.as_str(), d.direction, d.packets.get()))
    }

    /// Counts a packet against the policy with this index of this publication; `named` tells who that is.
    /// Allocates when a policy denies for the first time.
    #[inline]
    pub fn count<'a>(
        &mut self,
        publication: u64,
        index: usize,
        named: impl FnOnce() -> Option<(&'a str, Direction)>,
    ) {
        let recent = self.recent.get(index % Self::RECENT);
        let known = recent.filter(|r| r.publication == publication && r.index == index);
        let place = match known.and_then(|recent| recent.place) {
            Some(place) => place,
            None => match named() {
                Some((policy, direction)) => self.find(publication, index, policy, direction),
                None => return,
            },
        };
        self.counts[place].packets.add(1);
    }

    #[cold]
    fn find(&mut self, publication: u64, index: usize, policy: &str, direction: Direction) -> usize {
        let side = match direction {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        };
        let known = self.by_name.get(policy).and_then(|sides| sides[side]);
        let place = known.unwrap_or_else(|| {
            let denied = Arc::new(Denied {
                policy: policy.to_owned(),
                direction,
                packets: Count::default(),
            });
            self.record.add(Arc::clone(&denied));
            self.counts.push(denied);
            let place = self.counts.len() - 1;
            self.by_name.entry(policy.to_owned()).or_default()[side] = Some(place);
            place
        });
        self.recent.resize(Self::RECENT, Recent::default());
        self.recent[index % Self::RECENT] = Recent {
            publication,
            index,
            place: Some(place),
        };
        place
    }
}

#[cfg(test)]
mod tests;
