//! Which Ingresses are ours.

use std::collections::BTreeMap;

use crate::compile::Settings;
use crate::model::ingress::{CONTROLLER, ClassName, Ingress, IngressClass};
use crate::model::{Labels, Model, ObjectName, Selector};

/// What decides whether an Ingress is served. The flags of the same names say it as they do for ingress-nginx
/// (`GetIngressClass`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressSelection {
    /// `--ingress-class`: Ingresses of this class are served even where there is no such IngressClass.
    pub class: String,
    /// `--controller-class`: IngressClasses with one of these in `spec.controller` are served.
    pub controllers: Vec<String>,
    /// `--ingress-class-by-name`: an IngressClass named `class` is served, whatever its controller.
    pub by_name: bool,
    /// `--watch-ingress-without-class`: Ingresses that name no class are served.
    pub without_class: bool,
    /// `--watch-namespace-selector`: Ingresses of namespaces with such labels alone are served.
    pub namespaces: Selector,
    /// Not `--disable-catch-all`: Ingresses with a `spec.defaultBackend` are served.
    pub catch_all: bool,
}

impl Default for IngressSelection {
    fn default() -> Self {
        Self {
            class: "headgate".to_owned(),
            controllers: vec![CONTROLLER.to_owned()],
            by_name: false,
            without_class: false,
            namespaces: Selector::EVERYTHING,
            catch_all: true,
        }
    }
}

/// What annotations begin with that are read here.
const OUR_ANNOTATIONS: [&str; 2] = ["nginx.ingress.kubernetes.io/", "headgate.dev/"];

/// The IngressClasses as they are now.
pub(super) struct Classes<'a> {
    by_name: BTreeMap<&'a str, &'a IngressClass>,
    /// Labels by namespace, where they matter.
    namespaces: BTreeMap<&'a str, &'a Labels>,
    selection: &'a IngressSelection,
}

/// What becomes of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    /// It is served.
    Ours,
    /// It is for somebody else.
    Theirs,
    /// It is probably meant to be served, and is not.
    LeftOut(String),
}

/// What would become of an Ingress, by its class and its namespace.
pub(crate) fn assign(model: &Model, settings: &Settings, name: &ObjectName, ingress: &Ingress) -> Assignment {
    Classes::of(model, settings).assign(name, ingress)
}

impl<'a> Classes<'a> {
    pub(super) fn of(model: &'a Model, settings: &'a Settings) -> Self {
        let selection = &settings.ingresses;
        let names = |(name, class): (&'a ObjectName, _)| (name.name.as_str(), class);
        let mut namespaces = BTreeMap::new();
        if !selection.namespaces.is_everything() {
            namespaces.extend(
                model
                    .namespaces()
                    .map(|(name, labels)| (name.name.as_str(), labels)),
            );
        }
        Self {
            by_name: model.classes().map(names).collect(),
            namespaces,
            selection,
        }
    }

    pub(super) fn assign(&self, name: &ObjectName, ingress: &Ingress) -> Assignment {
        let selection = self.selection;
        if !self.watches(name) {
            return Assignment::Theirs;
        }
        match self.of_our_class(ingress) {
            Some(true) if ingress.default_backend.is_some() && !selection.catch_all => Assignment::LeftOut(
                "spec.defaultBackend: --disable-catch-all is given; the Ingress is not served".to_owned(),
            ),
            Some(true) => Assignment::Ours,
            Some(false) => match self.nobodys_class(ingress) {
                Some(class) => Assignment::LeftOut(format!(
                    "spec.ingressClassName: there is no IngressClass \"{class}\", so that nobody serves the Ingress, whose \
                     annotations are such as are served here. Use \"{}\", or make that IngressClass with the controller {}",
                    selection.class,
                    selection.controllers.join(" or ")
                )),
                None => Assignment::Theirs,
            },
            None => Assignment::LeftOut(format!(
                "spec.ingressClassName: is missing and no IngressClass is the default; the Ingress is not \
                 served. Use \"{}\", or an IngressClass with the controller {}",
                selection.class,
                selection.controllers.join(" or ")
            )),
        }
    }

    /// Whether an Ingress is in a namespace that is looked at.
    fn watches(&self, name: &ObjectName) -> bool {
        let wanted = &self.selection.namespaces;
        let labels = || self.namespaces.get(name.namespace.as_str());
        wanted.is_everything() || labels().is_some_and(|labels| wanted.matches(labels))
    }

    /// The class that an Ingress names, where there is none of that name and the Ingress looks like one of ours.
    fn nobodys_class<'i>(&self, ingress: &'i Ingress) -> Option<&'i str> {
        let Some(ClassName::Field(class)) = &ingress.class else {
            return None;
        };
        (!self.by_name.contains_key(class.as_str()) && looks_like_ours(ingress)).then_some(class)
    }

    /// Name and controller of the class that an Ingress names, where it is somebody else's and the Ingress looks like one
    /// of ours.
    pub(super) fn of_look_alike<'i>(
        &self,
        name: &ObjectName,
        ingress: &'i Ingress,
    ) -> Option<(&'i str, &'a str)> {
        let (ClassName::Field(named) | ClassName::Annotation(named)) = ingress.class.as_ref()?;
        let class = self.by_name.get(named.as_str())?;
        let is_one = looks_like_ours(ingress) && !self.is_ours(named, class) && self.watches(name);
        is_one.then_some((named, &class.controller))
    }

    /// `None` where it names no class and there is no default one.
    fn of_our_class(&self, ingress: &Ingress) -> Option<bool> {
        let own = &self.selection.class;
        match &ingress.class {
            // The annotation is older than IngressClasses, and does not ask for one.
            Some(ClassName::Annotation(class)) if class == own => Some(true),
            Some(ClassName::Field(class) | ClassName::Annotation(class)) => {
                Some(match self.by_name.get(class.as_str()) {
                    Some(found) => self.is_ours(class, found),
                    None => class == own,
                })
            }
            None if self.selection.without_class => Some(true),
            None => {
                let mut defaults = self.by_name.iter().filter(|(_, class)| class.default).peekable();
                defaults.peek()?;
                Some(defaults.any(|(name, class)| self.is_ours(name, class)))
            }
        }
    }

    fn is_ours(&self, name: &str, class: &IngressClass) -> bool {
        self.selection.controllers.contains(&class.controller)
            || (self.selection.by_name && name == self.selection.class)
    }
}

fn looks_like_ours(ingress: &Ingress) -> bool {
    let ours = |key: &String| OUR_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix));
    ingress.annotations.keys().any(ours)
}
