//! Bearer tokens as they stand in a header, those of files too, which are replaced.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};

/// A file is read again after so long (client-go reads it once a minute).
const FRESH: Duration = Duration::from_secs(50);

/// A token that no header can carry (RFC 9110, section 5.5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has {what} in it, at byte {at}, which no header can carry")]
pub struct UnusableToken {
    what: &'static str,
    at: usize,
}

/// The header of a token, without the line end that editors leave behind it.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, UnusableToken> {
    let token = token.trim();
    let odd = |c: char| c.is_ascii_control() && c != '\t';
    let unusable = |at: usize| UnusableToken {
        what: match token.as_bytes().get(at) {
            Some(b'\n' | b'\r') => "a line break",
            _ => "a control character",
        },
        at,
    };
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| unusable(token.find(odd).unwrap_or_default()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// A token in a file.
#[derive(Clone)]
pub(crate) struct TokenFile {
    path: PathBuf,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    header: HeaderValue,
    read: Instant,
}

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// What it holds.
    #[error("holds a token that {0}")]
    Unusable(#[from] UnusableToken),
}

impl TokenFile {
    pub(crate) fn open(path: &Path, now: Instant) -> Result<Self, TokenFileError> {
        let kept = Kept {
            header: read(path)?,
            read: now,
        };
        Ok(Self {
            path: path.to_owned(),
            kept: Arc::new(Mutex::new(kept)),
        })
    }

    /// Puts the token into a request.
    pub(crate) fn sign<B>(&self, mut request: Request<B>) -> Request<B> {
        let header = self.header(Instant::now());
        request.headers_mut().insert(AUTHORIZATION, header);
        request
    }

    /// What was read last, if nothing better can be had: it may be good for a while.
    fn header(&self, now: Instant) -> HeaderValue {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(kept.read) >= FRESH {
            kept.read = now;
            match read(&self.path) {
                Ok(header) => kept.header = header,
                Err(error) => tracing::warn!(
                    "{} {error}; going on with the token of before",
                    self.path.display()
                ),
            }
        }
        kept.header.clone()
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({})", self.path.display())
    }
}

fn read(path: &Path) -> Result<HeaderValue, TokenFileError> {
    Ok(bearer(&std::fs::read_to_string(path)?)?)
}

#[cfg(test)]
mod tests;
