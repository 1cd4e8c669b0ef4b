//! Requests at the edge of the grammar, and what becomes of them: data that the end-to-end test and tests of a parser read
//! alike. `README.md` beside this describes the form. This file stands alone, so that any test can include it by its path.

use std::fmt;

/// Pages of requests: name and text.
pub(crate) const REQUESTS: [(&str, &str); 6] = [
    ("lines", include_str!("requests/lines.txt")),
    ("targets", include_str!("requests/targets.txt")),
    ("hosts", include_str!("requests/hosts.txt")),
    ("lengths", include_str!("requests/lengths.txt")),
    ("chunks", include_str!("requests/chunks.txt")),
    ("connections", include_str!("requests/connections.txt")),
];

/// Pages of responses.
pub(crate) const RESPONSES: [(&str, &str); 1] = [("responses", include_str!("responses.txt"))];

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Unique on its page.
    pub(crate) name: String,
    /// Which section of which RFC it is about.
    pub(crate) rule: String,
    /// What the client does, in order.
    pub(crate) acts: Vec<Act>,
    /// What the pod does; nothing where the row is about the request.
    pub(crate) answer: Vec<Act>,
    /// What Headgate is to do.
    pub(crate) ours: Outcome,
    /// What nginx does: one or the other, where it does not always do the same.
    pub(crate) nginx: Vec<Outcome>,
    /// What haproxy does.
    pub(crate) haproxy: Vec<Outcome>,
    /// What Headgate does as long as it does not what it is to do.
    pub(crate) today: Vec<Outcome>,
    /// Why `ours` is what it is, where that needs saying.
    pub(crate) reason: String,
}

/// One thing that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits until the gateway has taken what was sent.
    Wait,
    /// Ends its sending side.
    End,
}

/// What became of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Statuses of the answers, interim ones too, in order.
    pub(crate) answers: Vec<String>,
    /// What became of the connection: `open`, `closed`, or `closed unsaid` where no answer said `Connection: close`.
    pub(crate) end: String,
    /// Requests that the pod got whole, in order; where the row is about a response, what the client got whole.
    pub(crate) pod: Vec<String>,
}

impl Outcome {
    /// Reads `400 closed` or `200 200 open: GET /a | GET /b`; `-` stands for no answer.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (head, pod) = text.split_once(": ").unwrap_or((text, ""));
        let words: Vec<&str> = head.split_ascii_whitespace().collect();
        let ends = |word: &&str| ["open", "closed"].contains(word);
        let place = words.iter().position(ends).unwrap_or(words.len());
        let (answers, end) = words.split_at(place);
        let end = end.join(" ");
        if answers.is_empty() || !["open", "closed", "closed unsaid"].contains(&end.as_str()) {
            return Err(format!("{text:?} is no outcome"));
        }
        let answers = answers.iter().filter(|word| **word != "-");
        let pod = pod.split(" | ").filter(|request| !request.is_empty());
        Ok(Self {
            answers: answers.map(|word| (*word).to_owned()).collect(),
            end,
            pod: pod.map(str::to_owned).collect(),
        })
    }

    /// What is compared between gateways: how a request is written to the pod is each one's own affair.
    pub(crate) fn in_short(&self) -> (&[String], bool, usize) {
        (&self.answers, self.end == "open", self.pod.len())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.answers.is_empty() {
            write!(f, "- ")?;
        }
        for answer in &self.answers {
            write!(f, "{answer} ")?;
        }
        write!(f, "{}", self.end)?;
        if !self.pod.is_empty() {
            write!(f, ": {}", self.pod.join(" | "))?;
        }
        Ok(())
    }
}

impl Row {
    /// Whether both peers do alike and Headgate is to do otherwise.
    pub(crate) fn stands_alone(&self) -> bool {
        let agreed = self.nginx.iter().filter(|nginx| {
            let mut others = self.haproxy.iter();
            others.any(|haproxy| haproxy.in_short() == nginx.in_short())
        });
        agreed.clone().count() > 0
            && agreed
                .clone()
                .all(|peers| peers.in_short() != self.ours.in_short())
    }

    /// Whether it says what the pod answers.
    pub(crate) fn is_about_response(&self) -> bool {
        !self.answer.is_empty()
    }

    /// All that the client sends.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        sent(&self.acts)
    }
}

/// All that is sent.
pub(crate) fn sent(acts: &[Act]) -> Vec<u8> {
    let sent = acts.iter().map(|act| match act {
        Act::Send(bytes) => bytes.as_slice(),
        Act::Wait | Act::End => &[],
    });
    sent.collect::<Vec<_>>().concat()
}

/// What the client sends where a row is about the response and says no other request.
const PLAIN: &[u8] = b"GET /a HTTP/1.1\r\nHost: web.example\r\n\r\n";

/// The rows of a page.
///
/// # Errors
///
/// With the number of the line that is wrong, and why.
pub(crate) fn rows(page: &str) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let wrong = |why: String| format!("{number}: {why}");
        if let Some(name) = line.strip_prefix("# ") {
            if rows.iter().any(|row| row.name == name) {
                return Err(wrong(format!("there are two rows {name:?}")));
            }
            rows.push(Row::begin(name));
        } else if !line.is_empty() && !line.starts_with("//") {
            let row = rows.last_mut().ok_or_else(|| wrong("before any row".into()))?;
            row.take(line).map_err(wrong)?;
        }
    }
    for row in &mut rows {
        if row.is_about_response() && row.acts.is_empty() {
            row.acts.push(Act::Send(PLAIN.to_vec()));
        }
    }
    match rows
        .iter()
        .find(|row| row.ours.end.is_empty() || row.acts.is_empty())
    {
        Some(row) => Err(format!(
            ": {:?} says not what is sent, or not what `ours` is",
            row.name
        )),
        None => Ok(rows),
    }
}

impl Row {
    fn begin(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rule: String::new(),
            acts: Vec::new(),
            answer: Vec::new(),
            ours: Outcome::default(),
            nginx: Vec::new(),
            haproxy: Vec::new(),
            today: Vec::new(),
            reason: String::new(),
        }
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "RFC" => line.clone_into(&mut self.rule),
            ">" => send(&mut self.acts, rest)?,
            "<" => send(&mut self.answer, rest)?,
            "close" => self.answer.push(Act::End),
            "then" => self.acts.push(Act::Wait),
            "end" => self.acts.push(Act::End),
            "ours" => self.ours = Outcome::parse(rest)?,
            "nginx" => self.nginx = either(rest)?,
            "haproxy" => self.haproxy = either(rest)?,
            "today" => self.today = either(rest)?,
            "reason" => rest.clone_into(&mut self.reason),
            "" if !self.reason.is_empty() => self.reason = format!("{} {rest}", self.reason),
            _ => return Err(format!("{word:?} begins no line of a row")),
        }
        Ok(())
    }
}

/// Joins what is sent in one piece.
fn send(acts: &mut Vec<Act>, text: &str) -> Result<(), String> {
    let bytes = unescape(text)?;
    match acts.last_mut() {
        Some(Act::Send(piece)) => piece.extend(bytes),
        _ => acts.push(Act::Send(bytes)),
    }
    Ok(())
}

/// Outcomes with "or" between them.
fn either(text: &str) -> Result<Vec<Outcome>, String> {
    text.split(" or ").map(Outcome::parse).collect()
}

/// Bytes of a line: `\r`, `\n`, `\t`, `\s` for a space at an end, `\\`, `\xHH`, and `\{N*text}` for text N times.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let wrong = || format!("an escape that is none: \\{escape}");
        let kind = escape.chars().next().ok_or_else(wrong)?;
        let mut used = kind.len_utf8();
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            's' => bytes.push(b' '),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = escape.get(1..3).ok_or_else(wrong)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
                used = 3;
            }
            '{' => {
                let (times, text) = escape[1..].split_once('*').ok_or_else(wrong)?;
                let (text, _) = text.split_once('}').ok_or_else(wrong)?;
                used = times.len() + text.len() + 3;
                bytes.extend(unescape(text)?.repeat(times.parse().map_err(|_| wrong())?));
            }
            _ => return Err(wrong()),
        }
        rest = &escape[used..];
    }
    bytes.extend(rest.as_bytes());
    Ok(bytes)
}
