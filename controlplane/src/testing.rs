//! What the tests of several modules need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use headgate_ring::message::{
    Endpoint, Group, Key, Object, Policy, PrivateKey, Service, Upstream, VirtualHost,
};
use rcgen::{CertificateParams, KeyPair};

use crate::compile::{Compiled, Settings, compile};
use crate::model::Id;
use crate::source::decode::{Syntax, decode};
use crate::source::{Contents, store::Store};

pub(crate) use crate::harness::{NOW, lines, settings};

/// What a file holds.
pub(crate) fn contents(text: &str) -> Contents {
    match decode(text.as_bytes(), Syntax::Yaml) {
        Ok(documents) => Contents::Documents(documents),
        Err(unreadable) => Contents::Unreadable(unreadable),
    }
}

/// Files by name. Gives the objects that are others by it.
pub(crate) fn put(store: &mut Store, files: &[(&str, &str)]) -> BTreeSet<Id> {
    store.update(
        files
            .iter()
            .map(|(name, text)| (Arc::from(Path::new(name)), contents(text))),
    )
}

/// A state and the lines that the compiler wrote.
pub(crate) struct Result {
    pub(crate) state: BTreeMap<Key, Object>,
    pub(crate) lines: Vec<String>,
}

/// Compiles manifests that must all be good.
pub(crate) fn compiled(text: &str) -> Result {
    let mut store = Store::default();
    put(&mut store, &[("test.yaml", text)]);
    assert_eq!(lines(&store), Vec::<String>::new());
    compiled_store(&store, &settings())
}

pub(crate) fn compiled_store(store: &Store, settings: &Settings) -> Result {
    let Compiled { state, problems } = compile(store.model(), settings, NOW);
    Result {
        state,
        lines: problems.iter().map(ToString::to_string).collect(),
    }
}

impl Result {
    pub(crate) fn services(&self) -> Vec<&Service> {
        self.pick(|o| if let Object::Service(x) = o { Some(x) } else { None })
    }

    pub(crate) fn hosts(&self) -> Vec<&VirtualHost> {
        self.pick(|o| {
            if let Object::VirtualHost(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    pub(crate) fn upstreams(&self) -> Vec<&Upstream> {
        self.pick(|o| {
            if let Object::Upstream(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    pub(crate) fn policies(&self) -> Vec<&Policy> {
        self.pick(|o| if let Object::Policy(x) = o { Some(x) } else { None })
    }

    pub(crate) fn endpoints(&self) -> Vec<&Endpoint> {
        self.pick(|o| {
            if let Object::Endpoint(x) = o {
                Some(x)
            } else {
                None
            }
        })
    }

    pub(crate) fn groups(&self) -> Vec<&Group> {
        self.pick(|o| if let Object::Group(x) = o { Some(x) } else { None })
    }

    /// Name and hosts of each certificate.
    pub(crate) fn certificates(&self) -> Vec<(&str, Vec<&str>)> {
        self.pick(|o| {
            if let Object::Certificate(x) = o {
                Some(x)
            } else {
                None
            }
        })
        .into_iter()
        .map(|c| (c.name.as_str(), c.hosts.iter().map(String::as_str).collect()))
        .collect()
    }

    /// `frontend -> backends` of each Service, as text.
    pub(crate) fn balanced(&self) -> Vec<String> {
        let text = |s: &Service| {
            let backends: Vec<_> = s.backends.iter().map(ToString::to_string).collect();
            let f = s.frontend;
            let at = std::net::SocketAddr::new(f.address, f.port);
            format!("{:?} {at} {} -> {}", f.protocol, s.name, backends.join(" "))
                .trim_end()
                .to_owned()
        };
        self.services().into_iter().map(text).collect()
    }

    fn pick<'a, T>(&'a self, pick: impl Fn(&'a Object) -> Option<&'a T>) -> Vec<&'a T> {
        self.state.values().filter_map(pick).collect()
    }
}

/// A certificate for `hosts` and its key, in PEM.
pub(crate) fn pem(hosts: &[&str]) -> (String, String) {
    pem_valid(hosts, (2020, 2040))
}

/// Likewise, valid from the beginning of one year to the beginning of another.
pub(crate) fn pem_valid(hosts: &[&str], years: (i32, i32)) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    (
        params.self_signed(&key).expect("a certificate").pem(),
        key.serialize_pem(),
    )
}

/// A TLS Secret in the namespace `shop`.
pub(crate) fn secret(name: &str, certificate: &str, key: &str) -> String {
    use base64::Engine;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\ntype: kubernetes.io/tls\n\
         data:\n  tls.crt: {}\n  tls.key: {}\n",
        base64(certificate),
        base64(key)
    )
}

/// A private key's bytes do not matter to most tests.
pub(crate) fn no_key() -> PrivateKey {
    PrivateKey(zeroize::Zeroizing::new(Vec::new()))
}
