//! The pods of a storm.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Ledger;
use super::plan::{Asked, Fault, Plan, below, byte, rarely};
use headgate_tcp::TcpStream;
use headgate_tcp::network::Random;

/// A connection to a pod.
struct Pod {
    stream: TcpStream,
    inbox: Vec<u8>,
    random: Random,
    ledger: Rc<Ledger>,
    /// Pauses that it may still make.
    pauses: usize,
}

/// Does with every request what its plan says.
pub(super) async fn serve(stream: TcpStream, ledger: Rc<Ledger>) {
    let seed = ledger.number();
    let mut pod = Pod {
        stream,
        inbox: Vec::new(),
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        ledger,
        pauses: 0,
    };
    while pod.request().await.is_some() {}
}

impl Pod {
    /// `None` where nothing follows.
    async fn request(&mut self) -> Option<()> {
        self.pauses = 20;
        let head = self.head().await?;
        if head.contains("\r\nupgrade: storm\r\n") {
            return self.echo().await;
        }
        let Some(asked) = Self::read(&head) else {
            // Nonsense between the bytes of a request makes nonsense of its line.
            if !self.ledger.is_any_spoilt() {
                self.ledger.wrong(format!("a pod was asked {head:?}"));
            }
            return None;
        };
        if !asked.is_repeatable() {
            self.ledger.seen(asked.number);
        }
        let plan = Plan::of(&asked);
        let mut body = Body {
            number: asked.number,
            length: asked.length,
            got: 0,
            left: if asked.chunked { 0 } else { asked.length },
            chunked: asked.chunked,
            done: !asked.chunked && asked.length == 0,
        };
        self.take(&mut body, plan.reads).await?;
        self.say(&plan).await?;
        self.take(&mut body, usize::MAX).await?;
        (!plan.closes).then_some(())
    }

    fn read(head: &str) -> Option<Asked> {
        let (line, fields) = head.split_once("\r\n")?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let method = ["GET", "HEAD", "POST", "PUT"]
            .into_iter()
            .find(|known| *known == method)?;
        let (number, length) = path.strip_prefix('/')?.split_once('/')?;
        let mut asked = Asked::draw(u64::from_str_radix(number, 16).ok()?, &mut Random(1));
        asked.method = method;
        asked.length = length.parse().ok()?;
        asked.chunked = fields.contains("transfer-encoding: chunked\r\n");
        let told = fields
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        let told: usize = told.map_or(Some(0), |told| told.parse().ok())?;
        (asked.chunked || told == asked.length).then_some(asked)
    }

    /// Has more in the inbox.
    async fn fill(&mut self) -> Option<()> {
        if self.pauses > 0 && rarely(&mut self.random, 20) {
            self.pauses -= 1;
            tokio::time::sleep(Duration::from_millis(below(&mut self.random, 100) as u64)).await;
        }
        let most = [7, 500, 30_000][below(&mut self.random, 3)];
        let mut piece = vec![0; most];
        let count = self.stream.read(&mut piece).await.ok()?;
        self.inbox.extend_from_slice(&piece[..count]);
        (count > 0).then_some(())
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.inbox.windows(end.len()).position(|window| window == end) {
                let line: Vec<u8> = self.inbox.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").await
    }

    /// Reads the body up to a place.
    async fn take(&mut self, body: &mut Body, until: usize) -> Option<()> {
        while !body.done && body.got < until {
            if body.chunked && body.left == 0 {
                let line = self.until(b"\r\n").await?;
                let Ok(size) = usize::from_str_radix(line.trim_end(), 16) else {
                    self.ledger.wrong(format!("a chunk's size is {line:?}"));
                    return None;
                };
                if size == 0 {
                    self.until(b"\r\n").await?;
                    self.end(body);
                }
                body.left = size;
                continue;
            }
            if self.inbox.is_empty() {
                self.fill().await?;
            }
            let count = self.inbox.len().min(body.left).min(until - body.got);
            for got in self.inbox.drain(..count) {
                if got != byte(!body.number, body.got) && !self.ledger.is_spoilt(body.number) {
                    self.ledger
                        .wrong(format!("{:x}: byte {} of its body", body.number, body.got));
                    return None;
                }
                body.got += 1;
            }
            body.left -= count;
            if body.left == 0 && body.chunked {
                self.until(b"\r\n").await?;
            } else if body.left == 0 {
                self.end(body);
            }
        }
        Some(())
    }

    fn end(&self, body: &mut Body) {
        body.done = true;
        if body.got != body.length && !self.ledger.is_spoilt(body.number) {
            self.ledger.wrong(format!(
                "{:x}: {} of {} bytes are a body",
                body.number, body.got, body.length
            ));
        }
    }

    async fn say(&mut self, plan: &Plan) -> Option<()> {
        match plan.fault {
            Fault::None => self.write(&plan.text).await,
            Fault::Close(at) => self.write(&plan.text[..at]).await.and(None),
            Fault::Reset(at) => {
                self.write(&plan.text[..at]).await?;
                self.stream.reset().now();
                None
            }
            Fault::Stall(at) => {
                self.write(&plan.text[..at]).await?;
                tokio::time::sleep(Duration::from_secs(200)).await;
                None
            }
            Fault::Nonsense(text) => {
                self.write(text.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
            Fault::More => {
                let text = [&plan.text[..], b"and something else, which is no response"].concat();
                self.write(&text).await.and(None)
            }
        }
    }

    async fn write(&mut self, mut text: &[u8]) -> Option<()> {
        let most = [text.len(), text.len() / 10, 2_000][below(&mut self.random, 3)].max(text.len() / 300) + 1;
        while !text.is_empty() {
            let count = (1 + below(&mut self.random, most)).min(text.len());
            self.stream.write_all(&text[..count]).await.ok()?;
            text = &text[count..];
            if self.pauses > 0 && rarely(&mut self.random, 5) {
                self.pauses -= 1;
                tokio::time::sleep(Duration::from_millis(below(&mut self.random, 100) as u64)).await;
            }
        }
        Some(())
    }

    /// Another protocol: what comes goes back.
    async fn echo(&mut self) -> Option<()> {
        let hello = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: storm\r\n\r\n";
        self.write(hello).await?;
        loop {
            let text = std::mem::take(&mut self.inbox);
            self.write(&text).await?;
            if rarely(&mut self.random, 200) {
                self.stream.reset().now();
                return None;
            }
            self.fill().await?;
        }
    }
}

/// How far a request's body was read.
struct Body {
    number: u64,
    length: usize,
    got: usize,
    /// Of the chunk, or of all.
    left: usize,
    chunked: bool,
    done: bool,
}
