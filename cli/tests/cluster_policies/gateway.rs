//! Manifests, read and compiled as the control plane does, and decided as the dataplane does.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Compiler, Settings};
use headgate_controlplane::source::decode::{Syntax, decode};
use headgate_controlplane::source::store::{Contents, Store};
use headgate_dataplane::config::{State, Tables};
use headgate_dataplane::policy::{Decision, Explanation};
use headgate_ring::message::Protocol;
use headgate_ring::{Operation, Transaction};

/// A gateway that has read some manifests.
pub(crate) struct Gateway {
    store: Store,
    compiler: Compiler,
    state: State,
    tables: Tables,
    /// What was wrong with the manifests: `KIND NAME: FIELD: REASON`.
    pub(crate) lines: Vec<String>,
}

impl Gateway {
    /// From files in YAML, by name.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let mut gateway = Self {
            store: Store::default(),
            compiler: Compiler::new(settings()),
            state: State::default(),
            tables: Tables::default(),
            lines: Vec::new(),
        };
        gateway.read(files, Syntax::Yaml);
        gateway
    }

    /// From a file in JSON.
    pub(crate) fn json(text: &str) -> Self {
        let mut gateway = Self::new(&[]);
        gateway.change(text);
        gateway
    }

    /// The file in JSON has become another.
    pub(crate) fn change(&mut self, text: &str) {
        self.read(&[("all.json", text)], Syntax::Json);
    }

    fn read(&mut self, files: &[(&str, &str)], syntax: Syntax) {
        let changed = self.store.update(files.iter().map(|(name, text)| {
            let documents = decode(text.as_bytes(), syntax);
            let documents = documents.unwrap_or_else(|e| panic!("{name}: {e:?}"));
            (Arc::from(Path::new(name)), Contents::Documents(documents))
        }));
        let changes = self.compiler.update(self.store.model(), &changed, 0);
        let operation = |(key, object): (_, Option<Arc<_>>)| match object {
            Some(object) => Operation::Put(Arc::unwrap_or_clone(object)),
            None => Operation::Delete(key),
        };
        let transaction = Transaction {
            generation: 1,
            full: false,
            operations: changes.into_iter().map(operation).collect(),
        };
        let tables = self.state.transact(transaction, Some(&self.tables));
        self.tables = tables.expect("what the dataplane takes");
        let mut problems = self.store.problems();
        problems.extend(self.compiler.problems());
        let lines = problems.into_iter().map(|mut problem| {
            problem.origin = None;
            problem.to_string()
        });
        self.lines = lines.collect();
    }

    /// How a decision comes about; the tables must decide the same.
    pub(crate) fn explain(&self, src: IpAddr, dst: IpAddr, protocol: Protocol, port: u16) -> Explanation {
        let number = protocol.number();
        let explanation = self.tables.policy.explain(src, dst, number, port);
        let decision = self.tables.policy.decide(src, dst, number, port);
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
        let endpoint = self
            .tables
            .policy
            .endpoints()
            .into_iter()
            .find(|e| e.name == name);
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
