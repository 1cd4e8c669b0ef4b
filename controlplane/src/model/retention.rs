//! Which Secrets outlive their objects: those that an Ingress names.
//!
//! A Secret that is removed, or holds no usable certificate any more, leaves its last good state in force as long as
//! somebody asks for it, and not a moment longer: private keys that nobody uses are not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Id, Kind, Object, ObjectName};

/// Who is asked for, and the last good state of those that are no longer good.
#[derive(Clone, Debug, Default)]
pub(super) struct Retention {
    /// How many references of Ingresses there are to each Secret.
    uses: BTreeMap<ObjectName, usize>,
    last_good: BTreeMap<ObjectName, Arc<Object>>,
}

impl Retention {
    /// Takes in that an object of the model is another now, came, or went.
    pub(super) fn changed(&mut self, id: &Id, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        match id.kind {
            Kind::Ingress => {
                for secret in secrets_of(&id.name, new) {
                    *self.uses.entry(secret).or_default() += 1;
                }
                secrets_of(&id.name, old).for_each(|secret| self.unused_once(&secret));
            }
            // Of others there is nothing to keep, and nothing to look into.
            Kind::Secret if !self.uses.contains_key(&id.name) => {}
            Kind::Secret if new.is_some_and(is_good) => {
                self.last_good.remove(&id.name);
            }
            Kind::Secret => {
                if let Some(good) = old.filter(|old| is_good(old)) {
                    self.last_good.insert(id.name.clone(), good.clone());
                }
            }
            _ => {}
        }
    }

    /// The last good state of a Secret that is none now and that an Ingress names.
    pub(super) fn last_good(&self, name: &ObjectName) -> Option<&Arc<Object>> {
        self.last_good.get(name)
    }

    fn unused_once(&mut self, secret: &ObjectName) {
        let Some(uses) = self.uses.get_mut(secret) else {
            return;
        };
        *uses -= 1;
        if *uses == 0 {
            self.uses.remove(secret);
            self.last_good.remove(secret);
        }
    }
}

/// The Secrets that an Ingress names.
fn secrets_of(name: &ObjectName, ingress: Option<&Arc<Object>>) -> impl Iterator<Item = ObjectName> {
    let tls = match ingress.map(Arc::as_ref) {
        Some(Object::Ingress(ingress)) => &ingress.tls[..],
        _ => &[],
    };
    tls.iter()
        .filter_map(|tls| Some(name.sibling(tls.secret.as_deref()?)))
}

/// Whether it is a Secret with a usable certificate.
fn is_good(object: &Arc<Object>) -> bool {
    matches!(&**object, Object::Secret(secret) if secret.tls().is_ok())
}
