//! The keys of a Secret and their bytes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::wrong;
use crate::model::invalid::Invalid;

/// Base64 as Go's `encoding/base64.StdEncoding` reads it, by which the API server does: padded, whatever the bits
/// behind the last byte are. Line breaks are taken out before.
const GO: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// `data` and `stringData`, of which the latter wins; wiped when it is dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Data {
    /// Of a value that cannot be read, why.
    entries: BTreeMap<String, Result<Zeroizing<Vec<u8>>, &'static str>>,
}

impl Data {
    /// Takes the data out of a Secret's value, which has none of it afterwards.
    pub(super) fn take(value: &mut Value) -> Result<Self, Invalid> {
        let mut data = Self::default();
        let mut result = Ok(());
        for (field, read) in [
            ("data", bytes as fn(&mut Value) -> _),
            ("stringData", text as fn(&mut Value) -> _),
        ] {
            let Some(written) = value.get_mut(field) else {
                continue;
            };
            match written {
                Value::Object(fields) => {
                    for (key, value) in fields {
                        data.entries.insert(key.clone(), read(value));
                    }
                }
                Value::Null => {}
                _ => result = Err(Invalid::new(field, "must be an object")),
            }
            wipe(written);
            *written = Value::Null;
        }
        result.map(|()| data)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn get(&self, key: &str) -> Result<&[u8], Invalid> {
        match self.entries.get(key) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(reason)) => Err(wrong(key, *reason)),
            None => Err(wrong(key, "is missing")),
        }
    }

    /// The keys whose values cannot be read.
    pub(super) fn broken(&self) -> impl Iterator<Item = Invalid> {
        let broken = |(key, value): (&String, &Result<_, &str>)| Some(wrong(key, *value.as_ref().err()?));
        self.entries.iter().filter_map(broken)
    }
}

fn bytes(value: &mut Value) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    match value {
        // Go reads nothing into nothing.
        Value::Null => Ok(Zeroizing::default()),
        Value::String(text) => {
            text.retain(|c| c != '\r' && c != '\n');
            let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
            let length = GO
                .decode_slice(text.as_bytes(), &mut bytes)
                .map_err(|_| "must be text in base64")?;
            bytes.truncate(length);
            Ok(bytes)
        }
        _ => Err("must be text in base64"),
    }
}

fn text(value: &mut Value) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    match value {
        Value::Null => Ok(Zeroizing::default()),
        Value::String(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        _ => Err("must be text"),
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
