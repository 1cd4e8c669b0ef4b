//! The real program takes rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use headgate_xsk::{AddressRule, Steering, SteeringError};

use super::Rules;

impl Rules for Steering {
    fn set_address(&mut self, address: IpAddr, rule: AddressRule) -> Result<(), SteeringError> {
        Self::set_address(self, address, rule)
    }

    fn remove_address(&mut self, address: IpAddr) -> Result<(), SteeringError> {
        Self::remove_address(self, address)
    }

    fn add_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError> {
        Self::add_port(self, address, protocol, port)
    }

    fn remove_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError> {
        Self::remove_port(self, address, protocol, port)
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let counters = self.counters().unwrap_or_default();
        counters
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(o, count)| (o.name().to_owned(), count))
            .collect()
    }
}
