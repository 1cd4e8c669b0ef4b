//! The addresses of endpoints: exact matches, apart from the blocks, so that a pod that comes or goes is one entry.

use std::net::IpAddr;

use super::buckets::Buckets;
use crate::tracked::Tracked;

/// From addresses to classes.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    v4: Buckets<u32, 7>,
    v6: Buckets<u128, 3>,
}

impl Hosts {
    /// The address's class, or 0.
    #[inline]
    pub(super) fn class(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(a) => self.v4.get(a.to_bits()),
            IpAddr::V6(a) => self.v6.get(a.to_bits()),
        }
    }

    /// Sets the class of an address; 0 takes it out.
    pub(super) fn set(&mut self, address: IpAddr, class: u32) {
        match (address, class) {
            (IpAddr::V4(a), 0) => self.v4.remove(a.to_bits()),
            (IpAddr::V4(a), _) => self.v4.insert(a.to_bits(), class),
            (IpAddr::V6(a), 0) => self.v6.remove(a.to_bits()),
            (IpAddr::V6(a), _) => self.v6.insert(a.to_bits(), class),
        };
    }

    pub(super) fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }

    /// See [`Tracked::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.v4.catch_up(&newer.v4);
        self.v6.catch_up(&newer.v6);
    }
}

/// From addresses to the places of their endpoints: mostly one, but pods with `hostNetwork` share their node's.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    /// Places in `lists`, plus 1.
    by_address: Hosts,
    lists: Tracked<Box<[u32]>>,
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

    /// See [`Tracked::catch_up`].
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
