//! Clients behind a line that loses, reorders and duplicates.

use std::time::Duration;

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
