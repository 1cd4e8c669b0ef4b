//! Flags about what is written back to a cluster. Those that ingress-nginx has mean what they mean there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::{Publish, StatusAddress, WritingOptions};
use headgate_controlplane::model::ObjectName;
use headgate_controlplane::model::name::is_subdomain;
use headgate_controlplane::object_name;

/// What to write back to the cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct StatusOptions {
    /// Write the addresses at which clients reach Ingresses to their status.loadBalancer
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub update_status: bool,

    /// Take these addresses back when the last gateway of several ends
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub update_status_on_shutdown: bool,

    /// The addresses are these: addresses and host names, separated by commas [default: those of --ingress-address, or else
    /// of the nodes on which this gateway's pods are ready]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = status_address,
        conflicts_with = "publish_service"
    )]
    pub publish_status_address: Vec<StatusAddress>,

    /// The addresses are those of this Service, which leads to the gateway
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub publish_service: Option<ObjectName>,

    /// Of a node, take the internal address also where it has an external one
    #[arg(long)]
    pub report_node_internal_ip_address: bool,

    /// Name of the Lease that decides which of several gateways writes
    #[arg(long, value_name = "NAME", default_value = "headgate-leader", value_parser = lease_name)]
    pub election_id: String,

    /// How long that Lease holds without being renewed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = lease_time)]
    pub election_ttl: Duration,
}

impl Default for StatusOptions {
    fn default() -> Self {
        Self {
            update_status: true,
            update_status_on_shutdown: true,
            publish_status_address: Vec::new(),
            publish_service: None,
            report_node_internal_ip_address: false,
            election_id: "headgate-leader".to_owned(),
            election_ttl: Duration::from_secs(30),
        }
    }
}

/// Who writes: the pod, by the variables that its manifest sets, or a process elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// `POD_NAME` in `POD_NAMESPACE`.
    pub(crate) pod: Option<ObjectName>,
    /// Of a process that is in no pod.
    pub(crate) host: String,
}

impl Identity {
    /// Where the gateway keeps what is its own.
    pub(crate) fn namespace(&self) -> &str {
        self.pod.as_ref().map_or("default", |pod| pod.namespace.as_str())
    }

    /// As the environment has it.
    pub(crate) fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let pod = variable("POD_NAMESPACE").zip(variable("POD_NAME"));
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            pod: pod.map(|(namespace, name)| ObjectName::new(namespace, name)),
            host: format!("{node}-{}", std::process::id()),
        }
    }
}

impl StatusOptions {
    /// What to write for a gateway whose Ingresses are served at `ingress`.
    pub(crate) fn writing(self, identity: &Identity, ingress: &[IpAddr]) -> WritingOptions {
        WritingOptions {
            lease: ObjectName::new(identity.namespace(), &self.election_id),
            identity: identity
                .pod
                .as_ref()
                .map_or_else(|| identity.host.clone(), |pod| pod.name.to_string()),
            pod: identity.pod.clone(),
            ttl: self.election_ttl,
            clear_on_end: self.update_status_on_shutdown,
            publish: self
                .update_status
                .then(|| self.publish(identity, ingress))
                .flatten(),
        }
    }

    fn publish(self, identity: &Identity, ingress: &[IpAddr]) -> Option<Publish> {
        if let Some(service) = self.publish_service {
            return Some(Publish::Service(service));
        }
        // To ingress-nginx an empty list is none.
        let given = self.publish_status_address.into_iter();
        let written: BTreeSet<_> = given
            .filter(|address| *address != StatusAddress::Host(String::new()))
            .collect();
        if !written.is_empty() {
            return Some(Publish::Fixed(written));
        }
        // Where the gateway has addresses of its own, clients connect to these, and not to those of its nodes.
        let known = ingress.iter().filter(|address| !address.is_unspecified());
        let addresses: BTreeSet<_> = known
            .map(|address| StatusAddress::of(&address.to_string()))
            .collect();
        let internal = self.report_node_internal_ip_address;
        match &identity.pod {
            None if addresses.is_empty() => None,
            None => Some(Publish::Fixed(addresses)),
            Some(pod) if addresses.is_empty() => Some(Publish::Nodes {
                pod: pod.clone(),
                internal,
            }),
            Some(pod) => Some(Publish::Ingress {
                addresses,
                pod: pod.clone(),
                internal,
            }),
        }
    }
}

/// What the API takes for an `ip` or a `hostname` of a status.
fn status_address(text: &str) -> Result<StatusAddress, String> {
    match StatusAddress::of(text.trim()) {
        StatusAddress::Host(name) if !name.is_empty() && !is_subdomain(&name) => Err(
            "must be addresses and host names, separated by commas, as in 192.0.2.1,gw.example.com"
                .to_owned(),
        ),
        address => Ok(address),
    }
}

fn lease_name(text: &str) -> Result<String, String> {
    if is_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err("must be lower case letters, digits, - and ., as in headgate-leader".to_owned())
    }
}

/// A time such as `30s` or `2m`, of which a quarter is long enough to ask the API server.
fn lease_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        _ => 0,
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
    {
        Some(seconds @ 4..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a time from 4s to 60m, as in 30s".to_owned()),
    }
}
