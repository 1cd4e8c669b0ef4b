//! The first words of a client, before it is known which configuration it gets, and the last to one that gets none.

use rustls::Error;
use rustls::server::Acceptor;

use crate::tls::Preference;

/// A fatal alert: unrecognized_name (RFC 6066, section 3).
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What a client reads that speaks HTTP to a TLS listener.
pub(super) const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 68\r\n\
server: headgate\r\n\
connection: close\r\n\
\r\n\
400 Bad Request: this port speaks HTTPS, and the request was HTTP.\n\n";

/// The name that a client asks for, if any, and whose order of cipher suites counts.
type HelloSays = (Option<String>, Preference);

/// The name that a client asks for, if it does, and whose order of cipher suites counts, once its first message is whole.
pub(super) fn hello(
    acceptor: &mut Acceptor,
    incoming: &[u8],
    seen: &mut usize,
) -> Result<Option<HelloSays>, (Error, Vec<u8>)> {
    while *seen < incoming.len() {
        let mut rest = &incoming[*seen..];
        let read = acceptor.read_tls(&mut rest);
        let read = read.map_err(|error| (Error::General(error.to_string()), Vec::new()))?;
        *seen += read;
        match acceptor.accept() {
            Ok(None) if read > 0 => {}
            Ok(None) => return Ok(None),
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let name = hello.server_name().map(str::to_owned);
                return Ok(Some((name, Preference::of(hello.cipher_suites()))));
            }
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                // Into memory, which takes everything.
                let _ = alert.write_all(&mut bytes);
                return Err((error, bytes));
            }
        }
    }
    Ok(None)
}
