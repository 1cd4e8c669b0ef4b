//! The children of a process, as ps(1) tells them (POSIX).

use std::{io, process::Command};

/// Number and first argument of each.
pub(super) fn of(id: u32) -> io::Result<Vec<(u32, String)>> {
    let arguments = ["-A", "-o", "pid=", "-o", "ppid=", "-o", "args="];
    let output = Command::new("ps").args(arguments).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "ps {}: {}",
            arguments.join(" "),
            output.status
        )));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| child(line, id)).collect())
}

/// A line is the number, the parent's, the program and its arguments. Programs with spaces in their names are none of ours.
fn child(line: &str, of: u32) -> Option<(u32, String)> {
    let mut words = line.split_ascii_whitespace();
    let (id, parent) = (words.next()?.parse().ok()?, words.next()?);
    (parent.parse() == Ok(of)).then(|| (id, words.nth(1).unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        assert_eq!(
            child("  12     1 /opt/headgate dataplane --port=kernel", 1),
            Some((12, "dataplane".to_owned()))
        );
        assert_eq!(child("  12     1 /opt/headgate dataplane", 2), None);
        assert_eq!(child("  12     1 [kthread]", 1), Some((12, String::new())));
        assert_eq!(child("PID PPID COMMAND", 1), None);
    }

    #[test]
    fn a_child_is_found() {
        let mut sleeper = Command::new("tail").args(["-f", "/dev/null"]).spawn().unwrap();
        let children = of(std::process::id()).unwrap();
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(
            children.contains(&(sleeper.id(), "-f".to_owned())),
            "{children:?}"
        );
    }
}
