//! The committed eBPF object belongs to the sources beside it.
//!
//! `scripts/check-xdp` proves more, by building it again, but needs the toolchain for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_sources_have_not_changed_since_the_object_was_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recorded = fs::read_to_string(root.join("xdp-progs/headgate.sha256")).expect("the recorded hash");
    let hash = Command::new(root.join("scripts/hash-xdp"))
        .output()
        .expect("bash");
    assert!(hash.status.success(), "{}", String::from_utf8_lossy(&hash.stderr));
    assert_eq!(
        String::from_utf8_lossy(&hash.stdout),
        recorded,
        "the eBPF program's sources changed: run scripts/build-xdp and commit the object it writes"
    );
}

#[test]
fn the_hash_covers_every_source() {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../xdp-progs");
    let directories = [program.join("src"), program.join("abi/src")];
    for directory in directories {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let entry = entry.expect("an entry");
            assert!(
                entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "rs"),
                "scripts/hash-xdp hashes src/*.rs, which leaves out {}",
                entry.path().display()
            );
        }
    }
}
