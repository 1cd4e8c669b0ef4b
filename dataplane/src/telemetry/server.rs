//! Answers on `status.sock`.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Status;

/// A reader that takes longer than this is cut off.
const PATIENCE: Duration = Duration::from_secs(2);

/// Binds the socket and answers each connection with one document, on a thread of its own that ends with the
/// process. The socket is readable for the group, as monitoring wants it.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(path: &Path, status: impl Fn() -> Status + Send + 'static) -> io::Result<JoinHandle<()>> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    let answer_all = move || {
        for connection in listener.incoming() {
            match connection {
                Ok(connection) => {
                    // Whoever asked may be gone; that is no event.
                    let _ = answer(connection, &status());
                }
                Err(error) => {
                    // Out of descriptors, which does not get better by trying at once.
                    tracing::warn!("the status socket cannot accept: {error}");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("headgate-status".into())
        .spawn(answer_all)
}

fn answer(mut connection: UnixStream, status: &Status) -> io::Result<()> {
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut document = serde_json::to_vec(status)?;
    document.push(b'\n');
    connection.write_all(&document)
}
