//! What changes in a cluster, one thing at a time, as a control plane tells it.

use headgate_ring::{
    Operation,
    message::{Endpoint, Group, GroupId, Key, Object, Peer, Policy},
};
use ipnet::IpNet;

use super::{cluster::Cluster, random::Random};

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A pod of some deployment comes.
    PodAdded,
    /// Some pod goes.
    PodRemoved,
    /// A pod's labels are those of another deployment from now on.
    PodRelabelled,
    /// A pod has another address.
    PodMoved,
    /// A policy comes, over groups and CIDRs that there are.
    PolicyAdded,
    /// Some policy goes.
    PolicyRemoved,
    /// One of a policy's rules is another.
    RuleChanged,
    /// One of a policy's rules is for a CIDR that nobody has named before.
    CidrAdded,
    /// A policy comes whose pods nobody has selected before: a group, its ten pods, and the policy, at once.
    SelectorAdded,
}

impl Change {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::PodAdded,
        Self::PodRemoved,
        Self::PodRelabelled,
        Self::PodMoved,
        Self::PolicyAdded,
        Self::PolicyRemoved,
        Self::RuleChanged,
        Self::CidrAdded,
        Self::SelectorAdded,
    ];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PodAdded => "a pod added",
            Self::PodRemoved => "a pod removed",
            Self::PodRelabelled => "a pod relabelled",
            Self::PodMoved => "a pod with another address",
            Self::PolicyAdded => "a policy added",
            Self::PolicyRemoved => "a policy removed",
            Self::RuleChanged => "a policy with another rule",
            Self::CidrAdded => "a policy with a new CIDR",
            Self::SelectorAdded => "a policy with a new selector",
        }
    }
}

/// A cluster that changes.
pub(super) struct Changing {
    pub(super) cluster: Cluster,
    random: Random,
    /// Of the next pod, and of the next policy.
    numbers: [usize; 2],
}

impl Changing {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            numbers: [cluster.endpoints.len(), cluster.policies.len()],
            random: Random::new(6),
            cluster,
        }
    }

    /// Changes the cluster; what a control plane sends then.
    pub(super) fn change(&mut self, change: Change) -> Vec<Operation> {
        match change {
            Change::PodAdded => {
                let pod = self.next_pod();
                self.cluster.endpoints.push(pod.clone());
                vec![put_pod(pod)]
            }
            Change::PodRemoved => {
                let pod = self.some_pod();
                let pod = self.cluster.endpoints.swap_remove(pod);
                vec![Operation::Delete(Key::Endpoint(pod.name))]
            }
            Change::PodRelabelled => {
                let deployment = self.random.below(self.cluster.deployments());
                let groups = self.cluster.groups_of(deployment);
                self.change_pod(|pod| pod.groups = groups)
            }
            Change::PodMoved => {
                let addresses = self.next_pod().addresses;
                self.change_pod(|pod| pod.addresses = addresses)
            }
            Change::PolicyAdded => {
                let policy = self.next_policy();
                self.add_policy(policy)
            }
            Change::PolicyRemoved => {
                let policy = self.random.below(self.cluster.policies.len());
                let policy = self.cluster.policies.swap_remove(policy);
                vec![Operation::Delete(Key::Policy(policy.name, policy.direction))]
            }
            Change::RuleChanged => {
                let rule = self.cluster.rule(&mut self.random, 3);
                self.change_policy(|policy| policy.rules[3] = rule)
            }
            Change::CidrAdded => {
                let block = self.new_block();
                self.change_policy(|policy| policy.rules[3].peers = Some(vec![block]))
            }
            Change::SelectorAdded => self.add_selector(),
        }
    }

    fn some_pod(&mut self) -> usize {
        self.random.below(self.cluster.endpoints.len())
    }

    fn next_pod(&mut self) -> Endpoint {
        self.numbers[0] += 1;
        self.cluster.endpoint(self.numbers[0] - 1)
    }

    fn next_policy(&mut self) -> Policy {
        self.numbers[1] += 1;
        self.cluster.policy(&mut self.random, self.numbers[1] - 1)
    }

    fn change_pod(&mut self, change: impl FnOnce(&mut Endpoint)) -> Vec<Operation> {
        let pod = self.some_pod();
        let pod = &mut self.cluster.endpoints[pod];
        change(pod);
        vec![put_pod(pod.clone())]
    }

    fn change_policy(&mut self, change: impl FnOnce(&mut Policy)) -> Vec<Operation> {
        let policy = self.random.below(self.cluster.policies.len());
        let policy = &mut self.cluster.policies[policy];
        change(policy);
        vec![Operation::Put(Object::Policy(policy.clone()))]
    }

    fn add_policy(&mut self, policy: Policy) -> Vec<Operation> {
        self.cluster.policies.push(policy.clone());
        vec![Operation::Put(Object::Policy(policy))]
    }

    /// A /24 or /56 anywhere.
    fn new_block(&mut self) -> Peer {
        let (address, length) = if self.cluster.v6 {
            (self.random.v6(), 56)
        } else {
            (self.random.v4(), 24)
        };
        Peer::Block {
            block: IpNet::new_assert(address, length).trunc(),
            except: Vec::new(),
        }
    }

    fn add_selector(&mut self) -> Vec<Operation> {
        let id = GroupId(1 << 100 | self.cluster.groups.len() as u128);
        let group = Group {
            id,
            text: format!("pods with role={id}"),
        };
        self.cluster.groups.push(group.clone());
        let mut operations = vec![Operation::Put(Object::Group(group))];
        for _ in 0..10 {
            let pod = self.some_pod();
            let pod = &mut self.cluster.endpoints[pod];
            // Sorted, since these ids are above all others and each is above the one before.
            if pod.groups.last() != Some(&id) {
                pod.groups.push(id);
                operations.push(put_pod(pod.clone()));
            }
        }
        let mut policy = self.next_policy();
        policy.subjects = id;
        operations.extend(self.add_policy(policy));
        operations
    }
}

fn put_pod(pod: Endpoint) -> Operation {
    Operation::Put(Object::Endpoint(pod))
}
