use super::*;

#[test]
fn a_rule_sets_the_flags_it_says() {
    let entry = |rule, ports| AddressEntry { rule, ports }.compile();
    assert_eq!(entry(None, 0), None, "nothing is known of the address");
    let flags = |rule: AddressRule| entry(Some(rule), 0).map(|rule| rule.flags);
    let rule = AddressRule::default();
    assert_eq!(flags(rule), Some(0));
    assert_eq!(flags(AddressRule { all: true, ..rule }), Some(Rule::ALL));
    let fragments = AddressRule {
        fragments: true,
        ..rule
    };
    assert_eq!(flags(fragments), Some(Rule::FRAGMENTS));
    let neighbours = AddressRule {
        neighbours: true,
        ..rule
    };
    assert_eq!(flags(neighbours), Some(Rule::NEIGHBOURS));
    let ports = AddressRule {
        source_ports: Some((1, 9)),
        ..rule
    };
    let compiled = entry(Some(ports), 2).expect("a rule is set");
    assert_eq!(compiled.flags, Rule::SOURCE_PORTS | Rule::PORTS);
    assert_eq!((compiled.first_port, compiled.last_port), (1, 9));
    assert_eq!(entry(None, 1).map(|rule| rule.flags), Some(Rule::PORTS));
}

#[test]
fn an_ipv4_address_and_its_mapped_form_are_one() {
    let four: IpAddr = "192.0.2.1".parse().expect("an address");
    let six: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
    assert_eq!(address_key(four), address_key(six));
    let units = [[192, 0], [2, 1]].map(u16::from_ne_bytes);
    assert_eq!(address_key(four), Address::mapped(units));
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let rule = AddressRule {
        source_ports: Some((9, 8)),
        ..AddressRule::default()
    };
    let refused = rule.check().expect_err("9 to 8 is no range");
    assert_eq!(
        refused.to_string(),
        "source ports 9 to 8: the first is above the last"
    );
}

#[test]
fn outcomes_stand_in_the_order_of_their_numbers() {
    for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
        assert_eq!(outcome as usize, number, "{}", outcome.name());
    }
}

/// Each branch of a loop multiplies the paths that the verifier follows; a million steps are its limit, and
/// what is a tenth of that on one kernel may be above it on another.
#[test]
fn the_verifier_is_done_soon() {
    let steering = match Steering::detached() {
        Ok(steering) => steering,
        Err(AttachError::Privilege(_)) if std::env::var_os("CI").is_none() => return,
        Err(error) => panic!("{error}"),
    };
    let program = steering
        .ebpf
        .program(headgate_abi::PROGRAM)
        .expect("it is loaded");
    let info = program.info().expect("the kernel tells of its programs");
    let steps = info.verified_instruction_count().expect("Linux 5.16 counts them");
    assert!(steps < 20_000, "{steps} steps");
}
