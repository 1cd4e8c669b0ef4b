//! A client's connection, with TLS or without.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use headgate_lab::tls::Authority;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use super::pod::HOST;

/// For a gateway that takes nothing more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who trusts this authority and no other.
pub(super) fn client_of(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).expect("a certificate");
    roots.add(root).expect("an authority");
    let client = ClientConfig::builder_with_provider(default_provider().into());
    let client = client.with_safe_default_protocol_versions().expect("TLS 1.3");
    client.with_root_certificates(roots).with_no_client_auth()
}

pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    pub(super) fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let Some(config) = tls else {
            return Ok(Self::Plain(stream));
        };
        let name = ServerName::try_from(HOST).expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    /// Each piece for itself, and in a record of its own.
    pub(super) fn send(&mut self, bytes: &[u8], piece: usize) -> io::Result<()> {
        bytes.chunks(piece).try_for_each(|piece| match self {
            Self::Plain(stream) => stream.write_all(piece),
            Self::Tls(stream) => stream.write_all(piece).and_then(|()| stream.flush()),
        })
    }

    /// Ends this side.
    pub(super) fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)
            }
        }
    }

    /// From now on nothing is waited for.
    pub(super) fn wait_no_more(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_nonblocking(true),
            Self::Tls(stream) => stream.sock.set_nonblocking(true),
        }
    }

    /// Adds all that is there. Whether there may be more; what was read before a reset is kept.
    pub(super) fn read(&mut self, to: &mut Vec<u8>) -> bool {
        let read = match self {
            Self::Plain(stream) => stream.read_to_end(to),
            Self::Tls(stream) => stream.read_to_end(to),
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
