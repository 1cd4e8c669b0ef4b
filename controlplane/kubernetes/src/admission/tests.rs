use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::files::follow;
use super::pair::{CertificatePair, issue};
use super::stock::Stock;
use super::{Rotation, Shown};

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

/// Waits until this is what clients see, who see nothing else than what they saw until then.
async fn until_shown(shown: &Shown, pair: &CertificatePair) {
    let wanted = pair.certified().expect("a certificate").cert;
    let before = shown.0.load_full().map(|shown| shown.cert.clone());
    let begun = Instant::now();
    while shown.0.load().as_ref().map(|shown| &shown.cert) != Some(&wanted) {
        assert!(begun.elapsed() < Duration::from_secs(30), "in vain");
        let now = shown.0.load_full().map(|shown| shown.cert.clone());
        assert!(now == before || now.as_ref() == Some(&wanted));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn files_are_read_again_and_what_cannot_be_used_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    let pair = || issue(HOST, SystemTime::now(), DAY).expect("a certificate").0;
    let write = |pair: &CertificatePair| {
        std::fs::write(&key, &pair.key).expect("written");
        std::fs::write(&certificate, &pair.chain).expect("written");
    };
    let (first, second, third) = (pair(), pair(), pair());
    write(&first);
    let shown = Arc::new(Shown::default());
    let task = tokio::spawn(follow(
        certificate.clone(),
        key.clone(),
        Duration::from_millis(1),
        shown.clone(),
    ));
    until_shown(&shown, &first).await;
    // Of two pairs one half each.
    std::fs::write(&certificate, &second.chain).expect("written");
    write(&third);
    until_shown(&shown, &third).await;
    task.abort();
}
