//! The truth tables of `cases/` and of `docs/policies.md`, asked of `headgate policy check`,
//! and random ones against a second reading of the API.

mod check;
mod random;
mod truth;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/cases")
}

/// The pages, each a test of its own below.
const PAGES: [&str; 10] = [
    "blocks",
    "changes",
    "conflicts",
    "isolation",
    "peers",
    "pods",
    "ports",
    "refused",
    "selectors",
    "tiers",
];

#[test]
fn every_page_is_run() {
    let files = fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path());
    let pages: BTreeSet<String> = files
        .filter(|file| file.extension().is_some_and(|e| e == "md") && !file.ends_with("README.md"))
        .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(pages.iter().eq(PAGES), "{pages:?}");
}

#[test]
fn the_documentation() {
    check::page(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md"),
        13,
    );
}

#[test]
fn blocks() {
    check::page(&cases().join("blocks.md"), 24);
}

#[test]
fn changes() {
    check::page(&cases().join("changes.md"), 12);
}

#[test]
fn conflicts() {
    check::page(&cases().join("conflicts.md"), 16);
}

#[test]
fn isolation() {
    check::page(&cases().join("isolation.md"), 23);
}

#[test]
fn peers() {
    check::page(&cases().join("peers.md"), 23);
}

#[test]
fn pods() {
    check::page(&cases().join("pods.md"), 14);
}

#[test]
fn ports() {
    check::page(&cases().join("ports.md"), 28);
}

#[test]
fn refused() {
    check::page(&cases().join("refused.md"), 10);
}

#[test]
fn selectors() {
    check::page(&cases().join("selectors.md"), 11);
}

#[test]
fn tiers() {
    check::page(&cases().join("tiers.md"), 15);
}
