//! Counts of one worker: plain integers, since nobody else writes them.

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

    /// Packets that NetworkPolicies forbade, by policy.
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

    pub(crate) fn denials_mut(&mut self) -> &mut Denials {
        &mut self.denials
    }
}

/// Packets that NetworkPolicies forbade, by policy. A count outlives changes of the state, and so does the
/// count of a policy that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denials {
    /// Sorted by policy and direction.
    counts: Vec<Denied>,
    /// Place in `counts` of each policy of the state in force, by its index there.
    places: Vec<usize>,
}

/// The count of one policy and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Denied {
    policy: String,
    direction: Direction,
    packets: u64,
}

impl Denied {
    fn key(&self) -> (&str, Direction) {
        (&self.policy, self.direction)
    }
}

impl Denials {
    /// `(namespace/name, direction, packets)` of every policy that has been in force, denials or not.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Direction, u64)> {
        self.counts
            .iter()
            .map(|d| (d.policy.as_str(), d.direction, d.packets))
    }

    /// Takes the policies of a new state with their indices, in the order of their names and directions. One pass over
    /// both lists, since workers do it between packets. Allocates: once a change, not a packet.
    pub(crate) fn renumber<'a>(&mut self, policies: impl Iterator<Item = (u32, &'a str, Direction)>) {
        let known = std::mem::take(&mut self.counts);
        self.counts.reserve(known.len());
        self.places.clear();
        let mut known = known.into_iter().peekable();
        for (index, policy, direction) in policies {
            let index = index as usize;
            while let Some(gone) = known.next_if(|d| d.key() < (policy, direction)) {
                self.counts.push(gone);
            }
            let denied = known.next_if(|d| d.key() == (policy, direction));
            if self.places.len() <= index {
                self.places.resize(index + 1, usize::MAX);
            }
            self.places[index] = self.counts.len();
            self.counts.push(denied.unwrap_or_else(|| Denied {
                policy: policy.to_owned(),
                direction,
                packets: 0,
            }));
        }
        self.counts.extend(known);
    }

    /// Counts a packet against the policy with this index in the state in force.
    pub(crate) fn count(&mut self, index: usize) {
        if let Some(denied) = self
            .places
            .get(index)
            .and_then(|&place| self.counts.get_mut(place))
        {
            denied.packets += 1;
        }
    }
}
