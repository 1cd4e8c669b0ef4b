//! The steps of a change, in their order.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::trie::TOPS;
use super::{Entities, Limits, PolicyChanges, TooLarge};
use crate::lpm::Lpm;
use crate::policy::compiled::{Class, Compiled, REGION, TableCounts};

/// A change on its way.
pub(super) struct Recompilation<'a> {
    pub(super) model: &'a mut Entities,
    pub(super) out: &'a mut Compiled,
    pub(super) limits: Limits,
    /// Sets named for the first time; their members are not known yet.
    pub(super) new_sets: Vec<u32>,
    pub(super) new_nodes: Vec<u32>,
    /// Nodes that lost their last user.
    pub(super) dead_nodes: Vec<u32>,
    /// Sides and groups that began or ceased to matter to guards.
    pub(super) rekeyed: BTreeSet<(usize, u32)>,
    /// Addresses whose endpoints or smallest block may be others.
    pub(super) touched: Vec<IpAddr>,
    /// Classes whose record is out of date.
    pub(super) stale: Vec<u32>,
    /// Classes and regions without cells yet.
    pub(super) fresh_classes: Vec<u32>,
    pub(super) fresh_regions: Vec<u32>,
    /// Guards whose cells must be computed anew; each has `dirty` set.
    pub(super) dirty: Vec<u32>,
    /// Classes and wide sets, and whether the one joined the other or left it.
    pub(super) moves: Vec<(u32, u32, bool)>,
    /// Wide sets that lost classes.
    pub(super) shrunk: Vec<u32>,
    /// Blocks that came or went.
    pub(super) moved: Vec<IpNet>,
}

impl<'a> Recompilation<'a> {
    pub(super) fn new(model: &'a mut Entities, out: &'a mut Compiled, limits: Limits) -> Self {
        Self {
            model,
            out,
            limits,
            new_sets: Vec::new(),
            new_nodes: Vec::new(),
            dead_nodes: Vec::new(),
            rekeyed: BTreeSet::new(),
            touched: Vec::new(),
            stale: Vec::new(),
            fresh_classes: Vec::new(),
            fresh_regions: Vec::new(),
            dirty: Vec::new(),
            moves: Vec::new(),
            shrunk: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Edits tables that are equal to the model. After an error both are useless.
    pub(super) fn run(mut self, changes: PolicyChanges) -> Result<(), TooLarge> {
        self.name_groups(changes.groups);
        self.change_policies(changes.policies);
        self.fill_new_sets();
        self.empty_dead_sets();
        self.settle_nodes();
        self.change_endpoints(changes.endpoints);
        self.settle_hosts();
        self.rekey();
        self.settle_regions();
        self.bound()?;
        let dead = self.sweep();
        self.settle_widths();
        self.settle_regions();
        self.bound()?;
        self.sweep_regions();
        self.extend_guards()?;
        self.rebuild_guards()?;
        dead.into_iter().for_each(|node| self.model.trie.free(node));
        self.write_classes();
        self.write_blocks();
        self.count();
        Ok(())
    }

    /// Lets go all that nobody uses any more, users before what they use; returns the nodes that may be free.
    fn sweep(&mut self) -> Vec<u32> {
        let dead = std::mem::take(&mut self.dead_nodes);
        for node in &dead {
            let class = std::mem::take(&mut self.model.trie.node_mut(*node).class);
            if class != 0 {
                self.model.classes.release(class);
            }
        }
        self.sweep_classes();
        self.sweep_identities();
        self.sweep_guards();
        for (group, _) in self.model.groups.take_orphans() {
            self.model.groups.free(group);
        }
        dead
    }

    /// Puts blocks in force that came, and takes out those that went.
    fn settle_nodes(&mut self) {
        let mut dead = std::mem::take(&mut self.dead_nodes);
        dead.sort_unstable();
        dead.dedup();
        dead.retain(|node| !self.model.trie.is_used(*node));
        for node in &dead {
            let net = self.model.trie.node(*node).net;
            self.model.trie.remove(*node);
            self.touch(net);
        }
        self.dead_nodes = dead;
        for node in std::mem::take(&mut self.new_nodes) {
            if self.model.trie.is_used(node) {
                self.touch(self.model.trie.node(node).net);
                self.give_class(node);
            }
        }
        for top in TOPS {
            if self.model.trie.node(top).class == 0 {
                self.moved.push(self.model.trie.node(top).net);
                self.give_class(top);
            }
        }
    }

    fn give_class(&mut self, node: u32) {
        let class = self.acquire_class(0, node);
        self.model.trie.node_mut(node).class = class;
    }

    /// Notes that addresses inside have another smallest block, perhaps.
    fn touch(&mut self, net: IpNet) {
        self.moved.push(net);
        let hosts = self.model.hosts.range(net.network()..=net.broadcast());
        self.touched.extend(hosts.map(|(address, _)| *address));
    }

    fn write_classes(&mut self) {
        self.stale.sort_unstable();
        self.stale.dedup();
        for class in std::mem::take(&mut self.stale) {
            if !self.model.classes.is_used(class) {
                continue;
            }
            let (identity, _) = *self.model.classes.key(class);
            let guards = self.model.identity_info[identity as usize].guards;
            let record = Class {
                column: class,
                region: REGION | self.model.class_info[class as usize].region,
                guards: guards.map(|guard| self.model.guard_info[guard as usize].record),
            };
            self.out.classes.put(class as usize, record, &Class::OPEN);
        }
    }

    /// Builds the parts of the table of blocks anew where some came or went.
    fn write_blocks(&mut self) {
        let mut parts: Vec<IpNet> = self.moved.iter().map(|net| Lpm::part(*net)).collect();
        // A part is sorted before those inside of it.
        parts.sort_unstable();
        parts.dedup_by(|inner, outer| outer.contains(&*inner));
        let trie = &self.model.trie;
        for part in parts {
            let around = trie.node(trie.smallest_around(part)).class;
            let inside = trie.inside(part).map(|(net, node)| (net, trie.node(node).class));
            self.out.blocks.rebuild(part, around, inside);
        }
    }

    fn count(&mut self) {
        let model = &*self.model;
        self.out.counts = TableCounts {
            classes: model.classes.len() - 1,
            regions: model.regions.len() - 1,
            guards: model.guards.len() - 1,
            blocks: model.trie.len(),
            lines: model.lines.len(),
            builder_bytes: model.memory(),
        };
    }
}
