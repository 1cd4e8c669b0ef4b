//! Manifests to tables, the way of the control plane and the dataplane.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Compiler, Settings};
use headgate_controlplane::source::decode::{Syntax, decode};
use headgate_controlplane::source::store::{Contents, Store};
use headgate_dataplane::config::{State, Tables};
use headgate_dataplane::policy::{Decision, End};
use headgate_ring::message::{Key, Object};
use headgate_ring::{Operation, Transaction};
use serde_json::Value;

use super::oracle::{Connection, Ruling};

/// Both planes, without what lies between them.
pub(crate) struct Chain {
    files: BTreeMap<String, String>,
    store: Store,
    compiler: Compiler,
    state: State,
    tables: Tables,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            store: Store::default(),
            compiler: Compiler::new(settings()),
            state: State::default(),
            tables: Tables::default(),
        }
    }
}

impl Chain {
    /// Makes the directory hold these objects, each in a file of its own.
    pub(crate) fn change(&mut self, objects: &[Value]) {
        let file = |o: &Value| {
            (
                format!("{}-{}.json", o["kind"], o["metadata"]["name"]),
                o.to_string(),
            )
        };
        let files: BTreeMap<String, String> = objects.iter().map(file).collect();
        let gone = self.files.keys().filter(|name| !files.contains_key(*name));
        let gone = gone.map(|name| (path(name), Contents::Gone));
        let changed = files
            .iter()
            .filter(|(name, text)| self.files.get(*name) != Some(text));
        let changed = changed.map(|(name, text)| (path(name), contents(text)));
        let changed = self.store.update(gone.chain(changed));
        self.files = files;
        let problems: Vec<_> = self.store.problems().iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "{problems:?}");

        let changes = self.compiler.update(self.store.model(), &changed, 0);
        let operation = |(key, object): (Key, Option<Arc<Object>>)| match object {
            Some(object) => Operation::Put(Object::clone(&object)),
            None => Operation::Delete(key),
        };
        let transaction = Transaction {
            generation: self.state.generation() + 1,
            full: false,
            operations: changes.into_iter().map(operation).collect(),
        };
        let tables = self.state.transact(transaction, Some(&self.tables));
        self.tables = tables.expect("a state that is accepted");
        self.state.settle();
    }

    /// What is said at the source, and at the destination.
    pub(crate) fn decide(&self, connection: Connection) -> [Ruling; 2] {
        let Connection {
            src,
            dst,
            protocol,
            port,
        } = connection;
        let number = match protocol {
            "TCP" => 6,
            "UDP" => 17,
            _ => 132,
        };
        let policy = &self.tables.policy;
        let explained = policy.explain(src, dst, number, port);
        let denied = match policy.decide(src, dst, number, port) {
            Decision::Allow => None,
            Decision::Deny(denial) => Some((
                denial.direction,
                policy.policy(denial.policy).expect("its policy"),
            )),
        };
        let expected = explained.denied().map(|(direction, end)| {
            let by = end.by.as_ref().expect("who denies is known");
            (direction, &by.policy)
        });
        assert_eq!(denied, expected, "what is decided is what is explained");
        [&explained.egress, &explained.ingress].map(ruling)
    }
}

fn ruling(end: &End) -> Ruling {
    let by = end.by.as_ref().map(|by| {
        let number = by.rule.map(|rule| by.policy.rules[rule].number);
        (by.policy.name.clone(), number)
    });
    Ruling {
        allowed: end.allowed,
        by,
    }
}

fn path(name: &str) -> Arc<Path> {
    Arc::from(Path::new(name))
}

fn contents(text: &str) -> Contents {
    Contents::Documents(decode(text.as_bytes(), Syntax::Json).unwrap_or_else(|_| panic!("good JSON: {text}")))
}

fn settings() -> Settings {
    Settings {
        addresses: Vec::new(),
        http_port: 80,
        https_port: 443,
        class: "headgate".to_owned(),
        default_certificate: None,
        fallback_certificate: None,
    }
}
