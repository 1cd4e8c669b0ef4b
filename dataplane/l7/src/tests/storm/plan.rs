//! What the clients and pods of a storm are up to. A pod knows what it is to do by the number of the request, and so does the
//! client.

use headgate_tcp::network::Random;

/// A number below `bound`.
pub(super) fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.draw() >> 33).unwrap() % bound
}

/// One time in `times`.
pub(super) fn rarely(random: &mut Random, times: usize) -> bool {
    below(random, times) == 0
}

/// Something small, or something large now and then.
pub(super) fn size(random: &mut Random) -> usize {
    let most = [1, 10, 300, 5_000, 20_000, 40_000, 150_000][below(random, 7)];
    below(random, most)
}

/// The byte at a place of what goes with the request of a number.
pub(super) fn byte(number: u64, at: usize) -> u8 {
    let at = at as u64;
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).wrapping_add(at * 7 + (at >> 8) * 13) as u8
}

pub(super) fn bytes(number: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| byte(number, at)).collect()
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) method: &'static str,
    pub(super) http11: bool,
    pub(super) length: usize,
    pub(super) chunked: bool,
    expects: bool,
    trailers: bool,
}

impl Asked {
    pub(super) fn draw(number: u64, random: &mut Random) -> Self {
        let method = ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT"][below(random, 7)];
        let has_body = matches!(method, "POST" | "PUT") && !rarely(random, 5);
        let http11 = !rarely(random, 10);
        let length = if has_body { size(random) } else { 0 };
        Self {
            number,
            method,
            http11,
            length,
            chunked: http11 && has_body && rarely(random, 2),
            expects: has_body && rarely(random, 4),
            trailers: rarely(random, 4),
        }
    }

    /// As it is sent, up to `length` of its body.
    pub(super) fn text(&self, random: &mut Random) -> Vec<u8> {
        let Self { number, length, .. } = self;
        let version = if self.http11 {
            "1.1"
        } else {
            "1.0\r\nconnection: keep-alive"
        };
        let mut text = format!(
            "{} /{number:x}/{length} HTTP/{version}\r\nhost: web.example\r\n",
            self.method
        );
        text += if self.expects {
            "expect: 100-continue\r\n"
        } else {
            ""
        };
        text += if self.trailers { "te: trailers\r\n" } else { "" };
        let body = bytes(!number, *length);
        if self.chunked {
            text += "transfer-encoding: chunked\r\n\r\n";
            [text.as_bytes(), &chunked(&body, "", random)].concat()
        } else {
            if *length > 0 || self.method == "POST" {
                text += &format!("content-length: {length}\r\n");
            }
            [text.as_bytes(), b"\r\n", &body].concat()
        }
    }

    /// Whether doing it twice is no harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.method != "POST" && self.length == 0 && !self.chunked
    }
}

/// In chunks of any size.
fn chunked(body: &[u8], trailers: &str, random: &mut Random) -> Vec<u8> {
    let most = [1, 20, 3_000, 60_000][below(random, 4)].max(body.len() / 500 + 1);
    let (mut text, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let length = (1 + below(random, most)).min(rest.len());
        let extension = if rarely(random, 5) { ";x=\"y\"" } else { "" };
        text.extend_from_slice(format!("{length:X}{extension}\r\n").as_bytes());
        text.extend_from_slice(&rest[..length]);
        text.extend_from_slice(b"\r\n");
        rest = &rest[length..];
    }
    text.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    text
}

/// What a pod does in the middle of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// It closes, resets, or falls silent after so many bytes.
    Close(usize),
    Reset(usize),
    Stall(usize),
    /// It says something else.
    Nonsense(&'static str),
    /// It says more than it should, and closes.
    More,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Length,
    Chunked,
    UntilClose,
    /// 204 or 304.
    Nothing(u16),
}

/// What a pod does with a request.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Bytes of the request's body that it reads before it answers.
    pub(super) reads: usize,
    pub(super) shape: Shape,
    pub(super) length: usize,
    pub(super) fault: Fault,
    /// It closes after its answer, whether it says so or not.
    pub(super) closes: bool,
    pub(super) text: Vec<u8>,
}

impl Plan {
    pub(super) fn of(asked: &Asked) -> Self {
        let random = &mut Random(asked.number.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
        for _ in 0..5 {
            random.draw();
        }
        let shape = match below(random, 10) {
            0..4 => Shape::Length,
            4..8 => Shape::Chunked,
            8 => Shape::UntilClose,
            _ => Shape::Nothing([204, 304][below(random, 2)]),
        };
        let reads = [0, asked.length / 2, usize::MAX, usize::MAX][below(random, 4)];
        let length = size(random);
        let closes = shape == Shape::UntilClose || rarely(random, 6);
        let mut text = Vec::new();
        for _ in 0..below(random, 8).saturating_sub(5) {
            text.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
        }
        let status = match shape {
            Shape::Nothing(status) => status,
            _ => 200,
        };
        text.extend_from_slice(format!("HTTP/1.1 {status} Fine\r\nx-pod: {:x}\r\n", asked.number).as_bytes());
        if closes && !rarely(random, 3) {
            text.extend_from_slice(b"connection: close\r\n");
        }
        let body = bytes(asked.number, length);
        let body = match shape {
            Shape::Nothing(_) => b"\r\n".to_vec(),
            Shape::UntilClose => [b"\r\n", &body[..]].concat(),
            Shape::Length => [format!("content-length: {length}\r\n\r\n").as_bytes(), &body].concat(),
            Shape::Chunked => {
                let head = b"transfer-encoding: chunked\r\n\r\n";
                [&head[..], &chunked(&body, "x-after: all\r\n", random)].concat()
            }
        };
        let end = body
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .map_or(2, |end| end + 4);
        let shown = if asked.method == "HEAD" && shape != Shape::UntilClose {
            end
        } else {
            body.len()
        };
        let shown = if matches!(shape, Shape::UntilClose | Shape::Nothing(_)) && asked.method == "HEAD" {
            2
        } else {
            shown
        };
        text.extend_from_slice(&body[..shown]);
        let fault = Self::fault(random, text.len());
        Self {
            reads,
            shape,
            length,
            fault,
            closes,
            text,
        }
    }

    fn fault(random: &mut Random, length: usize) -> Fault {
        match below(random, 24) {
            0 => Fault::Close(below(random, length)),
            1 => Fault::Reset(below(random, length)),
            2 => Fault::Stall(below(random, length)),
            3 => Fault::Close(0),
            4 => Fault::Reset(0),
            5 => Fault::More,
            6 => Fault::Nonsense(
                [
                    "SSH-2.0-OpenSSH_9.2\r\n",
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
                    "HTTP/1.1 200 Fine\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
                    "HTTP/1.1 200 Fine\r\ntransfer-encoding: gzip\r\n\r\nxx",
                    "\r\n\r\n\r\n",
                    "HTTP/1.1 099 Fine\r\n\r\n",
                ][below(random, 6)],
            ),
            _ => Fault::None,
        }
    }

    pub(super) fn status(&self) -> u16 {
        match self.shape {
            Shape::Nothing(status) => status,
            _ => 200,
        }
    }
}
