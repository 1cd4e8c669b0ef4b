//! Tells the linker which functions a gateway runs, so that they stand together.
//!
//! A tenth of the program's code runs in a gateway that is told of a cluster and serves it, and each function of it brings
//! the 64 KiB around it into memory (`fault_around_bytes` of Linux): scattered, they made four fifths of the program
//! resident. `functions.order` has their names, `scripts/order-functions` writes it. A name that is not there any more is
//! passed over.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=functions.order");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|it| it == value);
    if !is("PROFILE", "release") || !is("TARGET", "x86_64-unknown-linux-gnu") || !links_by_lld() {
        return;
    }
    let Ok(folder) = env::var("CARGO_MANIFEST_DIR") else {
        return;
    };
    println!("cargo::rustc-link-arg-bin=headgate=-Wl,--symbol-ordering-file={folder}/functions.order");
    println!("cargo::rustc-link-arg-bin=headgate=-Wl,--no-warn-symbol-ordering");
}

/// Whether the linker is the one that the toolchain brings along, and nobody has asked for another: only that one is known
/// to take the list.
fn links_by_lld() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let other = ["linker", "fuse-ld", "link-self-contained"]
        .iter()
        .any(|flag| flags.contains(flag));
    if other || env::var_os("RUSTC_LINKER").is_some() {
        return false;
    }
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(said) = Command::new(compiler).args(["--print", "sysroot"]).output() else {
        return false;
    };
    let sysroot = String::from_utf8_lossy(&said.stdout);
    let lld = "lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld";
    Path::new(sysroot.trim()).join(lld).exists()
}
