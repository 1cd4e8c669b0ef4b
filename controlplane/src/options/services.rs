//! Flags about Services. Those that ingress-nginx has mean what they mean there.

use super::object_name;
use crate::compile::LoadBalancerSelection;
use crate::model::ObjectName;

const LOAD_BALANCER_CLASS: &str = "headgate.dev/load-balancer";

/// What Services get besides what Ingresses and they themselves say.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceOptions {
    /// Service whose first port takes what no rule matches, on each host and on none; while it is missing or has no
    /// endpoints, such requests are answered 404
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub default_backend_service: Option<ObjectName>,

    /// ConfigMap that gives TCP ports of the ingress addresses to Services: each key is a port, each value
    /// NAMESPACE/NAME:PORT with the number or the name of the Service's port
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub tcp_services_configmap: Option<ObjectName>,

    /// Likewise UDP ports
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub udp_services_configmap: Option<ObjectName>,

    /// Serve no Services of type ExternalName: none are in any case, so that this changes nothing
    #[arg(long)]
    pub disable_svc_external_name: bool,

    /// Services of type LoadBalancer with this spec.loadBalancerClass are served at the ingress addresses, or at their
    /// spec.loadBalancerIP, and get these as their status; empty for none
    #[arg(long, value_name = "CLASS", default_value = LOAD_BALANCER_CLASS)]
    pub load_balancer_class: String,

    /// And those that name no class
    #[arg(long)]
    pub load_balancer_without_class: bool,

    /// Ports at which the control plane itself answers, and for what.
    #[arg(skip)]
    pub reserved_ports: Vec<(u16, &'static str)>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            default_backend_service: None,
            tcp_services_configmap: None,
            udp_services_configmap: None,
            disable_svc_external_name: false,
            load_balancer_class: LOAD_BALANCER_CLASS.to_owned(),
            load_balancer_without_class: false,
            reserved_ports: Vec::new(),
        }
    }
}

impl ServiceOptions {
    /// Which load balancers are ours. The kernel's sockets balance nobody: there no Service is told that it is.
    pub(crate) fn load_balancers(&self, on_sockets: bool) -> LoadBalancerSelection {
        if on_sockets {
            return LoadBalancerSelection::default();
        }
        LoadBalancerSelection {
            class: Some(self.load_balancer_class.clone()).filter(|class| !class.is_empty()),
            without_class: self.load_balancer_without_class,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parsed(flags: &[&str]) -> Result<ServiceOptions, String> {
        let command = ServiceOptions::augment_args(Command::new("controlplane"));
        let matches = command.try_get_matches_from(["controlplane"].iter().chain(flags));
        let matches = matches.map_err(|error| error.to_string())?;
        ServiceOptions::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn load_balancers_are_ours_by_class_and_nobodys_on_sockets() {
        let ours = |flags: &[&str], on_sockets| {
            let selection = parsed(flags).expect("flags").load_balancers(on_sockets);
            (selection.class, selection.without_class)
        };
        let default = Some("headgate.dev/load-balancer".to_owned());
        assert_eq!(ours(&[], false), (default, false));
        let all = &[
            "--load-balancer-class=example.com/edge",
            "--load-balancer-without-class",
        ];
        assert_eq!(ours(all, false), (Some("example.com/edge".to_owned()), true));
        assert_eq!(ours(&["--load-balancer-class="], false), (None, false));
        assert_eq!(ours(all, true), (None, false));
    }

    #[test]
    fn names_have_a_namespace() {
        let flags = [
            "default-backend-service",
            "tcp-services-configmap",
            "udp-services-configmap",
        ];
        for flag in flags {
            assert!(parsed(&[&format!("--{flag}=edge/name")]).is_ok());
            let error = parsed(&[&format!("--{flag}=name")]).expect_err("no namespace");
            assert!(error.contains("must be NAMESPACE/NAME"), "{error}");
        }
        assert!(parsed(&["--disable-svc-external-name"]).is_ok());
    }
}
