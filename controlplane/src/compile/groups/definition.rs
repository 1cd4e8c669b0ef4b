//! What defines a group, and the name that follows from it.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use headgate_ring::message::{GroupId, Protocol};

use crate::model::Selector;

/// What defines a group of pods: some namespaces, the pods' labels, and the number of a named port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Definition<'a> {
    pub(in crate::compile) scope: Scope<'a>,
    pub(in crate::compile) pods: &'a Selector,
    /// Only pods whose port of this name and protocol has this number.
    pub(in crate::compile) port: Option<(&'a str, Protocol, u16)>,
}

/// Namespaces, by name or by label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::compile) enum Scope<'a> {
    Namespace(&'a str),
    Namespaces(&'a Selector),
}

/// The first byte of what is hashed for an id.
const PODS_OF_NAMESPACE: u8 = 0;
const PODS_OF_NAMESPACES: u8 = 1;
const NODES: u8 = 2;

/// Bytes of a text for people.
const TEXT_BYTES: usize = 4096;

impl Definition<'_> {
    /// What names the group.
    pub(super) fn id(&self) -> GroupId {
        let mut bytes = Vec::new();
        match self.scope {
            Scope::Namespace(name) => {
                bytes.push(PODS_OF_NAMESPACE);
                push(&mut bytes, name);
            }
            Scope::Namespaces(selector) => {
                bytes.push(PODS_OF_NAMESPACES);
                selector.encode(&mut |text| push(&mut bytes, text));
            }
        }
        // No field's text can be mistaken for another's: each has its length in front, and lists end with one that
        // no field can have.
        bytes.extend(u64::MAX.to_le_bytes());
        self.pods.encode(&mut |text| push(&mut bytes, text));
        bytes.extend(u64::MAX.to_le_bytes());
        if let Some((name, protocol, number)) = self.port {
            push(&mut bytes, name);
            bytes.push(protocol.number());
            bytes.extend(number.to_le_bytes());
        }
        hash(&bytes)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = if self.pods.is_everything() {
            "all pods".to_owned()
        } else {
            format!("pods with {}", self.pods)
        };
        let _infallible = match self.scope {
            Scope::Namespace(name) => write!(text, " in namespace {name}"),
            Scope::Namespaces(selector) if selector.is_everything() => write!(text, " in all namespaces"),
            Scope::Namespaces(selector) => write!(text, " in namespaces with {selector}"),
        };
        if let Some((name, protocol, number)) = self.port {
            let _infallible = write!(text, " whose port {name}/{protocol} is {number}");
        }
        text
    }
}

/// A text for people, as long as people read it. Texts of selectors have no limit, messages do.
pub(super) fn readable(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
    text
}

/// What names the group of the nodes with such labels.
pub(super) fn nodes_id(labels: &Selector) -> GroupId {
    let mut bytes = vec![NODES];
    labels.encode(&mut |text| push(&mut bytes, text));
    hash(&bytes)
}

/// The group of the nodes with such labels, for people.
pub(super) fn nodes_text(labels: &Selector) -> String {
    if labels.is_everything() {
        "all nodes".to_owned()
    } else {
        format!("nodes with {labels}")
    }
}

fn hash(bytes: &[u8]) -> GroupId {
    let mut id = [0; 16];
    id.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
    GroupId(u128::from_le_bytes(id))
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
