//! Ingresses that look like ours and are of somebody else's class: who moved from another controller, or forgot a flag, is
//! told on the IngressClass.

use std::collections::BTreeMap;

use crate::compile::notes::{About, Note, Place};
use crate::model::{Age, Id, Kind, ObjectName};
use crate::problem::Problem;

#[derive(Debug, Default)]
pub(super) struct LookAlikes {
    class_of: BTreeMap<ObjectName, String>,
    classes: BTreeMap<String, ForeignClass>,
}

#[derive(Debug)]
struct ForeignClass {
    ingresses: usize,
    controller: String,
}

impl LookAlikes {
    /// An Ingress is one, of the class of that name and controller; or none.
    pub(super) fn set(&mut self, ingress: &ObjectName, class: Option<(&str, &str)>) {
        if let Some(name) = self.class_of.remove(ingress)
            && let Some(class) = self.classes.get_mut(&name)
        {
            class.ingresses -= 1;
            if class.ingresses == 0 {
                self.classes.remove(&name);
            }
        }
        let Some((name, controller)) = class else { return };
        let class = self
            .classes
            .entry(name.to_owned())
            .or_insert_with(|| ForeignClass {
                ingresses: 0,
                controller: String::new(),
            });
        class.ingresses += 1;
        if class.controller != controller {
            controller.clone_into(&mut class.controller);
        }
        self.class_of.insert(ingress.clone(), name.to_owned());
    }

    /// Whether Ingresses of a class look like ours, which it is not.
    pub(super) fn contains(&self, class: &str) -> bool {
        self.classes.contains_key(class)
    }

    /// The same words as long as there are any: an Event says them once.
    pub(super) fn notes(&self) -> impl Iterator<Item = Note> {
        self.classes.iter().map(|(name, ForeignClass { controller, .. })| {
            let object = ObjectName::new("", name);
            let text = format!(
                "spec.controller: Ingresses of this class have annotations such as are served here, and \"{controller}\" is \
                 none of the controllers that are. If nobody else serves them, --controller-class={controller} does"
            );
            let place = Place {
                about: About::Class,
                age: Age::UNKNOWN,
                object: object.clone(),
                field: [2, 0, 0],
            };
            (place, Problem::warning(Id::new(Kind::IngressClass, object), text))
        })
    }
}

#[cfg(test)]
impl LookAlikes {
    pub(super) fn is_empty(&self) -> bool {
        self.class_of.is_empty() && self.classes.is_empty()
    }
}
