//! The certificate that all replicas share, and how it is replaced without a call that fails.
//!
//! First the next certificate is made, and API servers are told to trust both authorities; once they have been told for
//! a while, the next is used. Authorities stay until they are no longer valid, since some replica may be late.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Rotation;
use super::pair::{CertificatePair, ends, issue};

const END: &str = "-----END CERTIFICATE-----";

/// What the Secret holds.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stock {
    /// In PEM, the newest last.
    authorities: Vec<String>,
    current: CertificatePair,
    next: Option<CertificatePair>,
}

impl Stock {
    /// For the first time.
    pub(super) fn fresh(host: &str, now: SystemTime, rotation: &Rotation) -> Result<Self, rcgen::Error> {
        let (current, authority) = issue(host, now, rotation.lifetime)?;
        Ok(Self {
            authorities: vec![authority],
            current,
            next: None,
        })
    }

    /// As a Secret has it; `None` where something is missing.
    pub(super) fn of_secret(secret: &Value) -> Option<Self> {
        let text = |key: &str| {
            let bytes = STANDARD.decode(secret["data"][key].as_str()?).ok()?;
            String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
        };
        let pair = |chain: &str, key: &str| {
            let (chain, key) = (text(chain)?, text(key)?);
            Some(CertificatePair { chain, key })
        };
        let blocks = text("ca.crt")?;
        let blocks = blocks
            .split_inclusive(END)
            .map(|block| block.trim().to_owned() + "\n");
        Some(Self {
            authorities: blocks.filter(|block| block.contains(END)).collect(),
            current: pair("tls.crt", "tls.key")?,
            next: pair("next.crt", "next.key"),
        })
    }

    /// The `data` of a Secret.
    pub(super) fn data(&self) -> Value {
        let encoded = |text: &str| STANDARD.encode(text);
        let mut data = json!({
            "ca.crt": encoded(&self.bundle()),
            "tls.crt": encoded(&self.current.chain),
            "tls.key": encoded(&self.current.key),
        });
        if let Some(next) = &self.next {
            data["next.crt"] = json!(encoded(&next.chain));
            data["next.key"] = json!(encoded(&next.key));
        }
        data
    }

    /// Whom API servers are to trust.
    pub(super) fn bundle(&self) -> String {
        self.authorities.concat()
    }

    /// What to show.
    pub(super) fn current(&self) -> &CertificatePair {
        &self.current
    }

    /// What is to be shown after that.
    pub(super) fn next(&self) -> Option<&CertificatePair> {
        self.next.as_ref()
    }

    /// Whether it can be used as it is.
    pub(super) fn is_good(&self, host: &str, now: SystemTime) -> bool {
        self.current.is_trusted(&self.bundle(), host, now)
    }

    /// What is to take the place of a good one; `None` where it may stay. `announced` says that API servers have been told of the next
    /// one long enough.
    pub(super) fn successor(
        &self,
        host: &str,
        now: SystemTime,
        rotation: &Rotation,
        announced: bool,
    ) -> Result<Option<Self>, rcgen::Error> {
        let bundle = self.bundle();
        let next = self
            .next
            .as_ref()
            .filter(|next| next.is_trusted(&bundle, host, now));
        if let Some(next) = next {
            let taken = || Self {
                authorities: self.valid_authorities(now),
                current: next.clone(),
                next: None,
            };
            return Ok(announced.then(taken));
        }
        if self
            .current
            .ends()
            .is_some_and(|ends| ends > now + rotation.ahead)
        {
            return Ok(None);
        }
        let (next, authority) = issue(host, now, rotation.lifetime)?;
        let mut authorities = self.valid_authorities(now);
        authorities.push(authority);
        Ok(Some(Self {
            authorities,
            current: self.current.clone(),
            next: Some(next),
        }))
    }

    fn valid_authorities(&self, now: SystemTime) -> Vec<String> {
        let valid = |authority: &&String| ends(authority).is_some_and(|ends| ends > now);
        self.authorities.iter().filter(valid).cloned().collect()
    }
}
