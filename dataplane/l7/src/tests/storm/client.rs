//! The clients of a storm.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Semaphore;

use super::Ledger;
use super::plan::{Asked, Fault, Plan, Shape, below, byte, bytes, rarely, size};
use headgate_tcp::Reset;
use headgate_tcp::network::Random;

/// A connection, whatever is below.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// What a client does after so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whim {
    None,
    Reset(usize),
    /// It goes, in order.
    Leave(usize),
    /// It closes its side and listens on.
    End(usize),
    Stall(usize),
    /// Something else goes between.
    Nonsense(usize),
}

impl Whim {
    fn draw(random: &mut Random, length: usize) -> Self {
        let at = below(random, length + 1);
        match below(random, 14) {
            0 => Self::Reset(at),
            1 => Self::Leave(at),
            2 => Self::End(at),
            3 => Self::Stall(at),
            4 => Self::Nonsense(at),
            // Everything was said.
            5 => Self::End(length),
            _ => Self::None,
        }
    }

    fn at(self) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Reset(at) | Self::Leave(at) | Self::End(at) | Self::Stall(at) | Self::Nonsense(at) => at,
        }
    }
}

/// Several requests over one connection.
pub(super) async fn talk(io: Box<dyn Io>, reset: Reset, mut random: Random, ledger: Rc<Ledger>) {
    let asked: Vec<Asked> = (0..1 + below(&mut random, 5))
        .map(|_| Asked::draw(ledger.number(), &mut random))
        .collect();
    let texts: Vec<Vec<u8>> = asked.iter().map(|asked| asked.text(&mut random)).collect();
    let whim = Whim::draw(&mut random, texts.iter().map(Vec::len).sum());
    let answered = Semaphore::new(if rarely(&mut random, 3) { 5 } else { 1 });
    if let Whim::Nonsense(_) = whim {
        ledger.spoil(&asked);
    }
    let (from, to) = tokio::io::split(io);
    let listener = Listener {
        from,
        bytes: Vec::new(),
        random: Random(random.draw() | 1),
        pauses: 20,
        ledger: Rc::clone(&ledger),
    };
    let whole = matches!(whim, Whim::None) || whim == Whim::End(texts.iter().map(Vec::len).sum());
    let mut speaker = Speaker {
        to,
        random,
        pauses: 20,
        said: 0,
        whim,
    };
    let speak = async {
        if let Err(gone) = speaker.say_all(&texts, &answered).await
            && gone
        {
            return;
        }
        // The connection stays as long as somebody listens.
        std::future::pending::<()>().await;
    };
    let listen = listener.hear(&asked, &answered, whim, whole);
    let start = tokio::time::Instant::now();
    let both = async {
        tokio::select! {
            () = speak => {}
            () = listen => {}
        }
    };
    if tokio::time::timeout(Duration::from_secs(900), both)
        .await
        .is_err()
    {
        ledger.wrong(format!("{whim:?} goes on for ever: {asked:x?}"));
    }
    let took = start.elapsed();
    let good = whole
        && asked
            .iter()
            .all(|asked| matches!(Plan::of(asked).fault, Fault::None));
    if good && took > Duration::from_secs(50) {
        ledger.wrong(format!("good requests took {took:?}: {asked:x?}"));
    }
    if let Whim::Reset(_) = whim {
        reset.now();
    }
}

struct Speaker {
    to: WriteHalf<Box<dyn Io>>,
    random: Random,
    pauses: usize,
    said: usize,
    whim: Whim,
}

impl Speaker {
    /// Fails with whether the client is gone.
    async fn say_all(&mut self, texts: &[Vec<u8>], answered: &Semaphore) -> Result<(), bool> {
        for text in texts {
            answered.acquire().await.unwrap().forget();
            self.say(text).await?;
        }
        if self.whim.at() == self.said {
            self.follow_whim().await?;
        }
        Ok(())
    }

    async fn say(&mut self, mut text: &[u8]) -> Result<(), bool> {
        let most = [text.len(), text.len() / 10, 2_000][below(&mut self.random, 3)].max(text.len() / 300) + 1;
        while !text.is_empty() {
            if self.whim.at() == self.said {
                self.follow_whim().await?;
            }
            let before_whim = self.whim.at().saturating_sub(self.said);
            let count = (1 + below(&mut self.random, most)).min(text.len());
            let count = if before_whim > 0 {
                count.min(before_whim)
            } else {
                count
            };
            self.to.write_all(&text[..count]).await.map_err(|_| false)?;
            self.to.flush().await.map_err(|_| false)?;
            text = &text[count..];
            self.said += count;
            if self.pauses > 0 && rarely(&mut self.random, 4) {
                self.pauses -= 1;
                tokio::time::sleep(Duration::from_millis(below(&mut self.random, 100) as u64)).await;
            }
        }
        Ok(())
    }

    async fn follow_whim(&mut self) -> Result<(), bool> {
        match self.whim {
            Whim::None => Ok(()),
            Whim::Reset(_) | Whim::Leave(_) => Err(true),
            Whim::End(_) => {
                let _ = self.to.shutdown().await;
                Err(false)
            }
            Whim::Stall(_) => {
                let silence = [3, 70, 200][below(&mut self.random, 3)];
                tokio::time::sleep(Duration::from_secs(silence)).await;
                Err(true)
            }
            Whim::Nonsense(_) => {
                self.whim = Whim::None;
                let nonsense = [&b"\0\0\0"[..], b"\r\nzz\r\n", b"GET"][below(&mut self.random, 3)];
                self.to.write_all(nonsense).await.map_err(|_| false)
            }
        }
    }
}

struct Listener {
    from: ReadHalf<Box<dyn Io>>,
    bytes: Vec<u8>,
    random: Random,
    pauses: usize,
    ledger: Rc<Ledger>,
}

/// What ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InOrder,
    Broken,
}

/// A response's head.
struct Head {
    status: u16,
    pod: Option<u64>,
    ours: bool,
    closes: bool,
    length: Option<usize>,
    chunked: bool,
}

impl Listener {
    /// Checks every answer; `whole` is whether the client says all that it means to.
    async fn hear(mut self, asked: &[Asked], answered: &Semaphore, whim: Whim, whole: bool) {
        if rarely(&mut self.random, 8) {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        // Whether nothing has happened yet that may cost a request its answer.
        let mut good = whole;
        // Where only a reset shows that an answer breaks off, those before it may be lost.
        let reset = |asked: &Asked| !asked.http11 && Plan::of(asked).fault != Fault::None;
        good &= !asked.iter().any(reset);
        let all = asked;
        for (place, asked) in asked.iter().enumerate() {
            let plan = Plan::of(asked);
            good &= plan.fault == Fault::None;
            match self.answer(asked, &plan, whole).await {
                Ok(true) => {}
                Ok(false) => {
                    if let Ok(()) | Err(End::Broken) = self.fill().await
                        && !self.bytes.is_empty()
                    {
                        self.ledger
                            .wrong(format!("{asked:x?}: more after the last answer"));
                    }
                    return;
                }
                Err(end) => {
                    if good {
                        self.ledger.wrong(format!(
                            "{whim:?}: no answer but {end:?} to number {place} of {all:x?}: {:?} {:?}",
                            plan.shape, plan.reads
                        ));
                    }
                    return;
                }
            }
            // An answer before the end of a request may cost the next one the connection.
            good &= asked.length == 0 && !asked.chunked || plan.reads == usize::MAX;
            answered.add_permits(1);
        }
        let more = tokio::time::timeout(Duration::from_secs(2), self.fill()).await;
        if let Ok(Ok(())) = more
            && whole
        {
            let more = String::from_utf8_lossy(&self.bytes);
            self.ledger
                .wrong(format!("an answer to nothing: {more:.200?} after {asked:x?}"));
        }
    }

    /// Reads one answer; whether another may follow.
    async fn answer(&mut self, asked: &Asked, plan: &Plan, whole: bool) -> Result<bool, End> {
        let head = loop {
            let head = self.head(asked).await?;
            if head.status >= 200 {
                break head;
            }
            if !asked.http11 || !matches!(head.status, 100 | 103) {
                self.ledger.wrong(format!("{} to {asked:x?}", head.status));
            }
        };
        let theirs = head.pod.is_some();
        if theirs && (head.pod != Some(asked.number) || head.status != plan.status()) {
            self.ledger
                .wrong(format!("{} of {:x?} to {asked:x?}", head.status, head.pod));
        }
        if !(theirs || head.ours && head.status >= 400) {
            self.ledger
                .wrong(format!("{} of nobody to {asked:x?}", head.status));
        }
        if whole && !theirs && plan.fault == Fault::None {
            self.ledger.unlucky(head.status, asked);
        }
        let length = self.body(asked, plan, &head).await?;
        if theirs {
            let shown = asked.method != "HEAD" && !matches!(plan.shape, Shape::Nothing(_));
            let all = if shown { plan.length } else { 0 };
            // What ends with the connection is whole whenever that ends in order.
            let cut = plan.shape == Shape::UntilClose && matches!(plan.fault, Fault::Close(_));
            let more = plan.shape == Shape::UntilClose && plan.fault == Fault::More;
            if length != all && !cut && !more {
                self.ledger.wrong(format!(
                    "{length} bytes are whole for {asked:x?}: {:?}",
                    plan.fault
                ));
            }
            self.ledger.answered();
        }
        Ok(!head.closes)
    }

    async fn body(&mut self, asked: &Asked, plan: &Plan, head: &Head) -> Result<usize, End> {
        // What a pod says more is of the body that ends with the connection.
        let known = (plan.shape, plan.fault) != (Shape::UntilClose, Fault::More);
        let number = head.pod.map(|_| asked.number).filter(|_| known);
        if asked.method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(0);
        }
        let mut got = 0;
        if let Some(length) = head.length {
            self.take(length, number, &mut got).await?;
        } else if head.chunked {
            loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                if size == 0 {
                    while self.line().await? != "\r\n" {}
                    break;
                }
                self.take(size, number, &mut got).await?;
                if self.line().await? != "\r\n" {
                    self.ledger.wrong(format!("a chunk has no end: {asked:x?}"));
                }
            }
        } else {
            if asked.http11 {
                self.ledger.wrong(format!("an answer without an end: {asked:x?}"));
            }
            match self.take(usize::MAX, None, &mut got).await {
                Err(End::InOrder) => {}
                Err(End::Broken) => return Err(End::Broken),
                Ok(()) => unreachable!("there are not so many bytes"),
            }
        }
        Ok(got)
    }

    /// Takes bytes that are those of a request's answer.
    async fn take(&mut self, count: usize, number: Option<u64>, got: &mut usize) -> Result<(), End> {
        let end = got.saturating_add(count);
        while *got < end {
            if self.bytes.is_empty() {
                self.fill().await?;
            }
            let count = self.bytes.len().min(end - *got);
            for is in self.bytes.drain(..count) {
                if number.is_some_and(|number| byte(number, *got) != is) {
                    self.ledger
                        .wrong(format!("{number:x?}: byte {got} of the answer"));
                }
                *got += 1;
            }
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(at) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn head(&mut self, asked: &Asked) -> Result<Head, End> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&self.bytes) {
                Ok(httparse::Status::Complete(length)) => {
                    let field = |name: &str| {
                        let mut named = response
                            .headers
                            .iter()
                            .filter(|field| field.name.eq_ignore_ascii_case(name));
                        named
                            .next()
                            .map(|field| String::from_utf8_lossy(field.value).into_owned())
                    };
                    let head = Head {
                        status: response.code.unwrap(),
                        pod: field("x-pod").map(|pod| u64::from_str_radix(&pod, 16).unwrap()),
                        ours: field("server").is_some_and(|server| server == "headgate"),
                        closes: field("connection").is_some_and(|said| said == "close"),
                        length: field("content-length").map(|length| length.parse().unwrap()),
                        chunked: field("transfer-encoding").is_some(),
                    };
                    self.bytes.drain(..length);
                    return Ok(head);
                }
                Ok(httparse::Status::Partial) => self.fill().await?,
                // Nonsense before a method makes another one of it, HEAD for instance.
                Err(_) if self.ledger.is_spoilt(asked.number) => return Err(End::Broken),
                Err(error) => {
                    let got = String::from_utf8_lossy(&self.bytes);
                    self.ledger.wrong(format!("{error} to {asked:x?}: {got:.300?}"));
                    return Err(End::Broken);
                }
            }
        }
    }

    async fn fill(&mut self) -> Result<(), End> {
        if self.pauses > 0 && rarely(&mut self.random, 10) {
            self.pauses -= 1;
            tokio::time::sleep(Duration::from_millis(below(&mut self.random, 100) as u64)).await;
        }
        let mut piece = vec![0; [5, 700, 30_000][below(&mut self.random, 3)]];
        match self.from.read(&mut piece).await {
            Ok(0) => Err(End::InOrder),
            Ok(count) => {
                self.bytes.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(_) => Err(End::Broken),
        }
    }
}

/// Another protocol over a connection: what is sent comes back.
pub(super) async fn tunnel(mut io: Box<dyn Io>, reset: Reset, mut random: Random, ledger: Rc<Ledger>) {
    let hello = b"GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade\r\nupgrade: storm\r\n\r\n";
    if io.write_all(hello).await.is_err() || io.flush().await.is_err() {
        return;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = io.read_u8().await else { return };
        head.push(byte);
    }
    if head.starts_with(b"HTTP/1.1 502 ") {
        // The kept connection was none any more.
        return;
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return ledger.wrong(format!("no tunnel: {}", String::from_utf8_lossy(&head)));
    }
    let text = bytes(random.draw(), size(&mut random) + 1);
    let gone = if rarely(&mut random, 3) {
        below(&mut random, text.len())
    } else {
        usize::MAX
    };
    let (mut from, mut to) = tokio::io::split(io);
    let speak = async {
        let mut rest = &text[..];
        while !rest.is_empty() {
            let count = (1 + below(&mut random, 9_000)).min(rest.len());
            if to.write_all(&rest[..count]).await.is_err() || to.flush().await.is_err() {
                return false;
            }
            rest = &rest[count..];
            if text.len() - rest.len() > gone {
                return false;
            }
        }
        let _ = to.shutdown().await;
        true
    };
    let listen = async {
        let mut back = Vec::new();
        let end = from.read_to_end(&mut back).await;
        (back, end.is_ok())
    };
    let both = async { tokio::join!(speak, listen) };
    match tokio::time::timeout(Duration::from_secs(100), both).await {
        Ok((true, (back, true))) if back != text => {
            ledger.wrong(format!(
                "a tunnel ends in order after {} of {} bytes",
                back.len(),
                text.len()
            ));
        }
        Ok((_, (back, _))) if !text.starts_with(&back) => ledger.wrong("a tunnel mixes its bytes".into()),
        Err(_) if gone == usize::MAX => ledger.wrong("a tunnel hangs".into()),
        _ => {}
    }
    if rarely(&mut Random(text.len() as u64 | 1), 2) {
        reset.now();
    }
}
