use super::*;
use crate::ports::PROTOCOLS;
use crate::testing::{DENY, SHOP, snapshot};

/// `now from -> to ports` of each change.
fn lines(difference: &Difference) -> Vec<String> {
    let line = |c: &ChangedRow| {
        let family = c.family.unwrap_or("");
        format!(
            "{:?} {} -> {} {} {family}",
            c.now,
            c.words[0].join("+"),
            c.words[1].join("+"),
            c.ports
        )
        .trim_end()
        .to_owned()
    };
    difference.changes.iter().map(line).collect()
}

#[test]
fn the_same_state_does_not_differ_from_itself() {
    let (a, b) = (snapshot(&[SHOP, DENY]), snapshot(&[DENY, SHOP]));
    let difference = difference(&a, &b).unwrap();
    assert!(difference.changes.is_empty(), "{difference:?}");
    assert_eq!(
        text::render(&difference),
        "No connection is allowed in one and denied in the other.\n"
    );
}

#[test]
fn a_rule_taken_away_is_a_connection_lost() {
    let (old, new) = (
        snapshot(&[SHOP]),
        snapshot(&[&SHOP.replace("port: 5432}]\n", "port: 5431}]\n")]),
    );
    let difference = difference(&old, &new).unwrap();
    assert_eq!(
        lines(&difference),
        [
            "Denied 10.0.0.0/8 except 10.9.0.0/16 -> shop/db TCP 5432",
            "Denied shop/web -> shop/db TCP 5432 IPv4",
            "Allowed 10.0.0.0/8 except 10.9.0.0/16 -> shop/db TCP 5431",
            "Allowed shop/web -> shop/db TCP 5431 IPv4",
        ]
    );
}

#[test]
fn lines_join_what_changes_alike() {
    let (old, new) = (snapshot(&[SHOP]), snapshot(&[SHOP, DENY]));
    let difference = difference(&old, &new).unwrap();
    let all = lines(&difference);
    // The shop's two pods open nothing any more, and the one that took all takes nothing.
    assert!(all.iter().all(|line| line.starts_with("Denied")), "{all:#?}");
    assert!(all.len() < 12, "{all:#?}");
    assert!(
        difference
            .changes
            .iter()
            .any(|c| c.by.egress.as_ref().is_some_and(|by| by.policy == "shop/a-deny"))
    );
}

#[test]
fn pods_of_one_state_are_named() {
    let other = SHOP.replace("name: six", "name: seven");
    let difference = difference(&snapshot(&[SHOP]), &snapshot(&[&other])).unwrap();
    assert_eq!(
        (difference.only_old, difference.only_new),
        (vec!["blog/six".into()], vec!["blog/seven".into()])
    );
}

/// Each single question that the two states answer differently is in one line of the difference, and no other is.
#[test]
fn every_question_that_is_answered_differently_is_in_a_line() {
    let changed = SHOP
        .replace("except: [10.9.0.0/16]", "except: [10.9.128.0/17]")
        .replace("port: 5432}]\n", "port: 5000, endPort: 6000}]\n");
    for (old, new) in [
        (vec![SHOP], vec![&*changed]),
        (vec![SHOP, DENY], vec![SHOP]),
        (vec![&*changed, DENY], vec![SHOP]),
    ] {
        let (old, new) = (snapshot(&old), snapshot(&new));
        let difference = difference(&old, &new).unwrap();
        let outside = ["8.8.8.8", "10.1.1.1", "10.9.1.1", "10.9.200.1", "2001:db8::1"];
        let ends: Vec<(String, IpAddr)> = old
            .endpoints
            .iter()
            .flat_map(|e| e.addresses.iter().map(|a| (e.name.clone(), *a)))
            .chain(outside.map(|text| (text.to_owned(), text.parse().unwrap())))
            .collect();
        for (from_name, from) in &ends {
            for (to_name, to) in &ends {
                let both_outside = !from_name.contains('/') && !to_name.contains('/');
                if from.is_ipv4() != to.is_ipv4() || from_name == to_name || both_outside {
                    continue;
                }
                for (protocol, port) in PROTOCOLS
                    .iter()
                    .flat_map(|p| [1, 5000, 5432, 5433, 6001].map(|n| (*p, n)))
                {
                    let connection = Question {
                        from: *from,
                        to: *to,
                        protocol,
                        port,
                    };
                    let (before, after) = (old.allows(connection), new.allows(connection));
                    let lines = difference.changes.iter().filter(|change| {
                        let family = if from.is_ipv4() { "IPv4" } else { "IPv6" };
                        change.ports.contains(protocol, port)
                            && change.family.is_none_or(|f| f == family)
                            && holds(&change.from, from_name, *from)
                            && holds(&change.to, to_name, *to)
                    });
                    let said: Vec<Now> = lines.map(|change| change.now).collect();
                    let expected = match (before, after) {
                        (true, false) => vec![Now::Denied],
                        (false, true) => vec![Now::Allowed],
                        _ => vec![],
                    };
                    assert_eq!(said, expected, "{connection:?} {difference:#?}");
                }
            }
        }
    }
}

/// Whether a list of names and blocks is about this end.
fn holds(list: &[String], name: &str, address: IpAddr) -> bool {
    if name.contains('/') {
        return list.iter().any(|n| n == name);
    }
    list.iter().any(|text| {
        let (block, except) = text.split_once(" except ").unwrap_or((text, ""));
        let within = |text: &str| {
            text.parse::<ipnet::IpNet>()
                .is_ok_and(|net| net.contains(&address))
        };
        match block {
            "other IPv4" => address.is_ipv4() && !within("10.0.0.0/8"),
            "any IPv6" => address.is_ipv6(),
            _ => within(block) && !except.split(", ").any(within),
        }
    })
}
