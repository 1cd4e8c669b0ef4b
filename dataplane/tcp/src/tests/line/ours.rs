//! A flow between two stacks of ours.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use super::{Flow, Load};
use crate::tests::{SERVER, config, give, ip};
use crate::{Connecting, Stack, StackConfig, TcpStream};
use headgate_net::clock::Nanos;

/// A client on the left that uploads, or that downloads from a server on the left.
pub(crate) struct Ours {
    /// Left and right.
    ends: [Stack; 2],
    /// Whether the client is on the left.
    upload: bool,
    connecting: Option<Pin<Box<Connecting>>>,
    writer: Option<TcpStream>,
    reader: Option<TcpStream>,
    left: u64,
    delivered: u64,
    bytes: u64,
}

impl Ours {
    pub(crate) fn new(bytes: u64, upload: bool) -> Self {
        Self::with(bytes, upload, false)
    }

    /// The same, with or without explicit congestion notification.
    pub(crate) fn with(bytes: u64, upload: bool, ask_ecn: bool) -> Self {
        let config = StackConfig {
            buffer: 16 << 20,
            ask_ecn,
            ..config()
        };
        let (client, server) = (Stack::new(config.clone()), Stack::new(config));
        let remote = SocketAddr::new(ip(SERVER), 80);
        server.listen([remote]);
        let ends = if upload {
            [client, server]
        } else {
            [server, client]
        };
        Self {
            ends,
            upload,
            connecting: None,
            writer: None,
            reader: None,
            left: bytes,
            delivered: 0,
            bytes,
        }
    }

    const fn client(&self) -> usize {
        if self.upload { 0 } else { 1 }
    }

    fn connect(&mut self) {
        if self.writer.is_some() && self.reader.is_some() {
            return;
        }
        let context = &mut Context::from_waker(Waker::noop());
        let client = &self.ends[self.client()];
        if self.connecting.is_none() && self.writer.is_none() && self.reader.is_none() {
            let remote = SocketAddr::new(ip(SERVER), 80);
            self.connecting = Some(Box::pin(client.connect(remote).unwrap()));
        }
        let connected = match &mut self.connecting {
            Some(connecting) => connecting.as_mut().poll(context),
            None => Poll::Pending,
        };
        let accepted = self.ends[1 - self.client()].try_accept();
        let connected = match connected {
            Poll::Ready(stream) => {
                self.connecting = None;
                Some(stream.unwrap())
            }
            Poll::Pending => None,
        };
        let (writer, reader) = if self.upload {
            (connected, accepted)
        } else {
            (accepted, connected)
        };
        self.writer = self.writer.take().or(writer);
        self.reader = self.reader.take().or(reader);
    }

    fn work(&mut self) {
        self.connect();
        let context = &mut Context::from_waker(Waker::noop());
        if let Some(reader) = &self.reader {
            while let Poll::Ready(taken) = reader.poll_receive(context, <[u8]>::len) {
                match taken.unwrap() {
                    0 => break,
                    taken => self.delivered += taken as u64,
                }
            }
        }
        if let Some(writer) = &mut self.writer {
            let data = [b'x'; 16 << 10];
            while self.left > 0 {
                let most = self.left.min(data.len() as u64) as usize;
                match Pin::new(&mut *writer).poll_write(context, &data[..most]) {
                    Poll::Ready(written) => self.left -= written.unwrap() as u64,
                    Poll::Pending => break,
                }
            }
        }
    }
}

impl Flow for Ours {
    fn arrives(&mut self, right: bool, load: Load, now: Nanos) {
        if let Load::Ip(packet) = load {
            give(&self.ends[usize::from(right)], &packet, now);
        }
    }

    fn sends(&mut self, now: Nanos, out: &mut Vec<(bool, Load)>) {
        // The stacks learn the time, before anything is opened.
        if self.connecting.is_none() && self.writer.is_none() && self.reader.is_none() {
            self.ends.iter().for_each(|end| end.egress(now, &mut |_, _| true));
        }
        // Writers fill what sending frees: as a batch of a worker does, twice.
        for _ in 0..2 {
            self.work();
            for (index, end) in self.ends.iter().enumerate() {
                end.egress(now, &mut |length, fill| {
                    let mut packet = vec![0; length];
                    fill(&mut packet);
                    out.push((index == 0, Load::Ip(packet)));
                    true
                });
            }
        }
    }

    fn next_timer(&self) -> Option<Nanos> {
        self.ends.iter().filter_map(Stack::next_timer).min()
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn is_done(&self) -> bool {
        self.delivered == self.bytes
    }
}
