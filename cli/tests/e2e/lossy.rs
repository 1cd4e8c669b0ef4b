//! Clients behind a line that loses, reorders and duplicates.

use std::time::{Duration, Instant};

use headgate_lab::{Impairment, Remote, Shop, client::Curl, pod::Pattern};

use crate::support::Bed;

const DEADLINE: Duration = Duration::from_secs(120);

/// Downloads and uploads over a line that loses this share of frames.
fn transfer(loss: f64, length: u64) {
    let Some(bed) = Bed::make() else { return };
    let remote = bed
        .lab
        .add_remote(Impairment {
            loss,
            reorder: 0.02,
            duplicate: 0.005,
            seed: 42,
            ..Impairment::NONE
        })
        .unwrap();
    let ca = bed.shop.ca_file().display().to_string();
    let curl = || {
        Curl::new(&remote.namespace)
            .to(Shop::INGRESS.0)
            .args(&["--cacert", &ca])
            .deadline(DEADLINE)
    };

    let url = format!("https://shop.example.com/bytes/{length}?seed=9");
    assert_eq!(curl().sha256(&url).unwrap(), Pattern::new(length, 9).sha256());

    let file = bed.lab.directory().join("upload");
    let bytes: Vec<u8> = Pattern::new(length, 10).flatten().collect();
    std::fs::write(&file, bytes).unwrap();
    let upload = curl().args(&["--upload-file", &file.display().to_string()]);
    let answer = upload.get("http://shop.example.com/upload").unwrap();
    assert!(
        answer.body.contains(&Pattern::new(length, 10).sha256()),
        "{answer:?}"
    );

    let seen = curl().get("http://shop.example.com/").unwrap().seen().unwrap();
    assert_eq!(
        seen.header("x-real-ip"),
        Some(Remote::ADDRESSES.0.to_string().as_str())
    );
    let [out, back] = remote.counts();
    assert!(out.lost > 0 && back.lost > 0, "{out:?} {back:?}");
}

#[test]
fn one_percent_loss() {
    transfer(0.01, 10_000_000);
}

#[test]
fn five_percent_loss() {
    transfer(0.05, 2_000_000);
}

/// Five megabytes each way, of unencrypted HTTP, over a line with a round trip of 20 ms that does this besides; each within a
/// bound in seconds, several times what it takes, and less than timeouts in a row would cost.
fn paced(impairment: Impairment, bounds: [u64; 2]) {
    const LENGTH: u64 = 5_000_000;
    let Some(bed) = Bed::make() else { return };
    let remote = bed
        .lab
        .add_remote(Impairment {
            delay: Duration::from_millis(10),
            seed: 43,
            ..impairment
        })
        .unwrap();
    let curl = || {
        Curl::new(&remote.namespace)
            .to(Shop::INGRESS.0)
            .deadline(DEADLINE)
    };
    let start = Instant::now();
    let url = format!("http://shop.example.com/bytes/{LENGTH}?seed=11");
    assert_eq!(curl().sha256(&url).unwrap(), Pattern::new(LENGTH, 11).sha256());
    let down = start.elapsed();

    let file = bed.lab.directory().join("upload");
    let bytes: Vec<u8> = Pattern::new(LENGTH, 12).flatten().collect();
    std::fs::write(&file, bytes).unwrap();
    let start = Instant::now();
    let upload = curl().args(&["--upload-file", &file.display().to_string()]);
    let answer = upload.get("http://shop.example.com/upload").unwrap();
    let up = start.elapsed();
    assert!(
        answer.body.contains(&Pattern::new(LENGTH, 12).sha256()),
        "{answer:?}"
    );
    let took = [down, up].map(|took| took.as_secs_f64());
    assert!(down < Duration::from_secs(bounds[0]), "{took:?}");
    assert!(up < Duration::from_secs(bounds[1]), "{took:?}");
}

#[test]
fn one_percent_loss_and_delay() {
    paced(
        Impairment {
            loss: 0.01,
            ..Impairment::NONE
        },
        [40, 40],
    );
}

#[test]
fn three_percent_loss_and_delay() {
    paced(
        Impairment {
            loss: 0.03,
            ..Impairment::NONE
        },
        [90, 90],
    );
}

#[test]
fn one_percent_reordering_and_delay() {
    paced(
        Impairment {
            reorder: 0.01,
            ..Impairment::NONE
        },
        [4, 4],
    );
}
