use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::Rotation;
use super::stock::Stock;

const HOST: &str = "headgate-admission.default.svc";
const DAY: Duration = Duration::from_secs(86_400);

/// How many different authorities a bundle has.
fn authorities(bundle: &str) -> usize {
    let all = bundle.split("-----END CERTIFICATE-----").map(str::trim);
    all.filter(|authority| !authority.is_empty())
        .collect::<BTreeSet<_>>()
        .len()
}

#[test]
fn the_next_certificate_is_announced_before_it_is_used() {
    let rotation = Rotation::default();
    let begun = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    let first = Stock::fresh(HOST, begun, &rotation).expect("a certificate");
    assert!(first.is_good(HOST, begun));
    assert!(!first.is_good("other.default.svc", begun));
    assert!(!first.is_good(HOST, begun + 91 * DAY));
    let next = |stock: &Stock, days: u32, announced| {
        let successor = stock.successor(HOST, begun + days * DAY, &rotation, announced);
        successor.expect("a certificate")
    };
    assert!(next(&first, 59, false).is_none());
    let second = next(&first, 61, false).expect("a next one");
    assert!(second.current() == first.current() && second.next().is_some());
    assert_eq!(authorities(&second.bundle()), 2);
    assert!(next(&second, 62, false).is_none(), "not yet announced");
    let third = next(&second, 62, true).expect("its turn");
    assert!(Some(third.current()) == second.next() && third.next().is_none());
    assert_eq!(third.bundle(), second.bundle(), "some replica may be late");
    // The first authority is no longer valid, and is dropped with the next change.
    let fourth = next(&third, 125, true).expect("a next one");
    assert_eq!(authorities(&fourth.bundle()), 2);
    assert!(!fourth.bundle().contains(&first.bundle()));
    // All of it survives the Secret.
    let read = Stock::of_secret(&json!({"data": fourth.data()}));
    assert!(read == Some(fourth));
}
