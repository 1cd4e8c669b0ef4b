//! The server that a pod runs: HTTP that tells what it saw, and echoes for TCP and UDP.

mod echo;
mod http;
mod pattern;

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, UdpSocket},
    rc::Rc,
};

use anyhow::{Context, Result};

pub use http::Seen;
pub use pattern::{Pattern, sha256_hex};

/// What the server prints on a line of its own when everything listens.
pub const READY: &str = "ready";

/// Options of a pod's server.
#[derive(Clone, Debug, clap::Args)]
pub struct PodCommand {
    /// The pod's name, which every answer carries
    #[arg(long)]
    pub name: String,
    /// Serve HTTP/1.1 here (may be repeated)
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Vec<SocketAddr>,
    /// Greet with the name and echo what comes on TCP here (may be repeated)
    #[arg(long, value_name = "ADDR:PORT")]
    pub tcp: Vec<SocketAddr>,
    /// Answer UDP here: the name, a space, and the datagram (may be repeated)
    #[arg(long, value_name = "ADDR:PORT")]
    pub udp: Vec<SocketAddr>,
}

impl PodCommand {
    /// Serves until the process ends.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on.
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the pod's runtime")?;
        tokio::task::LocalSet::new().block_on(&runtime, self.serve())
    }

    async fn serve(self) -> Result<()> {
        let name: Rc<str> = self.name.into();
        for address in self.http {
            tokio::task::spawn_local(http::serve(tcp(address)?, name.clone()));
        }
        for address in self.tcp {
            tokio::task::spawn_local(echo::tcp(tcp(address)?, name.clone()));
        }
        for address in self.udp {
            tokio::task::spawn_local(echo::udp(udp(address)?, name.clone()));
        }
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{READY}")
            .and_then(|()| stdout.flush())
            .context("saying that the pod is ready")?;
        std::future::pending().await
    }
}

fn tcp(address: SocketAddr) -> Result<tokio::net::TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on TCP {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

fn udp(address: SocketAddr) -> Result<tokio::net::UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| format!("listening on UDP {address}"))?;
    socket.set_nonblocking(true)?;
    Ok(tokio::net::UdpSocket::from_std(socket)?)
}
