//! One question.

use headgate_ring::message::Protocol;
use serde_json::{Map, Value};

use super::LINE_BYTES;
use crate::ends::{self, GivenPort};
use crate::flags::CheckOptions;

/// Whether a connection is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: GivenPort,
    /// Other fields of the question, which the answer repeats: an asker's own `id`, for example.
    pub(crate) extra: Map<String, Value>,
}

impl Query {
    /// Reads `{"from":"shop/web","to":"shop/db","protocol":"TCP","port":80}`.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        if line.len() as u64 >= LINE_BYTES {
            return Err(format!("is longer than {LINE_BYTES} bytes"));
        }
        let parsed: Result<Map<String, Value>, _> = serde_json::from_slice(line);
        let mut fields = parsed.map_err(|e| not_an_object(&e))?;
        let from = end(&mut fields, "from")?;
        let to = end(&mut fields, "to")?;
        let protocol = match fields.remove("protocol") {
            None | Some(Value::Null) => Protocol::Tcp,
            Some(Value::String(text)) => ends::protocol(&text).map_err(|e| format!("protocol: {e}"))?,
            Some(other) => return Err(format!("protocol: must be TCP, UDP or SCTP, is {other}")),
        };
        let port = port(fields.remove("port")).map_err(|e| format!("port: {e}"))?;
        Ok(Self {
            from,
            to,
            protocol,
            port,
            extra: fields,
        })
    }

    pub(super) fn of_flags(options: &CheckOptions) -> Self {
        Self {
            from: options.from.clone().unwrap_or_default(),
            to: options.to.clone().unwrap_or_default(),
            protocol: options.protocol,
            port: options.port.clone().unwrap_or(GivenPort::Name(String::new())),
            extra: Map::new(),
        }
    }
}

/// Without the parser's own "at line 1", which would be taken for the line of the file.
fn not_an_object(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text
        .split_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    format!("is not a JSON object: {reason} (column {})", error.column())
}

fn end(fields: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None => Err(format!("{name}: is missing")),
        Some(other) => Err(format!("{name}: must be NAMESPACE/POD or an address, is {other}")),
    }
}

fn port(value: Option<Value>) -> Result<GivenPort, String> {
    match value {
        None | Some(Value::Null) => Err("is missing".to_owned()),
        Some(Value::String(text)) => GivenPort::parse(&text),
        Some(Value::Number(number)) => GivenPort::parse(&number.to_string()),
        Some(other) => Err(format!("must be 1 to 65535 or a port's name, is {other}")),
    }
}
