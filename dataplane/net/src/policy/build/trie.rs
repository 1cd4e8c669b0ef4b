//! The blocks that policies name, and how they lie in one another.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Blocks and excepts of both families, each a node with a number. All of a family is always one of them.
///
/// Sorted by address, then by length, all blocks inside of a block stand right behind it.
#[derive(Debug)]
pub(super) struct Trie {
    by_net: BTreeMap<IpNet, u32>,
    nodes: Vec<TrieNode>,
    free: Vec<u32>,
}

/// A block that somebody names.
#[derive(Debug)]
pub(super) struct TrieNode {
    pub(super) net: IpNet,
    /// The smallest block around it; the node itself at the top.
    parent: u32,
    /// How many blocks and excepts of peer sets are this.
    users: u32,
    /// The class of addresses in this block, and in no smaller one, that no endpoint has; 0 before there is one.
    pub(super) class: u32,
    /// All classes of addresses of which this is the smallest block.
    pub(super) classes: Vec<u32>,
    /// The peer sets of which this is the block.
    pub(super) sets: Vec<u32>,
}

/// The number of 0.0.0.0/0, and of ::/0.
pub(super) const TOPS: [u32; 2] = [0, 1];

impl Default for Trie {
    fn default() -> Self {
        let mut trie = Self {
            by_net: BTreeMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
        };
        let tops: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
        for (number, net) in TOPS.into_iter().zip(tops) {
            trie.by_net.insert(net, number);
            trie.nodes.push(TrieNode::new(net, number));
        }
        trie
    }
}

impl TrieNode {
    fn new(net: IpNet, parent: u32) -> Self {
        Self {
            net,
            parent,
            users: 1,
            class: 0,
            classes: Vec::new(),
            sets: Vec::new(),
        }
    }
}

impl Trie {
    /// The block's node with one user more, and whether it is new.
    pub(super) fn acquire(&mut self, net: IpNet) -> (u32, bool) {
        if let Some(number) = self.by_net.get(&net) {
            self.nodes[*number as usize].users += 1;
            return (*number, false);
        }
        let parent = self.smallest_around(net);
        let node = TrieNode::new(net, parent);
        let number = match self.free.pop() {
            Some(number) => {
                self.nodes[number as usize] = node;
                number
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 blocks")
            }
        };
        self.adopt(net, parent, number);
        self.by_net.insert(net, number);
        (number, true)
    }

    /// A user less; whether it was the last.
    pub(super) fn release(&mut self, number: u32) -> bool {
        let node = &mut self.nodes[number as usize];
        node.users -= 1;
        node.users == 0
    }

    /// Takes a node that nobody uses out. Its number stays until [`Trie::free`].
    pub(super) fn remove(&mut self, number: u32) {
        let TrieNode { net, parent, .. } = self.nodes[number as usize];
        self.by_net.remove(&net);
        self.adopt(net, number, parent);
    }

    /// Lets the number of a node that was taken out be given to others.
    pub(super) fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    pub(super) fn is_used(&self, number: u32) -> bool {
        self.nodes[number as usize].users != 0
    }

    pub(super) fn node(&self, number: u32) -> &TrieNode {
        &self.nodes[number as usize]
    }

    pub(super) fn node_mut(&mut self, number: u32) -> &mut TrieNode {
        &mut self.nodes[number as usize]
    }

    /// The node and all around it, the smallest first.
    pub(super) fn around(&self, number: u32) -> impl Iterator<Item = &TrieNode> {
        let next = |node: &&TrieNode| {
            let parent = &self.nodes[node.parent as usize];
            (parent.net != node.net).then_some(parent)
        };
        std::iter::successors(Some(self.node(number)), next)
    }

    /// The smallest block that holds the address.
    pub(super) fn of_address(&self, address: IpAddr) -> u32 {
        let host = IpNet::from(address);
        match self.by_net.get(&host) {
            Some(number) => *number,
            None => self.smallest_around(host),
        }
    }

    /// Every block in `net`, it itself too if it is one: those that hold others before these.
    pub(super) fn inside(&self, net: IpNet) -> impl Iterator<Item = (IpNet, u32)> {
        let last = IpNet::from(net.broadcast());
        self.by_net.range(net..=last).map(|(net, number)| (*net, *number))
    }

    /// The smallest block that holds `net` and is not `net`.
    pub(super) fn smallest_around(&self, net: IpNet) -> u32 {
        let before = self.by_net.range(..net).next_back();
        let mut number = before.map_or(TOPS[usize::from(net.network().is_ipv6())], |(_, number)| *number);
        // What stands before lies beside it, in a block that holds both.
        while !self.nodes[number as usize].net.contains(&net) {
            let parent = self.nodes[number as usize].parent;
            if parent == number {
                return TOPS[usize::from(net.network().is_ipv6())];
            }
            number = parent;
        }
        number
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.by_net.len()
    }

    /// Gives the children of `from` inside of `net` to `to`.
    fn adopt(&mut self, net: IpNet, from: u32, to: u32) {
        let last = IpNet::from(net.broadcast());
        for (inner, number) in self.by_net.range(net..=last) {
            let node = &mut self.nodes[*number as usize];
            if node.parent == from && *inner != net {
                node.parent = to;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net() -> impl Strategy<Value = IpNet> {
        let v4 = (0_u32..4, 0_u32..4, 0_u8..=32).prop_map(|(a, b, length)| {
            let bits = a << 30 | a << 15 | b << 6 | b;
            Ipv4Net::new_assert(bits.into(), length).trunc().into()
        });
        let v6 = (0_u128..4, 0_u128..4, 0_u8..=128).prop_map(|(a, b, length)| {
            let bits = a << 126 | a << 64 | b << 20 | b;
            Ipv6Net::new_assert(bits.into(), length).trunc().into()
        });
        prop_oneof![2 => v4, 1 => v6]
    }

    proptest! {
        #[test]
        fn parents_are_the_smallest_around(changes in proptest::collection::vec((net(), any::<bool>()), 0..60)) {
            let mut trie = Trie::default();
            let mut held: BTreeMap<IpNet, u32> = BTreeMap::new();
            for (net, add) in changes {
                if add {
                    held.insert(net, trie.acquire(net).0);
                } else if let Some(number) = held.remove(&net) {
                    while !trie.release(number) && trie.node(number).users > u32::from(net.prefix_len() == 0) {}
                    if net.prefix_len() != 0 {
                        trie.remove(number);
                        trie.free(number);
                    }
                }
            }
            let all: Vec<IpNet> = trie.by_net.keys().copied().collect();
            prop_assert!(held.keys().all(|net| all.contains(net)));
            for (net, number) in &trie.by_net {
                let around: Vec<IpNet> = trie.around(*number).map(|node| node.net).collect();
                let mut expected: Vec<IpNet> = all.iter().filter(|n| n.contains(net)).copied().collect();
                expected.sort_by_key(|n| std::cmp::Reverse(n.prefix_len()));
                prop_assert_eq!(around, expected);
                let inside: Vec<IpNet> = trie.inside(*net).map(|(net, _)| net).collect();
                let expected: Vec<IpNet> = all.iter().filter(|n| net.contains(*n)).copied().collect();
                prop_assert_eq!(inside, expected);
                for address in [net.network(), net.broadcast()] {
                    let smallest = all.iter().filter(|n| n.contains(&address)).max_by_key(|n| n.prefix_len());
                    prop_assert_eq!(Some(&trie.node(trie.of_address(address)).net), smallest);
                }
            }
        }
    }
}
