//! Users and the hashes of their passwords.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::wrong;
use crate::model::invalid::Invalid;

/// The hash of each user's password, as `htpasswd` writes it (`$2y$…`, `$apr1$…`, `{SHA}…`, crypt).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, Zeroizing<String>>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} users)", self.0.len())
    }
}

impl Credentials {
    /// Lines of `USER:HASH`; empty ones and those that begin with `#` are left out. Of two lines for one user the first
    /// counts, as in Apache and nginx, which look no further.
    pub(super) fn of_file(key: &str, bytes: &[u8]) -> Result<Self, Invalid> {
        let text = str::from_utf8(bytes).map_err(|_| wrong(key, "is not UTF-8 text"))?;
        let mut users = BTreeMap::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = line
                .split_once(':')
                .filter(|(user, hash)| !user.is_empty() && !hash.is_empty());
            let Some((user, hash)) = pair else {
                return Err(wrong(key, format!("line {number} is not USER:HASH")));
            };
            // A third field is a comment.
            let hash = hash.split(':').next().unwrap_or_default();
            users
                .entry(user.to_owned())
                .or_insert_with(|| Zeroizing::new(hash.to_owned()));
        }
        Ok(Self(users))
    }

    /// Users by the keys of a Secret.
    pub(super) fn of_map<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Invalid> {
        let user = |(user, hash): (&str, &[u8])| {
            let hash = str::from_utf8(hash).map_err(|_| wrong(user, "is not UTF-8 text"))?;
            let hash = hash.trim_end_matches(['\r', '\n']);
            if hash.is_empty() {
                return Err(wrong(user, "is no hash of a password"));
            }
            Ok((user.to_owned(), Zeroizing::new(hash.to_owned())))
        };
        entries.into_iter().map(user).collect::<Result<_, _>>().map(Self)
    }

    /// The hash of a user's password.
    #[must_use]
    pub fn hash(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(|hash| hash.as_str())
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no user.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
