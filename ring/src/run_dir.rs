//! Where the planes meet.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where systems keep sockets of services: `hier(7)` of each.
const SYSTEM: &str = if cfg!(target_os = "linux") {
    "/run/headgate"
} else {
    "/var/run/headgate"
};

/// The directory of sockets where nothing else is said: `/run/headgate` (`/var/run/headgate` but on Linux), or for an ordinary user, who cannot make that, one
/// below `$XDG_RUNTIME_DIR` (XDG Base Directory Specification), where there is such.
#[must_use]
pub fn default_run_dir() -> PathBuf {
    choose(
        rustix::process::geteuid().is_root(),
        std::env::var_os("XDG_RUNTIME_DIR"),
    )
}

fn choose(root: bool, runtime: Option<OsString>) -> PathBuf {
    let runtime = runtime.map(PathBuf::from).filter(|path| path.is_absolute());
    match runtime {
        Some(runtime) if !root => runtime.join("headgate"),
        _ => Path::new(SYSTEM).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_has_a_directory_of_their_own() {
        let [system, own] = [SYSTEM, "/run/user/1000/headgate"].map(PathBuf::from);
        assert_eq!(choose(true, Some("/run/user/0".into())), system);
        assert_eq!(choose(false, Some("/run/user/1000".into())), own);
        assert_eq!(choose(false, None), system);
        assert_eq!(choose(false, Some("relative".into())), system);
    }
}
