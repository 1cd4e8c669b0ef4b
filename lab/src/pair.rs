//! A second gateway beside the first, and what shares connections out between them.
//!
//! ```text
//!                 ┌ c0 ── g0  gateway  g1 ── p0 ┐
//!   clients (front)                              pods
//!                 └ c1 ── g0  second   g1 ── p1 ┘
//! ```
//!
//! The clients' namespace is its own front: it has two next hops for the virtual addresses, gives each new connection one of
//! those that are in use, in turn, and keeps a connection where it is (conntrack), as balancers in front of several gateways
//! do. IPv4 only.

use std::{fs, net::Ipv4Addr};

use anyhow::Result;

use crate::{Lab, Namespace};

/// Two gateways of a lab.
#[derive(Debug)]
pub struct Pair<'a> {
    lab: &'a Lab,
    second: Namespace,
}

impl<'a> Pair<'a> {
    /// Own addresses of the gateways, which clients reach.
    pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 3, 1)];

    /// Adds the second gateway; both are in use. Once for each lab, and without a remote client.
    ///
    /// # Errors
    ///
    /// When there is one already, or without `nft`.
    pub fn build(lab: &'a Lab) -> Result<Self> {
        let second = lab.add_namespace()?;
        lab.connect((&lab.clients, "c1"), (&second, "g0"))?;
        lab.connect((&lab.pods, "p1"), (&second, "g1"))?;
        second.ip(&[
            "addr add 192.0.3.1/24 dev g0",
            "addr add 10.244.2.1/24 dev g1",
            "route add 192.0.2.0/24 via 192.0.3.10",
            "route add 10.244.1.0/24 via 10.244.2.2",
        ])?;
        lab.pods.ip(&["addr add 10.244.2.2/24 dev p1"])?;
        lab.clients.ip(&[
            "addr add 192.0.3.10/24 dev c1",
            "route add default via 192.0.2.1 dev c0 table 101",
            "route add default via 192.0.3.1 dev c1 table 102",
            "rule add fwmark 1 table 101",
            "rule add fwmark 2 table 102",
        ])?;
        let pair = Self { lab, second };
        pair.use_gateways([true, true])?;
        Ok(pair)
    }

    /// The namespaces of both.
    #[must_use]
    pub fn gateways(&self) -> [&Namespace; 2] {
        [&self.lab.gateway, &self.second]
    }

    /// Gives new connections to these gateways from now on; those that are there stay where they are.
    ///
    /// # Errors
    ///
    /// When `nft` refuses.
    pub fn use_gateways(&self, used: [bool; 2]) -> Result<()> {
        let mark = match used {
            [true, false] => "1",
            [false, true] => "2",
            _ => "numgen inc mod 2 map { 0 : 1, 1 : 2 }",
        };
        let rules = format!(
            "table ip front {{ chain out {{ type route hook output priority mangle; }}; }}\n\
             flush chain ip front out\n\
             add rule ip front out ip daddr 198.51.100.0/24 ct state new ct mark set {mark}\n\
             add rule ip front out ip daddr 198.51.100.0/24 meta mark set ct mark\n"
        );
        let file = self.lab.directory().join("front.nft");
        fs::write(&file, rules)?;
        let file = file.display().to_string();
        self.lab.clients.run_ok("nft", &["-f", &file]).map(drop)
    }
}
