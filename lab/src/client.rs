//! Real clients: curl and nc, run in a namespace.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{Namespace, process::Finished};

/// How long a client may take where nothing else is said.
const DEADLINE: Duration = Duration::from_secs(10);

/// A curl to be run; one connection, HTTP/1.1, no proxy, no configuration file.
#[derive(Clone, Debug)]
pub struct Curl<'a> {
    namespace: &'a Namespace,
    arguments: Vec<String>,
    deadline: Duration,
}

/// An answer that curl got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, as text.
    pub body: String,
}

impl Answer {
    /// The first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as a pod's account of the request.
    ///
    /// # Errors
    ///
    /// When no pod wrote it.
    pub fn seen(&self) -> Result<crate::pod::Seen> {
        serde_json::from_str(&self.body).with_context(|| format!("not a pod's answer: {self:?}"))
    }
}

impl<'a> Curl<'a> {
    /// A curl in this namespace.
    #[must_use]
    pub fn new(namespace: &'a Namespace) -> Self {
        let arguments = [
            "--disable",
            "--silent",
            "--show-error",
            "--http1.1",
            "--noproxy",
            "*",
        ];
        Self {
            namespace,
            arguments: arguments.map(str::to_owned).to_vec(),
            deadline: DEADLINE,
        }
    }

    /// Adds arguments of curl's.
    #[must_use]
    pub fn args<S: AsRef<str>>(mut self, arguments: &[S]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Connects to `address` whatever the URL's host is.
    #[must_use]
    pub fn to(self, address: IpAddr) -> Self {
        let address = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        self.args(&["--connect-to".to_owned(), format!("::{address}:")])
    }

    /// Connects to `address` whatever the URL's host is, and there to `http` and `https` in place of ports 80 and 443.
    #[must_use]
    pub fn to_ports(self, address: Ipv4Addr, http: u16, https: u16) -> Self {
        [(80, http), (443, https)]
            .iter()
            .fold(self, |curl, (port, there)| {
                curl.args(&["--connect-to".to_owned(), format!(":{port}:{address}:{there}")])
            })
    }

    /// Connects from `address`.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        self.args(&["--interface".to_owned(), address.to_string()])
    }

    /// Gives up after `deadline`.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs curl on a URL and reads the answer's head and body.
    ///
    /// # Errors
    ///
    /// When curl fails: no connection, a certificate that does not verify, an answer cut short.
    pub fn get(&self, url: &str) -> Result<Answer> {
        let finished = self.clone().args(&["--include", url]).run()?;
        ensure!(finished.success(), "curl {url}: {}", finished.stderr.trim());
        parse(&finished.stdout).with_context(|| format!("curl {url} printed {:?}", finished.stdout))
    }

    /// Runs curl on a URL and returns the SHA-256 of the body, in hexadecimal.
    ///
    /// # Errors
    ///
    /// When curl fails.
    pub fn sha256(&self, url: &str) -> Result<String> {
        let body = tempfile::NamedTempFile::new().context("a file for the body")?;
        let path = body.path().display().to_string();
        let finished = self.clone().args(&["--fail", "--output", &path, url]).run()?;
        ensure!(finished.success(), "curl {url}: {}", finished.stderr.trim());
        let body = fs::read(&path).with_context(|| format!("reading {path}"))?;
        Ok(crate::pod::sha256_hex(&body))
    }

    /// Runs curl with the arguments given so far.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not end in time. A status that is not 0 is not an error here.
    pub fn run(&self) -> Result<Finished> {
        self.namespace.run("curl", &self.arguments, self.deadline)
    }
}

fn parse(text: &str) -> Result<Answer> {
    let mut rest = text;
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").context("no end of the headers")?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|l| l.split(' ').nth(1))
            .context("no status line")?
            .parse()?;
        if (100..200).contains(&status) {
            rest = body;
            continue;
        }
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').with_context(|| format!("header {line:?}"))?;
                Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Result<_>>()?;
        return Ok(Answer {
            status,
            headers,
            body: body.to_owned(),
        });
    }
}

/// Sends `text` to a TCP echo with nc and returns what came back, the greeting first.
///
/// # Errors
///
/// When there is no connection, or no end of it, within 5 seconds.
pub fn nc_tcp(namespace: &Namespace, to: IpAddr, port: u16, text: &str) -> Result<String> {
    nc(namespace, "-N -w 3", to, port, text)
}

/// Sends `text` as one datagram with nc and returns the first datagram that came back.
///
/// # Errors
///
/// When none came within 2 seconds.
pub fn nc_udp(namespace: &Namespace, to: IpAddr, port: u16, text: &str) -> Result<String> {
    let answer = nc(namespace, "-u -w 2 -W 1", to, port, text)?;
    ensure!(!answer.is_empty(), "no datagram came back from [{to}]:{port}");
    Ok(answer)
}

fn nc(namespace: &Namespace, flags: &str, to: IpAddr, port: u16, text: &str) -> Result<String> {
    let script = format!("printf %s \"$1\" | nc -n {flags} {to} {port}");
    let finished = namespace.run("sh", &["-c", &script, "nc", text], Duration::from_secs(8))?;
    if !finished.success() {
        bail!(
            "nc {flags} {to} {port}: {} {}",
            finished.status,
            finished.stderr.trim()
        );
    }
    Ok(finished.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interim_answer_is_skipped() {
        let answer =
            parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-Pod: a\r\n\r\nbody\r\n\r\nmore")
                .unwrap();
        assert_eq!((answer.status, answer.header("x-pod")), (201, Some("a")));
        assert_eq!(answer.body, "body\r\n\r\nmore");
    }

    #[test]
    fn half_an_answer_is_an_error() {
        assert!(parse("HTTP/1.1 200 OK\r\nx: y\r\n").is_err());
    }
}
