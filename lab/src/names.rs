//! Names of namespaces, by which leftovers of dead processes are told from living labs.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;

use crate::Namespace;

const PREFIX: &str = "hglab";
const NAMESPACES: &str = "/run/netns";

/// The common part of the names of one lab's namespaces: `hglab-PID-START-NUMBER`.
///
/// `START` is when the process started, in clock ticks since boot, so that a later process with the same id
/// is not taken for this one.
pub(crate) fn unique_prefix() -> io::Result<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let start = start_time(pid).ok_or_else(|| io::Error::other("cannot read /proc/self/stat"))?;
    Ok(format!(
        "{PREFIX}-{pid}-{start}-{}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    ))
}

/// A namespace of a lab whose process is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover(pub String);

/// Namespaces of labs whose processes are gone.
///
/// # Errors
///
/// When the directory of namespaces cannot be read.
pub fn leftovers() -> io::Result<Vec<Leftover>> {
    if !Path::new(NAMESPACES).exists() {
        return Ok(Vec::new());
    }
    let names: BTreeSet<String> = fs::read_dir(NAMESPACES)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    Ok(names
        .into_iter()
        .filter(|name| owner_is_dead(name, start_time))
        .map(Leftover)
        .collect())
}

/// Kills what runs in the namespaces of dead labs and removes them; returns which.
///
/// # Errors
///
/// When a namespace cannot be listed or removed.
pub fn sweep() -> Result<Vec<Leftover>> {
    let found = leftovers()?;
    for Leftover(name) in &found {
        let namespace = Namespace::existing(name);
        namespace.kill_processes()?;
        namespace.delete()?;
    }
    Ok(found)
}

/// Whether `name` is of a lab whose process does not live any more; false for names that are not a lab's.
fn owner_is_dead(name: &str, start_of: impl Fn(u32) -> Option<u64>) -> bool {
    let mut parts = name.split('-');
    if parts.next() != Some(PREFIX) {
        return false;
    }
    let pid = parts.next().and_then(|p| p.parse().ok());
    let start = parts.next().and_then(|p| p.parse().ok());
    match (pid, start) {
        (Some(pid), Some(start)) => start_of(pid) != Some(start),
        _ => false,
    }
}

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)); the command's name in field 2 may hold spaces and parentheses.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_process_differ_and_are_alive() {
        let (a, b) = (unique_prefix().unwrap(), unique_prefix().unwrap());
        assert_ne!(a, b);
        assert!(!owner_is_dead(&format!("{a}-gateway"), start_time));
    }

    #[test]
    fn a_reused_process_id_does_not_keep_a_leftover_alive() {
        let living = |pid| (pid == 7).then_some(100);
        assert!(!owner_is_dead("hglab-7-100-0-pods", living));
        assert!(owner_is_dead("hglab-7-99-0-pods", living));
        assert!(owner_is_dead("hglab-8-100-0-pods", living));
    }

    #[test]
    fn what_is_not_a_lab_is_left_alone() {
        for name in [
            "default",
            "hglab",
            "hglab-x-1-0-pods",
            "hglab-7-",
            "other-7-1-0-pods",
        ] {
            assert!(!owner_is_dead(name, |_| None), "{name}");
        }
    }
}
