//! Kernel settings below `/proc/sys`, of the calling thread's network namespace.

use std::io;
use std::path::PathBuf;

/// One setting, named as `sysctl` names it but with slashes: interface names may have dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl(PathBuf);

impl Sysctl {
    /// `net/ipv4/ip_forward`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(PathBuf::from("/proc/sys").join(name))
    }

    /// The value without the newline.
    ///
    /// # Errors
    /// When there is no such setting.
    pub fn read(&self) -> io::Result<String> {
        std::fs::read_to_string(&self.0).map(|text| text.trim_end().to_owned())
    }

    /// Sets the value.
    ///
    /// # Errors
    /// When there is no such setting, it is not ours to set (in a container `/proc/sys` is read-only as a rule), or the
    /// kernel refuses the value.
    pub fn write(&self, value: &str) -> io::Result<()> {
        std::fs::write(&self.0, value)
    }
}

impl std::fmt::Display for Sysctl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.display())
    }
}
