//! Manifests, read and compiled as the control plane does, and decided as the dataplane does.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Compilation, Settings};
use headgate_controlplane::source::decode::{Syntax, decode};
use headgate_controlplane::source::{Contents, store::Store};
use headgate_dataplane::config::{State, Tables};
use headgate_net::policy::{Decision, Explanation};
use headgate_ring::message::Protocol;
use headgate_ring::{Operation, PackedObject, Transaction};

/// A gateway that has read some manifests.
pub(crate) struct Gateway {
    store: Store,
    compiler: Compilation,
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
            compiler: Compilation::new(settings()),
            state: State::default(),
            tables: Tables::default(),
            lines: Vec::new(),
        };
        let files = files.iter().map(|(name, text)| (*name, Some(*text)));
        gateway.change(files, Syntax::Yaml);
        gateway
    }

    /// Some files have another text now, or are gone.
    pub(crate) fn change<'f>(
        &mut self,
        files: impl IntoIterator<Item = (&'f str, Option<&'f str>)>,
        syntax: Syntax,
    ) {
        let contents = |(name, text): (&'f str, Option<&'f str>)| {
            let documents = text.map(|text| decode(text.as_bytes(), syntax));
            let contents = match documents {
                Some(Ok(documents)) => Contents::Documents(documents),
                Some(Err(error)) => panic!("{name}: {error:?}"),
                None => Contents::Gone,
            };
            (Arc::from(Path::new(name)), contents)
        };
        let changed = self.store.update(files.into_iter().map(contents));
        let changes = self.compiler.update(self.store.model(), &changed, 0);
        let operation = |(key, object): (_, Option<PackedObject>)| match object {
            Some(object) => Operation::Put(object.object()),
            None => Operation::Delete(key),
        };
        let transaction = Transaction {
            generation: self.state.generation() + 1,
            full: false,
            operations: changes.into_iter().map(operation).collect(),
        };
        let tables = Tables::transact(&mut self.state, transaction, Some(&self.tables));
        self.tables = tables.expect("what the dataplane takes");
        self.state.settle();
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
        let denier = explanation.denied().map(|(direction, end)| {
            let by = end.by.as_ref().expect("who denies is known");
            (direction, &by.policy)
        });
        let of_tables = match decision {
            Decision::Allow => None,
            Decision::Deny(denial) => {
                let policy = self.tables.policy.policy(denial.policy).expect("its policy");
                Some((denial.direction, policy))
            }
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
        http_port: 0,
        https_port: 0,
        ..Settings::default()
    }
}
