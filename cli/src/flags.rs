//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headgate_lab::pod::PodCommand;
use headgate_net::flow::FlowState;
use ipnet::IpNet;

use crate::flows::FlowsOptions;
use crate::log::LogFlags;
use crate::run::RunOptions;

const EXAMPLES: &str = "\
Examples:
  headgate demo                                      see it work, in a network of its own
  headgate demo --port kernel                        see its HTTP side work, in seconds and without root
  headgate run --manifests ./manifests --port eth0   serve what the manifests in a directory say
  headgate status                                    what the running gateway does
  headgate status --json | jq .generation
  headgate flows --follow --verdict denied           who is denied what, and by which policy
  headgate policy check --manifests ./manifests --from shop/web --to shop/db --port 5432";

const RUN_EXAMPLES: &str = "\
Examples:
  One interface, everything from one directory of Kubernetes YAML:
    headgate run --manifests ./manifests --port eth0 --ingress-address 198.51.100.10

  Clients on one interface, pods behind another, IPv4 and IPv6:
    headgate run --manifests ./manifests --port eth0 --port eth1 \\
        --ingress-address 198.51.100.10 --ingress-address 2001:db8:f::10

  Without interfaces and privileges, Ingresses alone, on the kernel's sockets at all addresses of this host:
    headgate run --manifests ./manifests --port kernel --http-port 8080 --https-port 8443

Only packets for the addresses of Services and Ingresses are taken from the interfaces; everything else, such as
SSH to this machine, goes to the kernel as before. SIGINT or SIGTERM ends both planes and releases the interfaces.";

const STATUS_EXAMPLES: &str = "\
Examples:
  headgate status
  headgate status routes                  every route of HTTP requests, the busiest first
  headgate status upstreams --json
  headgate status flows --state tcp-opening --top 20   who opens connections that nobody answers
  headgate status flows --service shop/echo --by packets
  headgate status --json | jq .totals.drops
  watch -n1 headgate status";

/// A gateway for Kubernetes ingress nodes: NetworkPolicy, Services and Ingress on packets straight from the NIC
#[derive(Debug, Parser)]
#[command(name = "headgate", version, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) log: LogFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

// One value a process: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway in the foreground: both planes, each started again when it dies
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunOptions),
    /// Show what the running gateway does: ports, listeners, flows, counters, drops by reason
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusOptions),
    /// Ask who may connect to whom, and why: of a directory of manifests, or of the running gateway
    Policy(headgate_policy::PolicyQuestion),
    /// Show which flows and requests were allowed and denied, by which policy, as they come or as they were
    #[command(after_help = crate::flows::EXAMPLES)]
    Flows(FlowsOptions),
    /// Show it at work: a network of namespaces, example manifests, real clients and servers
    Demo(DemoOptions),
    /// Run the dataplane alone: it carries packets and holds no credentials of a cluster
    Dataplane(headgate_dataplane::Options),
    /// Run the control plane alone: it reads manifests and needs no network privileges
    Controlplane(headgate_kubernetes::PlaneOptions),
    /// Parts of the demo's network
    #[command(subcommand, hide = true)]
    Lab(LabCommand),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusOptions {
    /// Print the dataplane's whole report, or the part asked for, as one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the sockets of the gateway to ask are
    #[arg(long, value_name = "DIR", default_value_os_t = headgate_ring::default_run_dir(), global = true)]
    pub(crate) run_dir: PathBuf,
    /// A part of it alone
    #[command(subcommand)]
    pub(crate) of: Option<StatusOf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StatusOf {
    /// Every Service's port: flows, packets and bytes each way, and who was refused
    Services,
    /// Every route of HTTP requests: requests, errors, times and bytes
    Routes,
    /// Every upstream, a Service's port as routes lead to it: requests, retries, failures and times
    Upstreams,
    /// The flows of Services that are followed now: ends, state, packets and bytes each way
    Flows(FlowFilter),
}

/// A filter that is given several times takes what any of them takes; several filters take what all of them take.
#[derive(Clone, Debug, Args)]
pub(crate) struct FlowFilter {
    /// Only of this protocol
    #[arg(long, value_parser = ["tcp", "udp"])]
    pub(crate) protocol: Vec<String>,
    /// Only in this state
    #[arg(long, value_parser = FlowState::ALL.map(FlowState::name))]
    pub(crate) state: Vec<String>,
    /// Only from this client or network
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = network)]
    pub(crate) from: Vec<IpNet>,
    /// Only to this Service's address, pod or network of either
    #[arg(long, value_name = "ADDRESS|CIDR", value_parser = network)]
    pub(crate) to: Vec<IpNet>,
    /// Only to this port of a Service or pod
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Vec<u16>,
    /// Only of this Service, namespace/name, or of all Services of a namespace
    #[arg(long, value_name = "SERVICE")]
    pub(crate) service: Vec<String>,
    /// Show no more than so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) top: usize,
    /// Which flows come first: those with the most bytes or packets, both directions together, or the longest idle
    #[arg(long, value_enum, default_value_t = FlowOrderChoice::Bytes)]
    pub(crate) by: FlowOrderChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlowOrderChoice {
    Bytes,
    Packets,
    Idle,
}

fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().map(|net| net.trunc());
    net.or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is no address and no CIDR"))
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoOptions {
    /// Leave manifests and logs in this directory instead of removing them
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// On the kernel's sockets of this machine's loopback: without root, namespaces and interfaces
    #[arg(long, value_enum)]
    pub(crate) port: Option<DemoPort>,
}

/// What the demo can do without a network of its own.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum DemoPort {
    /// HTTP on the kernel's sockets
    Kernel,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Run one pod's server
    Pod(PodCommand),
    /// Remove what labs of dead processes left behind
    #[cfg(target_os = "linux")]
    Sweep,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::log::LogFormat;

    fn parse(line: &str) -> Result<Flags, String> {
        Flags::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn run_wants_ports_and_manifests() {
        let error = parse("headgate run").unwrap_err();
        assert!(
            error.contains("--port <IF>") && error.contains("--manifests <DIR>"),
            "{error}"
        );
    }

    #[test]
    fn log_flags_stand_before_or_after_the_command() {
        for line in [
            "headgate --log-format json status",
            "headgate status --log-format json",
        ] {
            assert_eq!(parse(line).unwrap().log.log_format, LogFormat::Json, "{line}");
        }
    }

    #[test]
    fn a_value_out_of_range_names_flag_and_range() {
        let error = parse("headgate run --manifests . --port a0 --workers 0").unwrap_err();
        assert!(error.contains("--workers") && error.contains("1..=64"), "{error}");
    }

    /// The paths that the examples of a help text give to jq, as JSON pointers.
    fn jq_paths(help: &str) -> Vec<String> {
        let expressions = help.split("| jq ").skip(1);
        expressions
            .map(|rest| {
                let path = rest.lines().next().unwrap_or_default();
                path.trim().trim_matches('\'').replace('.', "/")
            })
            .collect()
    }

    #[test]
    fn what_the_examples_ask_of_the_status_is_there() {
        let status = serde_json::to_value(headgate_dataplane::telemetry::Status::default()).unwrap();
        let paths: Vec<_> = [EXAMPLES, RUN_EXAMPLES, STATUS_EXAMPLES].map(jq_paths).concat();
        assert_eq!(paths, ["/generation", "/totals/drops"]);
        for path in paths {
            assert!(status.pointer(&path).is_some(), "{path} in {status}");
        }
    }

    #[test]
    fn help_shows_both_planes_flags_and_examples() {
        let mut command = Flags::command();
        let help = command
            .find_subcommand_mut("run")
            .unwrap()
            .render_help()
            .to_string();
        for expected in [
            "--port <IF>",
            "--manifests <DIR>",
            "--ingress-address",
            "Examples:",
            "--run-dir <DIR>",
        ] {
            assert!(help.contains(expected), "{expected} in {help}");
        }
        assert_eq!(help.matches("--run-dir").count(), 1, "{help}");
    }
}
