//! What is wrong with an object.

use std::fmt;

/// The field that is wrong and why; displayed as `spec.ports[0].port: must be 1 to 65535, is 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path from the object's root; empty where it is the object as such.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Invalid {
    /// `field` is wrong because of `reason`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same below `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') {
            ""
        } else {
            "."
        };
        self.field = format!("{prefix}{dot}{}", self.field);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

impl std::error::Error for Invalid {}

/// Parses each element of a list; an error names the element's index.
pub fn each<T, U>(
    field: &str,
    list: &[T],
    mut parse: impl FnMut(&T) -> Result<U, Invalid>,
) -> Result<Vec<U>, Invalid> {
    let at = |index: usize| format!("{field}[{index}]");
    list.iter()
        .enumerate()
        .map(|(index, item)| parse(item).map_err(|e| e.under(&at(index))))
        .collect()
}

/// A port number, 1 to 65535 (`IsValidPortNum`).
pub fn port(field: &str, number: i32) -> Result<u16, Invalid> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Invalid::new(field, format!("must be 1 to 65535, is {number}"))),
    }
}

/// A protocol (`supportedPortProtocols`); missing means TCP.
pub fn protocol(field: &str, name: Option<&str>) -> Result<headgate_ring::message::Protocol, Invalid> {
    use headgate_ring::message::Protocol;
    match name {
        None | Some("" | "TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(Invalid::new(
            field,
            format!("\"{other}\" is none of TCP, UDP, SCTP"),
        )),
    }
}
