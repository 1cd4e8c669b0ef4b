//! Flags about which Ingresses are served. Those that ingress-nginx has mean what they mean there.

use crate::compile::IngressSelection;
use crate::model::Selector;
use crate::model::ingress::CONTROLLER;
use crate::model::name::is_subdomain;

/// Which Ingresses to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct IngressOptions {
    /// Class of the Ingresses to serve, also where there is no such IngressClass; those of IngressClasses with the
    /// controller of --controller-class are served besides
    #[arg(long, value_name = "NAME", default_value = "headgate")]
    pub ingress_class: String,

    /// spec.controller of the IngressClasses to serve; may be given several times. k8s.io/ingress-nginx takes over what
    /// ingress-nginx serves
    #[arg(long = "controller-class", value_name = "CONTROLLER", default_value = CONTROLLER)]
    pub controller_classes: Vec<String>,

    /// Serve the IngressClass that is named as --ingress-class says, whatever its spec.controller
    #[arg(long)]
    pub ingress_class_by_name: bool,

    /// Serve Ingresses that name no class, also where another IngressClass is the default
    #[arg(long)]
    pub watch_ingress_without_class: bool,

    /// Serve Ingresses of namespaces with such labels alone, as in team=web,stage in (live,test),!closed
    #[arg(long, value_name = "SELECTOR", value_parser = Selector::from_text)]
    pub watch_namespace_selector: Option<Selector>,

    /// Do not serve Ingresses with a spec.defaultBackend, which would take what no other rule takes
    #[arg(long)]
    pub disable_catch_all: bool,
}

impl Default for IngressOptions {
    fn default() -> Self {
        let IngressSelection {
            class, controllers, ..
        } = IngressSelection::default();
        Self {
            ingress_class: class,
            controller_classes: controllers,
            ingress_class_by_name: false,
            watch_ingress_without_class: false,
            watch_namespace_selector: None,
            disable_catch_all: false,
        }
    }
}

impl IngressOptions {
    /// As the compiler knows it.
    ///
    /// # Errors
    ///
    /// What is wrong with `--ingress-class`.
    pub fn selection(self) -> Result<IngressSelection, String> {
        if !is_subdomain(&self.ingress_class) {
            return Err(format!(
                "\"{}\" is not an IngressClass's name",
                self.ingress_class
            ));
        }
        Ok(IngressSelection {
            class: self.ingress_class,
            controllers: self.controller_classes,
            by_name: self.ingress_class_by_name,
            without_class: self.watch_ingress_without_class,
            namespaces: self.watch_namespace_selector.unwrap_or(Selector::EVERYTHING),
            catch_all: !self.disable_catch_all,
        })
    }
}
