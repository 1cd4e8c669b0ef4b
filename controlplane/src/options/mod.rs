//! Flags of the control plane.

mod ingresses;
mod services;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::ObjectName;
pub use ingresses::IngressOptions;
pub use services::ServiceOptions;

/// What the control plane needs to know.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Directory of Kubernetes manifests (*.yaml, *.yml, *.json), watched with its sub-directories
    // The two others are flags of who can follow a cluster.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["kubernetes", "kubeconfig"])]
    pub manifests: Option<PathBuf>,

    /// Do not begin to serve while there is a file of which it is not known what it holds: one that cannot be read or
    /// parsed, or a document without a usable name. Without this flag all else is served, and a policy in such a file does
    /// not hold: what it forbids is allowed. Once serving, the last good state of each file stays in force either way
    #[arg(long)]
    pub strict_manifests: bool,

    /// Directory of the sockets by which the two planes and `headgate status` meet
    #[arg(long, value_name = "DIR", default_value_os_t = headgate_ring::default_run_dir())]
    pub run_dir: PathBuf,

    /// At SIGTERM, go on until the dataplane has ended, but no longer than this: for where both are asked at once, as in a pod
    /// of two containers. Pods come and go while it drains. 0s: end at once
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = wait_time)]
    pub wait_for_dataplane: Duration,

    /// Address where Ingresses are served; may be given several times, for IPv4 and IPv6
    #[arg(long = "ingress-address", value_name = "ADDR")]
    pub ingress_addresses: Vec<IpAddr>,

    /// Port of HTTP at each ingress address; 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    pub http_port: u16,

    /// Port of HTTPS at each ingress address; 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub https_port: u16,

    /// Networks of balancers in front of the ingress addresses: connections from there begin with a header of the PROXY
    /// protocol (version 1 or 2), which says who the client is; such a header from anywhere else is no request. Several by
    /// commas
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub proxy_protocol_from: Vec<IpNet>,

    /// Which Ingresses to serve.
    #[command(flatten)]
    pub ingresses: IngressOptions,

    /// What Services get besides Ingresses.
    #[command(flatten)]
    pub services: ServiceOptions,

    /// Whether HTTP requests to hosts with TLS are sent to HTTPS where their Ingress has no annotation
    /// nginx.ingress.kubernetes.io/ssl-redirect
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub ssl_redirect: bool,

    /// Send requests to endpoints on loopback addresses, which only a dataplane with --port kernel can reach; `headgate run
    /// --port kernel` sets it
    #[arg(long)]
    pub loopback_endpoints: bool,

    /// TLS Secret for clients that name no host or an unknown one, instead of a self-signed certificate
    #[arg(long, alias = "default-ssl-certificate", value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub default_certificate: Option<ObjectName>,
}

/// A time such as `30s`, `5m` or `0s`.
fn wait_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let time = seconds.and_then(|unit| number.parse::<u64>().ok()?.checked_mul(unit));
    time.filter(|seconds| *seconds <= 24 * 3600)
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a time from 0s to 24h, as in 30s".to_owned())
}

/// A network, or an address for one of its own.
fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || "must be a network or an address, as in 10.0.0.0/8".to_owned();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| wrong())?;
    if network.trunc() != network {
        return Err(format!(
            "{text} has bits behind its prefix: {} is the network",
            network.trunc()
        ));
    }
    Ok(network)
}

/// `NAMESPACE/NAME`, as flags give it.
///
/// # Errors
///
/// What it must be.
pub fn object_name(text: &str) -> Result<ObjectName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectName::new(namespace, name))
        }
        _ => Err("must be NAMESPACE/NAME, as in shop/web".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn balancers_are_networks_or_addresses() {
        for (text, network_or_error) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            (
                "10.0.0.1/8",
                "10.0.0.1/8 has bits behind its prefix: 10.0.0.0/8 is the network",
            ),
            ("10.0.0.0/33", "must be a network or an address, as in 10.0.0.0/8"),
            ("", "must be a network or an address, as in 10.0.0.0/8"),
        ] {
            let got = network(text).map_or_else(|error| error, |network| network.to_string());
            assert_eq!(got, network_or_error, "{text:?}");
        }
    }
}
