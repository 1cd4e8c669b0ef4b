use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use super::*;

const NOW: Option<Duration> = Some(Duration::ZERO);

/// A directory that is removed with the value, and a socket path in it.
fn socket_path() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/control.sock");
    (directory, path)
}

#[test]
fn the_socket_file_is_private_and_goes_with_the_listener() {
    let (_directory, path) = socket_path();
    let listener = SessionListener::bind(&path).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let error = SessionListener::bind(&path).unwrap_err().to_string();
    assert!(error.contains("another dataplane listens on"), "{error}");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let (_directory, path) = socket_path();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = SessionListener::bind(&path).unwrap();
    drop(listener);
    std::fs::write(&path, "precious").unwrap();
    let error = SessionListener::bind(&path).unwrap_err().to_string();
    assert!(error.contains("is not a socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn nobody_there_is_an_error_at_once() {
    let (_directory, path) = socket_path();
    let started = Instant::now();
    assert!(matches!(connect(&path), Err(HandshakeError::Io { .. })));
    let listener = SessionListener::bind(&path).unwrap();
    assert!(listener.accept(NOW).unwrap().is_none());
    assert!(started.elapsed() < Duration::from_secs(10));
}
