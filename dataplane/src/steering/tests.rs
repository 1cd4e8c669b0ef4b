use std::sync::{Arc, Mutex};

use headgate_ring::message::Protocol;

use super::*;

/// What the kernel would have, and every step that led there.
#[derive(Default)]
struct Tables {
    addresses: BTreeMap<IpAddr, AddressRule>,
    ports: BTreeSet<(IpAddr, u8, u16)>,
    steps: usize,
    room: usize,
}

#[derive(Clone)]
struct Fake(Arc<Mutex<Tables>>);

impl Rules for Fake {
    fn set_address(&mut self, address: IpAddr, rule: AddressRule) -> Result<(), SteeringError> {
        let mut tables = self.0.lock().unwrap();
        // As in the kernel, what is there can be replaced in a full table.
        if tables.addresses.len() == tables.room && !tables.addresses.contains_key(&address) {
            return Err(SteeringError::PortRange { first: 0, last: 0 });
        }
        tables.steps += 1;
        tables.addresses.insert(address, rule);
        Ok(())
    }

    fn remove_address(&mut self, address: IpAddr) -> Result<(), SteeringError> {
        let mut tables = self.0.lock().unwrap();
        tables.steps += 1;
        tables.addresses.remove(&address);
        Ok(())
    }

    fn add_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError> {
        let mut tables = self.0.lock().unwrap();
        tables.steps += 1;
        tables.ports.insert((address, protocol, port));
        Ok(())
    }

    fn remove_port(&mut self, address: IpAddr, protocol: u8, port: u16) -> Result<(), SteeringError> {
        let mut tables = self.0.lock().unwrap();
        tables.steps += 1;
        tables.ports.remove(&(address, protocol, port));
        Ok(())
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

const RANGE: PortRange = PortRange {
    first: 61000,
    last: 65535,
};
const REPLIES: AddressRule = AddressRule {
    all: false,
    source_ports: Some((61000, 65535)),
    fragments: false,
    neighbours: false,
};

fn steerer() -> (Steerer, Fake) {
    let fake = Fake(Arc::new(Mutex::new(Tables {
        room: 16,
        ..Tables::default()
    })));
    (
        Steerer::new(vec![Box::new(fake.clone()), Box::new(fake.clone())], RANGE),
        fake,
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn managed(text: &str, port: u16) -> Managed {
    Managed {
        address: ip(text),
        ports: vec![(Protocol::Tcp, port)],
    }
}

#[test]
fn addresses_of_the_host_are_shared_and_others_taken_whole() {
    let (mut steerer, fake) = steerer();
    steerer
        .set_local([ip("192.0.2.1"), ip("2001:db8::1")].into())
        .unwrap();
    let state = vec![managed("192.0.2.1", 80), managed("198.51.100.10", 443)];
    steerer.widen(&state).unwrap();
    steerer.set_managed(state);
    steerer.settle().unwrap();
    let tables = fake.0.lock().unwrap();
    let expected = [
        (ip("192.0.2.1"), REPLIES),
        (ip("198.51.100.10"), WHOLE),
        (ip("2001:db8::1"), REPLIES),
    ];
    assert_eq!(tables.addresses, expected.into());
    assert_eq!(tables.ports, [(ip("192.0.2.1"), 6, 80)].into());
    assert_eq!(steerer.owned().collect::<Vec<_>>(), [ip("198.51.100.10")]);
}

#[test]
fn old_rules_stay_until_the_new_state_is_in_force() {
    let (mut steerer, fake) = steerer();
    steerer.set_local([ip("192.0.2.1")].into()).unwrap();
    let old = vec![managed("192.0.2.1", 80), managed("198.51.100.10", 443)];
    steerer.widen(&old).unwrap();
    steerer.set_managed(old);
    let new = vec![managed("192.0.2.1", 81), managed("198.51.100.11", 443)];
    steerer.widen(&new).unwrap();
    assert_eq!(fake.0.lock().unwrap().addresses.len(), 3);
    assert_eq!(fake.0.lock().unwrap().ports.len(), 2);
    steerer.set_managed(new);
    steerer.settle().unwrap();
    assert_eq!(fake.0.lock().unwrap().addresses.len(), 2);
    assert_eq!(fake.0.lock().unwrap().ports, [(ip("192.0.2.1"), 6, 81)].into());
    let steps = fake.0.lock().unwrap().steps;
    steerer.settle().unwrap();
    assert_eq!(fake.0.lock().unwrap().steps, steps, "what is right is left alone");
}

#[test]
fn an_address_that_the_host_takes_is_given_up_but_for_its_ports() {
    let (mut steerer, fake) = steerer();
    steerer.set_managed(vec![managed("198.51.100.10", 443)]);
    steerer.settle().unwrap();
    assert_eq!(fake.0.lock().unwrap().addresses[&ip("198.51.100.10")], WHOLE);
    steerer.set_local([ip("198.51.100.10")].into()).unwrap();
    assert_eq!(fake.0.lock().unwrap().addresses[&ip("198.51.100.10")], REPLIES);
    assert_eq!(
        fake.0.lock().unwrap().ports,
        [(ip("198.51.100.10"), 6, 443)].into()
    );
    steerer.set_local(BTreeSet::new()).unwrap();
    assert_eq!(fake.0.lock().unwrap().addresses[&ip("198.51.100.10")], WHOLE);
    assert!(fake.0.lock().unwrap().ports.is_empty());
}

#[test]
fn a_state_that_does_not_fit_leaves_the_one_in_force() {
    let (mut steerer, fake) = steerer();
    steerer.set_managed(vec![managed("198.51.100.10", 443)]);
    steerer.settle().unwrap();
    let many: Vec<_> = (0..30).map(|n| managed(&format!("203.0.113.{n}"), 80)).collect();
    assert!(steerer.widen(&many).is_err());
    steerer.settle().unwrap();
    assert_eq!(
        fake.0.lock().unwrap().addresses.keys().collect::<Vec<_>>(),
        [&ip("198.51.100.10")]
    );
}

#[test]
fn frontends_among_the_source_ports_of_the_host_are_told() {
    let (mut steerer, _fake) = steerer();
    steerer.set_local([ip("192.0.2.1")].into()).unwrap();
    let managed = [
        managed("192.0.2.1", 60_999),
        managed("192.0.2.1", 61_000),
        managed("198.51.100.10", 61_000),
    ];
    steerer.set_managed(managed.into());
    let hidden: Vec<_> = steerer.hidden().collect();
    assert_eq!(hidden, [(Protocol::Tcp, "192.0.2.1:61000".parse().unwrap())]);
}

const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 250));

#[test]
fn an_address_to_send_from_is_taken_whole_unless_the_host_has_it() {
    let (steerer, fake) = steerer();
    let mut steerer = steerer.with_addresses(&[OWN]);
    let rule = || fake.0.lock().unwrap().addresses.get(&OWN).copied();
    steerer.settle().unwrap();
    assert_eq!(rule(), Some(WHOLE));
    assert_eq!(steerer.owned().collect::<Vec<_>>(), [OWN]);
    steerer.set_managed(vec![managed("10.244.1.250", 8080), managed("10.244.1.250", 443)]);
    steerer.settle().unwrap();
    let hidden: Vec<_> = steerer.hidden().collect();
    assert_eq!(hidden, [(Protocol::Tcp, "10.244.1.250:8080".parse().unwrap())]);
    steerer.set_managed(Vec::new());
    steerer.set_local([OWN].into()).unwrap();
    assert_eq!(rule(), Some(REPLIES));
    assert_eq!(steerer.owned().count(), 0);
    steerer.set_local([ip("192.0.2.1")].into()).unwrap();
    assert_eq!(rule(), Some(WHOLE));
}
