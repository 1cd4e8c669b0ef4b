//! Sets of peers, and which classes they hold.

use std::sync::Arc;

use headgate_ring::message::Peer;
use ipnet::IpNet;

use super::change::Recompilation;
use super::guards::LISTED;
use super::{drop_from, enter, leave, slot};
use crate::policy::compiled::REGION;

/// A region, wide sets that a class of it joins (or else leaves), and the class.
type Mover = (u32, Vec<(u32, bool)>, u32);

/// One peer of rules, by its number.
#[derive(Debug, Default)]
pub(super) struct SetInfo {
    kind: SetKind,
    /// Guards that have cells by it, sorted.
    pub(super) users: Vec<u32>,
    /// How many classes it holds.
    count: usize,
    pub(super) wide: bool,
    /// The classes that it holds, sorted; empty if it is wide.
    pub(super) members: Vec<u32>,
    /// The regions that it is part of, sorted; none unless it is wide.
    pub(super) regions: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
enum SetKind {
    #[default]
    Free,
    Group(u32),
    Block {
        block: IpNet,
        /// Those inside of the block and in no other one, sorted.
        except: Vec<IpNet>,
        /// Of the block, then of the excepts.
        nodes: Vec<u32>,
    },
}

impl SetKind {
    /// Whether an except of the block holds all of a node.
    fn excepts(&self, net: &IpNet) -> bool {
        let Self::Block { except, .. } = self else {
            return false;
        };
        // None is in another one, so that none can stand between `net` and one around it.
        let before = except.partition_point(|e| e <= net);
        before > 0 && except[before - 1].contains(net)
    }
}

/// Those of the blocks that are in no other one, sorted.
fn outermost(mut blocks: Vec<IpNet>) -> Vec<IpNet> {
    blocks.sort_unstable();
    blocks.dedup_by(|inner, outer| outer.contains(&*inner));
    blocks
}

impl Recompilation<'_> {
    /// The peer's set, with a user more.
    pub(super) fn acquire_set(&mut self, peer: &Peer) -> u32 {
        let (set, new) = self.model.sets.acquire(peer.clone());
        if !new {
            return set;
        }
        let kind = match peer {
            Peer::Group(id) => {
                let group = self.acquire_group(*id);
                self.model.group_info[group as usize].set = set + 1;
                SetKind::Group(group)
            }
            Peer::Block { block, except } => {
                let block = block.trunc();
                let except = except.iter().map(IpNet::trunc).filter(|e| block.contains(e));
                let except = outermost(except.collect());
                let all = [block].into_iter().chain(except.iter().copied());
                let nodes: Vec<u32> = all.map(|net| self.acquire_node(net)).collect();
                self.model.trie.node_mut(nodes[0]).sets.push(set);
                SetKind::Block { block, except, nodes }
            }
        };
        *slot(&mut self.model.set_info, set) = SetInfo {
            kind,
            ..SetInfo::default()
        };
        self.new_sets.push(set);
        set
    }

    fn acquire_node(&mut self, net: IpNet) -> u32 {
        let (node, new) = self.model.trie.acquire(net);
        if new {
            self.new_nodes.push(node);
        }
        node
    }

    /// Finds the members of sets that are new among the classes that there are.
    pub(super) fn fill_new_sets(&mut self) {
        for set in std::mem::take(&mut self.new_sets) {
            for class in self.classes_in(set) {
                self.join(class, set);
            }
        }
    }

    /// Takes the members out of sets that no policy names any more, and those out of the trie.
    pub(super) fn empty_dead_sets(&mut self) {
        for (set, _) in self.model.sets.take_orphans() {
            let wide = self.model.set_info[set as usize].wide;
            for class in self.classes_in(set) {
                if wide {
                    self.moves.push((class, set, false));
                } else {
                    leave(&mut self.model.class_info[class as usize].narrow, set);
                }
            }
            // Its users' policies changed, so they are dirty.
            let info = std::mem::take(&mut self.model.set_info[set as usize]);
            match info.kind {
                SetKind::Free => {}
                SetKind::Group(group) => {
                    self.model.group_info[group as usize].set = 0;
                    self.model.groups.release(group);
                }
                SetKind::Block { nodes, .. } => {
                    drop_from(&mut self.model.trie.node_mut(nodes[0]).sets, set);
                    let last = nodes.into_iter().filter(|node| self.model.trie.release(*node));
                    self.dead_nodes.extend(last.collect::<Vec<_>>());
                }
            }
            self.model.sets.free(set);
        }
    }

    /// The classes that a set holds, whether or not it knows them.
    fn classes_in(&self, set: u32) -> Vec<u32> {
        let model = &*self.model;
        let kind = &model.set_info[set as usize].kind;
        match kind {
            SetKind::Free => Vec::new(),
            SetKind::Group(group) => {
                let identities = &model.group_info[*group as usize].identities;
                let classes = identities
                    .iter()
                    .map(|i| &model.identity_info[*i as usize].classes);
                classes.flatten().copied().collect()
            }
            SetKind::Block { block, .. } => {
                let nodes = model.trie.inside(*block).filter(|(net, _)| !kind.excepts(net));
                let classes = nodes.map(|(_, node)| &model.trie.node(node).classes);
                classes.flatten().copied().collect()
            }
        }
    }

    /// Makes a new class a member of all sets that hold it.
    pub(super) fn join_sets(&mut self, class: u32, identity: u32, node: u32) {
        let model = &*self.model;
        let groups = model.identities.key(identity).iter();
        let mut sets: Vec<u32> = groups
            .filter_map(|group| model.group_info[*group as usize].set.checked_sub(1))
            .collect();
        let net = model.trie.node(node).net;
        let around = model.trie.around(node).flat_map(|node| &node.sets);
        sets.extend(around.filter(|set| !model.set_info[**set as usize].kind.excepts(&net)));
        sets.sort_unstable();
        let is_wide = |set: &u32| model.set_info[*set as usize].wide;
        let (wide, narrow): (Vec<u32>, Vec<u32>) = sets.into_iter().partition(is_wide);
        for set in &wide {
            self.model.set_info[*set as usize].count += 1;
        }
        self.model.class_info[class as usize].region = self.acquire_region(wide);
        narrow.into_iter().for_each(|set| self.join(class, set));
    }

    fn join(&mut self, class: u32, set: u32) {
        let info = &mut self.model.set_info[set as usize];
        info.count += 1;
        if info.wide {
            return self.moves.push((class, set, true));
        }
        enter(&mut info.members, class);
        let full = info.members.len() > self.limits.wide;
        enter(&mut self.model.class_info[class as usize].narrow, set);
        if full {
            self.widen(set);
        }
    }

    /// Takes a class that is going out of all its sets, and its cells with it.
    pub(super) fn leave_sets(&mut self, class: u32) {
        let info = std::mem::take(&mut self.model.class_info[class as usize]);
        for set in info.narrow {
            let set = &mut self.model.set_info[set as usize];
            set.count -= 1;
            leave(&mut set.members, class);
            for guard in set.users.clone() {
                self.remove_cell(guard, class);
            }
        }
        for set in self.model.regions.key(info.region).iter() {
            let info = &mut self.model.set_info[*set as usize];
            info.count -= 1;
            self.shrunk.push(*set);
        }
        self.model.regions.release(info.region);
    }

    fn widen(&mut self, set: u32) {
        let info = &mut self.model.set_info[set as usize];
        info.wide = true;
        for class in std::mem::take(&mut info.members) {
            leave(&mut self.model.class_info[class as usize].narrow, set);
            self.moves.push((class, set, true));
        }
        self.mark_users(set);
    }

    /// Makes sets narrow again that shrank enough.
    pub(super) fn settle_widths(&mut self) {
        let mut shrunk = std::mem::take(&mut self.shrunk);
        shrunk.sort_unstable();
        shrunk.dedup();
        for set in shrunk {
            let info = &mut self.model.set_info[set as usize];
            if !info.wide || info.count >= self.limits.narrow {
                continue;
            }
            info.wide = false;
            let mut members = self.classes_in(set);
            for class in &members {
                self.moves.push((*class, set, false));
                enter(&mut self.model.class_info[*class as usize].narrow, set);
            }
            members.sort_unstable();
            self.model.set_info[set as usize].members = members;
            self.mark_users(set);
        }
    }

    fn mark_users(&mut self, set: u32) {
        for guard in self.model.set_info[set as usize].users.clone() {
            self.mark(guard);
        }
    }

    /// Gives classes that joined or left wide sets their regions. Each once, however many sets there were: otherwise
    /// there would be a region on the way for every one of them.
    pub(super) fn settle_regions(&mut self) {
        let mut moves = std::mem::take(&mut self.moves);
        moves.sort_unstable();
        let of_class = moves.chunk_by(|a, b| a.0 == b.0);
        // Classes by where they come from and what they do, since most do the same.
        let mut movers: Vec<Mover> = of_class
            .map(|of_class| {
                let class = of_class[0].0;
                let sets = of_class.iter().map(|(_, set, joins)| (*set, *joins)).collect();
                (self.model.class_info[class as usize].region, sets, class)
            })
            .collect();
        movers.sort_unstable();
        for alike in movers.chunk_by(|a, b| (a.0, &a.1) == (b.0, &b.1)) {
            let (old, moves, _) = &alike[0];
            let classes: Vec<u32> = alike.iter().map(|(_, _, class)| *class).collect();
            self.move_classes(*old, moves, &classes);
        }
    }

    /// Has some classes of a region join or leave sets, sorted.
    fn move_classes(&mut self, old: u32, moves: &[(u32, bool)], classes: &[u32]) {
        let before = Arc::clone(self.model.regions.key(old));
        let left = |set: &u32| moves.binary_search(&(*set, false)).is_ok();
        let stayed = before.iter().filter(|set| !left(set));
        let joined = moves.iter().filter(|(_, joins)| *joins).map(|(set, _)| set);
        let mut sets: Vec<u32> = stayed.chain(joined).copied().collect();
        sets.sort_unstable();
        sets.dedup();
        let all = old != 0 && self.model.regions.users(old) as usize == classes.len();
        if all && self.rename_region(old, &sets, moves) {
            return;
        }
        for class in classes {
            self.model.class_info[*class as usize].region = self.acquire_region(sets.clone());
            self.model.regions.release(old);
            self.stale.push(*class);
        }
    }

    /// Makes a region that of other sets, if there is none of these yet. It keeps its cells: guards that use one of the sets
    /// that came or went are computed anew, and to all others it is what it was.
    fn rename_region(&mut self, region: u32, sets: &[u32], moves: &[(u32, bool)]) -> bool {
        let before = self.model.regions.key(region).len();
        if sets.is_empty() || !self.model.regions.rename(region, &sets.into()) {
            return false;
        }
        self.model.listed_regions = self.model.listed_regions + sets.len() - before;
        for (set, joins) in moves {
            let regions = &mut self.model.set_info[*set as usize].regions;
            if *joins {
                enter(regions, region);
            } else {
                leave(regions, region);
            }
        }
        true
    }

    /// The region of sorted wide sets, with a user more.
    fn acquire_region(&mut self, sets: Vec<u32>) -> u32 {
        if self.model.listed_regions.saturating_mul(LISTED) > self.limits.bytes {
            // The change is not to be; until its end is reached it takes no more memory.
            self.model.regions.retain(0);
            return 0;
        }
        let sets: Arc<[u32]> = sets.into();
        let (region, new) = self.model.regions.acquire(Arc::clone(&sets));
        if new {
            self.model.listed_regions += sets.len();
            for set in sets.iter() {
                enter(&mut self.model.set_info[*set as usize].regions, region);
            }
            self.fresh_regions.push(region);
        }
        region
    }

    /// Takes regions out that no class has any more, and their cells.
    pub(super) fn sweep_regions(&mut self) {
        for (region, sets) in self.model.regions.take_orphans() {
            self.model.listed_regions -= sets.len();
            for set in sets.iter() {
                let info = &mut self.model.set_info[*set as usize];
                leave(&mut info.regions, region);
                for guard in info.users.clone() {
                    self.remove_cell(guard, REGION | region);
                }
            }
            self.model.regions.free(region);
        }
    }
}
