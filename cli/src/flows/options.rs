//! The flags of `headgate flows`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headgate_dataplane::telemetry::flow_log::{EndFilter, Filter, LabelFilter, Query, Verdict};

/// Lines shown where nothing else is asked for.
const LAST: usize = 20;

pub(crate) const EXAMPLES: &str = "\
Examples:
  headgate flows                                          the last 20 decisions that were recorded
  headgate flows --follow --verdict denied                denials as they happen: who, to whom, which policy
  headgate flows --last 1000 --to shop/web-1 --port 8080  what was decided about one pod's port
  headgate flows --follow --from 203.0.113.0/24 --format json | jq -c '[.verdict, .policies]'

A filter that is given several times takes what any of them takes; several filters take what all of them take.
Denials are recorded all the time, allowed flows only while somebody follows who wants them (or with
`--flow-log-verdicts all`). A client that is denied again and again has one line every ten seconds, which says how often.";

/// `headgate flows`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FlowsOptions {
    /// Go on with what is decided from now on
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Begin with so many of the newest lines that the gateway still has [default: 20, with --follow 0]
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Only these decisions
    #[arg(long, value_enum)]
    verdict: Option<VerdictChoice>,
    /// Only from this namespace/pod, namespace, address or CIDR
    #[arg(long, value_name = "WHO")]
    from: Vec<EndFilter>,
    /// Only to this namespace/pod, namespace, address or CIDR
    #[arg(long, value_name = "WHO")]
    to: Vec<EndFilter>,
    /// Only to this port of a pod, Service or listener
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// Only of this protocol
    #[arg(long, value_enum)]
    protocol: Vec<ProtocolChoice>,
    /// Only what this policy decided: namespace/name, or a name in any namespace or of a ClusterNetworkPolicy
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Only where the source or the destination has this label, or a label with this key
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<LabelFilter>,
    /// How lines are printed
    #[arg(long, value_enum, default_value_t = FlowsFormat::Text)]
    pub(crate) format: FlowsFormat,
    /// Where the sockets of the gateway to ask are
    #[arg(long, value_name = "DIR", default_value_os_t = headgate_ring::default_run_dir())]
    pub(crate) run_dir: PathBuf,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlowsFormat {
    /// For people: one line each
    Text,
    /// One JSON object a line, as docs/flow-log.md describes
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VerdictChoice {
    /// Let through
    Allowed,
    /// Dropped, answered 403, or cut
    Denied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolChoice {
    /// TCP, HTTP included
    Tcp,
    /// UDP
    Udp,
}

impl FlowsOptions {
    /// The question that the flags make.
    pub(crate) fn query(&self) -> Query {
        let verdict = |choice| match choice {
            VerdictChoice::Allowed => Verdict::Allowed,
            VerdictChoice::Denied => Verdict::Denied,
        };
        let protocol = |choice: &ProtocolChoice| match choice {
            ProtocolChoice::Tcp => "TCP".to_owned(),
            ProtocolChoice::Udp => "UDP".to_owned(),
        };
        Query {
            last: Some(self.last.unwrap_or(if self.follow { 0 } else { LAST })),
            follow: self.follow,
            filter: Filter {
                verdict: self.verdict.map(verdict),
                from: self.from.clone(),
                to: self.to.clone(),
                ports: self.port.clone(),
                protocols: self.protocol.iter().map(protocol).collect(),
                policies: self.policy.clone(),
                labels: self.label.clone(),
            },
        }
    }
}
