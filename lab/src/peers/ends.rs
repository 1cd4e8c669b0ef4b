//! An application at one end of a connection, over the kernel's sockets or our stack.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::io::AsyncWrite;

/// Bytes at a time.
const PIECE: usize = 16_384;

/// What an application does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Write(u64),
    Read(u64),
    ReadAll,
    /// Ends its own direction.
    Shut,
    Reset,
    /// Milliseconds.
    Pause(u64),
}

pub(super) enum End {
    Kernel(TcpStream),
    Ours(headgate_tcp::TcpStream),
}

impl End {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Kernel(stream) => stream.write(data),
            Self::Ours(stream) => {
                ready(Pin::new(stream).poll_write(&mut Context::from_waker(Waker::noop()), data))
            }
        }
    }

    fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; most];
        let length = match self {
            Self::Kernel(stream) => stream.read(&mut data)?,
            Self::Ours(stream) => ready(stream.poll_receive(
                &mut Context::from_waker(Waker::noop()),
                |piece| {
                    let length = piece.len().min(most);
                    data[..length].copy_from_slice(&piece[..length]);
                    length
                },
            ))?,
        };
        data.truncate(length);
        Ok(data)
    }

    fn shut(&mut self) -> io::Result<()> {
        match self {
            Self::Kernel(stream) => stream.shutdown(Shutdown::Write),
            Self::Ours(stream) => {
                ready(Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop())))
            }
        }
    }

    fn reset(self) {
        match self {
            Self::Kernel(stream) => {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            }
            Self::Ours(stream) => stream.abort(),
        }
    }
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

/// What both directions carry: byte `n`.
const fn pattern(n: u64) -> u8 {
    (n.wrapping_mul(0x9e37_79b9) >> 16) as u8
}

pub(super) struct App {
    end: Option<End>,
    acts: VecDeque<Act>,
    written: u64,
    read: u64,
    until: Option<Instant>,
    /// What it saw.
    pub(super) log: Vec<String>,
}

impl App {
    pub(super) fn new(end: End, acts: &[Act]) -> Self {
        Self {
            end: Some(end),
            acts: acts.iter().copied().collect(),
            written: 0,
            read: 0,
            until: None,
            log: Vec::new(),
        }
    }

    /// Whether it has done everything.
    pub(super) fn is_done(&self) -> bool {
        self.acts.is_empty()
    }

    /// Does what it can now.
    pub(super) fn step(&mut self) {
        while let Some(act) = self.acts.front_mut() {
            let Some(end) = &mut self.end else {
                return self.acts.clear();
            };
            let done = match act {
                Act::Write(left) => write(end, left, &mut self.written),
                Act::Read(left) => read(end, Some(left), &mut self.read, &mut self.log),
                Act::ReadAll => read(end, None, &mut self.read, &mut self.log),
                Act::Shut => end.shut().map(|()| true),
                Act::Reset => {
                    self.end.take().into_iter().for_each(End::reset);
                    Ok(true)
                }
                Act::Pause(time) => {
                    let time = Duration::from_millis(*time);
                    let until = *self.until.get_or_insert_with(|| Instant::now() + time);
                    Ok(until <= Instant::now())
                }
            };
            match done {
                Ok(true) => {
                    self.until = None;
                    self.acts.pop_front();
                }
                Ok(false) => return,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A kernel says the one first and the other from then on.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    self.log.push("reset".to_owned());
                    self.end = None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn write(end: &mut End, left: &mut u64, written: &mut u64) -> io::Result<bool> {
    while *left > 0 {
        let piece = (*left).min(PIECE as u64);
        let data: Vec<u8> = (*written..*written + piece).map(pattern).collect();
        let taken = end.write(&data)? as u64;
        *written += taken;
        *left -= taken;
    }
    Ok(true)
}

/// Reads so much, or to the end.
fn read(
    end: &mut End,
    mut left: Option<&mut u64>,
    read: &mut u64,
    log: &mut Vec<String>,
) -> io::Result<bool> {
    loop {
        let most = left
            .as_ref()
            .map_or(PIECE as u64, |left| (**left).min(PIECE as u64));
        if most == 0 {
            log.push(format!("read up to {read}"));
            return Ok(true);
        }
        let data = end.read(most as usize)?;
        if data.is_empty() {
            log.push(format!("the end after {read}"));
            return Ok(true);
        }
        let right = (*read..).zip(&data).all(|(n, byte)| pattern(n) == *byte);
        assert!(right, "other bytes than were sent, from {read} on");
        *read += data.len() as u64;
        if let Some(left) = &mut left {
            **left -= data.len() as u64;
        }
    }
}
