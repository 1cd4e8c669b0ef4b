//! Manifests, read and compiled as the control plane does, and decided as the dataplane does.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Settings, compile};
use headgate_controlplane::source::decode::{Syntax, decode};
use headgate_controlplane::source::store::{Contents, Store};
use headgate_dataplane::config::State;
use headgate_dataplane::policy::{Compiled, Decision, Explanation};
use headgate_ring::message::Protocol;
use headgate_ring::{Operation, Transaction};

/// The tables of a gateway that has read some manifests.
pub(crate) struct Gateway {
    tables: Arc<Compiled>,
    /// What was wrong with the manifests: `KIND NAME: FIELD: REASON`.
    pub(crate) lines: Vec<String>,
}

impl Gateway {
    /// From files in YAML, by name.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::read(files, Syntax::Yaml)
    }

    /// From a file in JSON.
    pub(crate) fn json(text: &str) -> Self {
        Self::read(&[("all.json", text)], Syntax::Json)
    }

    fn read(files: &[(&str, &str)], syntax: Syntax) -> Self {
        let mut store = Store::default();
        store.update(files.iter().map(|(name, text)| {
            let documents = decode(text.as_bytes(), syntax);
            let documents = documents.unwrap_or_else(|e| panic!("{name}: {e:?}"));
            (Arc::from(Path::new(name)), Contents::Documents(documents))
        }));
        let made = compile(store.model(), &settings(), 0);
        let mut problems = store.problems();
        problems.extend(made.problems);
        let transaction = Transaction {
            generation: 1,
            full: true,
            operations: made.state.into_values().map(Operation::Put).collect(),
        };
        let tables = State::default().transact(transaction, None);
        let lines = problems.into_iter().map(|mut problem| {
            problem.origin = None;
            problem.to_string()
        });
        Self {
            tables: tables.expect("what the dataplane takes").policy,
            lines: lines.collect(),
        }
    }

    /// How a decision comes about; the tables must decide the same.
    pub(crate) fn explain(&self, src: IpAddr, dst: IpAddr, protocol: Protocol, port: u16) -> Explanation {
        let number = protocol.number();
        let explanation = self.tables.explain(src, dst, number, port);
        let decision = self.tables.decide(src, dst, number, port);
        let denier = explanation.denied().map(|(direction, _)| direction);
        let of_tables = match decision {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial.direction),
        };
        assert_eq!(of_tables, denier, "{src} -> {dst} {protocol} {port}");
        explanation
    }

    /// The addresses of a pod or node, or the address that `name` is.
    pub(crate) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        if let Ok(address) = name.parse() {
            return vec![address];
        }
        let endpoint = self.tables.endpoints().into_iter().find(|e| e.name == name);
        let endpoint = endpoint.unwrap_or_else(|| panic!("there is no {name}"));
        endpoint.addresses.clone()
    }
}

fn settings() -> Settings {
    Settings {
        addresses: Vec::new(),
        http_port: 0,
        https_port: 0,
        class: "headgate".to_owned(),
        default_certificate: None,
        fallback_certificate: None,
    }
}
