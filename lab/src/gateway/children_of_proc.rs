//! The children of a process, as Linux tells them.

use std::{fs, io};

/// Number and first argument of each.
pub(super) fn of(id: u32) -> io::Result<Vec<(u32, String)>> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let child = |child: &str| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let first = line.split(|&byte| byte == 0).nth(1).unwrap_or_default();
        Some((child.parse().ok()?, String::from_utf8_lossy(first).into_owned()))
    };
    Ok(children.split_ascii_whitespace().filter_map(child).collect())
}
