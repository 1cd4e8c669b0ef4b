//! The addresses of endpoints: exact matches, apart from the blocks, so that a pod that comes or goes is one entry.

use std::net::{IpAddr, Ipv4Addr};

use super::slots::{Slots, Wide};
use crate::double_buffered::DoubleBuffered;

/// From addresses to classes.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    v4: Slots<u64>,
    v6: Slots<Wide>,
    around: [Around; 2],
}

impl Hosts {
    /// The address's class, or 0.
    pub(super) fn class(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(a) => self.class_v4(a),
            IpAddr::V6(a) => self.class_v6(a.to_bits()),
        }
    }

    #[inline(always)]
    pub(super) fn class_v4(&self, address: Ipv4Addr) -> u32 {
        // Mostly one of both ends is a client somewhere else, and need not be searched here.
        if self.around[0].may_hold(address.to_bits() >> 16) {
            self.v4.get(address.to_bits())
        } else {
            0
        }
    }

    #[inline(always)]
    pub(super) fn class_v6(&self, address: u128) -> u32 {
        if self.around[1].may_hold(upper(address)) {
            self.v6.get(address)
        } else {
            0
        }
    }

    /// Sets the class of an address; 0 takes it out.
    pub(super) fn set(&mut self, address: IpAddr, class: u32) {
        let there = self.class(address) != 0;
        match (address, class) {
            (IpAddr::V4(a), 0) => _ = self.v4.remove(a.to_bits()),
            (IpAddr::V4(a), _) => self.v4.insert(a.to_bits(), class),
            (IpAddr::V6(a), 0) => _ = self.v6.remove(a.to_bits()),
            (IpAddr::V6(a), _) => self.v6.insert(a.to_bits(), class),
        }
        let around = match address {
            IpAddr::V4(a) => (0, a.to_bits() >> 16),
            IpAddr::V6(a) => (1, upper(a.to_bits())),
        };
        match (there, class != 0) {
            (false, true) => self.around[around.0].add(around.1),
            (true, false) => self.around[around.0].take(around.1),
            _ => {}
        }
    }

    /// Changes a value that is a count.
    pub(super) fn recount(&mut self, address: IpAddr, change: impl FnOnce(u32) -> u32) {
        self.set(address, change(self.class(address)));
    }

    pub(super) fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory() + self.around.iter().map(Around::memory).sum::<usize>()
    }

    /// See [`DoubleBuffered::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.v4.catch_up(&newer.v4);
        self.v6.catch_up(&newer.v6);
        for (around, newer) in self.around.iter_mut().zip(&newer.around) {
            around.catch_up(newer);
        }
    }
}

/// The /16s of a family that hosts are in.
#[derive(Clone, Debug)]
struct Around {
    /// A bit for each.
    bits: DoubleBuffered<u64>,
    /// How many hosts, up to the last that has had any; workers have the bits.
    hosts: DoubleBuffered<u32>,
}

impl Default for Around {
    fn default() -> Self {
        Self {
            bits: DoubleBuffered::filled(0, 1 << 10),
            hosts: DoubleBuffered::default(),
        }
    }
}

impl Around {
    /// By the first 16 bits.
    #[inline(always)]
    fn may_hold(&self, block: u32) -> bool {
        self.bits[(block >> 6) as usize & 0x3ff] >> (block & 63) & 1 != 0
    }

    fn add(&mut self, block: u32) {
        let hosts = self.hosts.get(block as usize).copied().unwrap_or_default();
        self.hosts.put(block as usize, hosts + 1, &0);
        *self.bits.edit((block >> 6) as usize) |= 1 << (block & 63);
    }

    fn take(&mut self, block: u32) {
        let hosts = self.hosts.edit(block as usize);
        *hosts -= 1;
        if *hosts == 0 {
            *self.bits.edit((block >> 6) as usize) &= !(1 << (block & 63));
        }
    }

    fn memory(&self) -> usize {
        self.bits.memory() + self.hosts.memory()
    }

    fn catch_up(&mut self, newer: &Self) {
        self.bits.catch_up(&newer.bits);
        self.hosts.catch_up(&newer.hosts);
    }
}

#[inline(always)]
fn upper(address: u128) -> u32 {
    (address >> 112) as u32
}

/// From addresses to the places of their endpoints: mostly one, but pods with `hostNetwork` share their node's.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    /// Places in `lists`, plus 1.
    by_address: Hosts,
    lists: DoubleBuffered<Box<[u32]>>,
    free: Vec<u32>,
}

impl Owners {
    /// Sorted places of the endpoints at an address.
    pub(super) fn at(&self, address: IpAddr) -> &[u32] {
        match self.by_address.class(address) {
            0 => &[],
            list => &self.lists[list as usize - 1],
        }
    }

    pub(super) fn add(&mut self, address: IpAddr, place: u32) {
        let mut list = self.at(address).to_vec();
        if let Err(at) = list.binary_search(&place) {
            list.insert(at, place);
        }
        self.set(address, list);
    }

    pub(super) fn take(&mut self, address: IpAddr, place: u32) {
        let mut list = self.at(address).to_vec();
        list.retain(|p| *p != place);
        self.set(address, list);
    }

    fn set(&mut self, address: IpAddr, list: Vec<u32>) {
        let at = match self.by_address.class(address) {
            0 => self.free.pop().unwrap_or_else(|| {
                u32::try_from(self.lists.len()).expect("memory ends before 2^32 addresses")
            }),
            number => number - 1,
        };
        if list.is_empty() {
            self.free.push(at);
        }
        self.by_address
            .set(address, if list.is_empty() { 0 } else { at + 1 });
        self.lists.put(at as usize, list.into(), &Box::default());
    }

    pub(super) fn memory(&self) -> usize {
        let listed: usize = self.lists.iter().map(|list| size_of_val(&**list)).sum();
        self.by_address.memory() + self.lists.memory() + listed
    }

    /// See [`DoubleBuffered::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.by_address.catch_up(&newer.by_address);
        self.lists.catch_up(&newer.lists);
        self.free.clone_from(&newer.free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_several_owners() {
        let mut owners = Owners::default();
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), "fd00::1".parse().expect("an address"));
        owners.add(a, 7);
        owners.add(a, 3);
        owners.add(a, 7);
        owners.add(b, 3);
        assert_eq!((owners.at(a), owners.at(b)), (&[3, 7][..], &[3][..]));
        owners.take(a, 7);
        owners.take(a, 3);
        owners.take(a, 3);
        assert_eq!((owners.at(a), owners.at(b)), (&[][..], &[3][..]));
        owners.add([10, 0, 0, 2].into(), 4);
        assert_eq!(owners.lists.len(), 2, "places are used again");
    }
}
