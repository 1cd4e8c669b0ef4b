//! Counts of one worker: plain integers, since nobody else writes them.

use std::collections::HashMap;

use headgate_ring::message::Direction;

use super::{Answer, Kernel, Reason, Verdict};

/// How the packets of a worker ended. All counts only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that the pipeline has seen, handed-over ones included.
    pub packets: u64,
    /// Of `packets`, those that another worker handed over.
    pub taken_over: u64,
    /// Packets handed to the worker that owns their flow.
    pub handed_over: u64,
    /// Packets rewritten and sent on.
    pub forwarded: u64,
    /// Packets rewritten and parked for want of the neighbour's address.
    pub resolving: u64,
    /// Packets for the L7 stage.
    pub to_l7: u64,
    /// Flows made since the start.
    pub flows_created: u64,
    /// Flows removed for idleness.
    pub flows_expired: u64,
    /// Flows cut because a change of the state forbids them or takes their Service away.
    pub flows_cut: u64,
    drops: [u64; Reason::ALL.len()],
    kernel: [u64; Kernel::ALL.len()],
    answers: [u64; Answer::ALL.len()],
    denials: Denials,
}

impl Counters {
    /// Packets dropped for `reason`.
    #[must_use]
    pub const fn dropped(&self, reason: Reason) -> u64 {
        self.drops[reason as usize]
    }

    /// Packets handed to the kernel for `cause`.
    #[must_use]
    pub const fn to_kernel(&self, cause: Kernel) -> u64 {
        self.kernel[cause as usize]
    }

    /// Packets answered with `answer`.
    #[must_use]
    pub const fn answered(&self, answer: Answer) -> u64 {
        self.answers[answer as usize]
    }

    /// Packets that NetworkPolicies and ClusterNetworkPolicies forbade, by policy.
    #[must_use]
    pub const fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Counts a drop and gives its verdict; the worker uses it for drops outside the pipeline.
    pub const fn drop(&mut self, reason: Reason) -> Verdict {
        self.drops[reason as usize] += 1;
        Verdict::Drop(reason)
    }

    /// Counts a packet for the kernel and gives its verdict.
    pub const fn kernel(&mut self, cause: Kernel) -> Verdict {
        self.kernel[cause as usize] += 1;
        Verdict::ToKernel
    }

    /// Counts an answer and gives its verdict.
    pub const fn answer(&mut self, answer: Answer) -> Verdict {
        self.answers[answer as usize] += 1;
        Verdict::Reply
    }

    /// Likewise, to count one more.
    pub fn denials_mut(&mut self) -> &mut Denials {
        &mut self.denials
    }
}

/// Packets that policies forbade, by policy. A count outlives changes of the state, and so does the count of a policy
/// that is gone; one that is renamed is another policy.
///
/// A change of the state costs nothing here, however many policies there are: a policy's count is looked for by its name
/// when it first denies under a state, and remembered by its index from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denials {
    /// In the order of their first denials.
    counts: Vec<Denied>,
    /// Places in `counts`: of ingress, of egress.
    by_name: HashMap<String, [Option<usize>; 2]>,
    /// Where counts were found lately, by the low bits of the policy's index.
    recent: Vec<Recent>,
}

/// The count of one policy and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Denied {
    policy: String,
    direction: Direction,
    packets: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recent {
    generation: u64,
    index: usize,
    place: Option<usize>,
}

impl Denials {
    const RECENT: usize = 64;

    /// `(policy, direction, packets)` of every policy that has denied, in the order in which they first did.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Direction, u64)> {
        self.counts
            .iter()
            .map(|d| (d.policy.as_str(), d.direction, d.packets))
    }

    /// Counts a packet against the policy with this index in the state of this generation; `named` tells who that is.
    /// Allocates when a policy denies for the first time.
    #[inline]
    pub fn count<'a>(
        &mut self,
        generation: u64,
        index: usize,
        named: impl FnOnce() -> Option<(&'a str, Direction)>,
    ) {
        let recent = self.recent.get(index % Self::RECENT);
        let known = recent.filter(|r| r.generation == generation && r.index == index);
        let place = match known.and_then(|recent| recent.place) {
            Some(place) => place,
            None => match named() {
                Some((policy, direction)) => self.find(generation, index, policy, direction),
                None => return,
            },
        };
        self.counts[place].packets += 1;
    }

    #[cold]
    fn find(&mut self, generation: u64, index: usize, policy: &str, direction: Direction) -> usize {
        let side = match direction {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        };
        let known = self.by_name.get(policy).and_then(|sides| sides[side]);
        let place = known.unwrap_or_else(|| {
            self.counts.push(Denied {
                policy: policy.to_owned(),
                direction,
                packets: 0,
            });
            let place = self.counts.len() - 1;
            self.by_name.entry(policy.to_owned()).or_default()[side] = Some(place);
            place
        });
        self.recent.resize(Self::RECENT, Recent::default());
        self.recent[index % Self::RECENT] = Recent {
            generation,
            index,
            place: Some(place),
        };
        place
    }
}
