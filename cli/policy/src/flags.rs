//! The command line of `headgate policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use headgate_ring::message::Protocol;
use serde::Serialize;

use super::ends::{self, GivenPort};

const CHECK_EXAMPLES: &str = "\
Examples:
  One connection:
    headgate policy check --manifests ./manifests --from shop/web --to shop/db --port 5432
    headgate policy check --from 203.0.113.9 --to shop/web --port http

  Many, a JSON line each, answered by a JSON line each:
    echo '{\"from\":\"shop/web\",\"to\":\"shop/db\",\"protocol\":\"TCP\",\"port\":5432}' |
        headgate policy check --manifests ./manifests --queries -

Exit code: 0 allowed, or with --queries all answered; 1 denied; 2 something could not be answered.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  headgate policy explain --manifests ./manifests shop/db
  headgate policy explain shop/db --format json | jq '.ingress.connections[] | select(.allowed)'";

const REACH_EXAMPLES: &str = "\
Examples:
  headgate policy reach --manifests ./manifests
  headgate policy reach --manifests ./manifests --port 443 --port UDP:53 --by namespace
  headgate policy reach --namespace shop --format html --output reach.html

A table or picture has at most 250 rows, JSON 2,000. Pods of the host's network are not shown: policies see their node.";

const DIFF_EXAMPLES: &str = "\
Examples:
  What a change of manifests does:
    headgate policy diff ./manifests.before ./manifests

  What applying a directory would change at the running gateway:
    headgate policy diff ./manifests

Exit code: 0 no difference, 1 differences, 2 the states could not be compared.";

const LINT_EXAMPLES: &str = "\
Examples:
  headgate policy lint --manifests ./manifests
  headgate policy lint --format json | jq '.findings[] | select(.severity == \"error\")'

Checks:
  manifest      (error, warning) what the control plane says about manifests of pods, nodes and policies
  no-subjects   (warning) the policy selects nothing
  no-ports      (warning) the rule never matches: its ports are names that no container has
  empty-peer    (warning, info) a peer selects nothing; a warning where the rule has no other
  shadowed      (warning, info) another rule decides all that this one matches; info: with the pods of today
  unreached     (info) a Baseline policy all of whose pods NetworkPolicies isolate
  unused-port   (warning) the rule accepts a port that no container has
  no-dns        (warning, info) pods reach no DNS server by UDP 53; info: by TCP 53
  host-network  (warning) a selector asks for the labels of a pod that no policy can select; of manifests only

Exit code: 0 nothing but info, 1 warnings or errors, 2 could not look.";

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Whether connections are allowed, and which end and policy decides
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckOptions),
    /// What reaches a pod, what it reaches, and which rules say so
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainOptions),
    /// Who may connect to whom, as a matrix: a table, a picture, or JSON
    #[command(after_help = REACH_EXAMPLES)]
    Reach(ReachOptions),
    /// What in the policies is probably not as it was meant
    #[command(after_help = LINT_EXAMPLES)]
    Lint(LintOptions),
    /// Which connections two directories of manifests differ in, or a running gateway and a directory
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffOptions),
}

/// Whose policies are asked about.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceFlags {
    /// Ask about the Kubernetes manifests (*.yaml, *.yml, *.json) of this directory, offline, not about a running
    /// gateway
    #[arg(long, value_name = "DIR", conflicts_with = "run_dir")]
    pub(crate) manifests: Option<PathBuf>,
    /// Where the sockets of the running gateway to ask are
    #[arg(long, value_name = "DIR", default_value_os_t = headgate_ring::default_run_dir())]
    pub(crate) run_dir: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) source: SourceFlags,
    /// Questions, a JSON object a line with \"from\", \"to\", \"protocol\" and \"port\"; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "port", "protocol"])]
    pub(crate) queries: Option<PathBuf>,
    /// Who connects: NAMESPACE/POD, a node, or an address
    #[arg(long, value_name = "END", required_unless_present = "queries")]
    pub(crate) from: Option<String>,
    /// To whom: NAMESPACE/POD, a node, or an address
    #[arg(long, value_name = "END", required_unless_present = "queries")]
    pub(crate) to: Option<String>,
    /// The destination port, by number or by the name that it has at the pod
    #[arg(long, value_name = "PORT", required_unless_present = "queries", value_parser = GivenPort::parse)]
    pub(crate) port: Option<GivenPort>,
    /// TCP, UDP or SCTP
    #[arg(long, value_name = "PROTOCOL", default_value = "TCP", value_parser = ends::protocol)]
    pub(crate) protocol: Protocol,
    /// How the answer on one connection is written; answers to --queries are JSON lines
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "queries")]
    pub(crate) format: Format,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainOptions {
    #[command(flatten)]
    pub(crate) source: SourceFlags,
    /// The pod, or a node, or an address
    #[arg(value_name = "NAMESPACE/POD")]
    pub(crate) pod: String,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReachOptions {
    #[command(flatten)]
    pub(crate) source: SourceFlags,
    /// What a row stands for [default: the finest that makes no more than 50 of them]
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Only pods of this namespace; may be given several times
    #[arg(long = "namespace", value_name = "NAME")]
    pub(crate) namespaces: Vec<String>,
    /// Only this port, as in 443 or UDP:53; may be given several times [default: all ports]
    #[arg(long = "port", value_name = "[PROTOCOL:]PORT", value_parser = ends::protocol_port)]
    pub(crate) ports: Vec<(Protocol, u16)>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = ReachFormat::Table)]
    pub(crate) format: ReachFormat,
    /// Write it to this file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DiffOptions {
    /// Directories of Kubernetes manifests, the old one first; with one alone, the running gateway is the old state
    #[arg(value_name = "DIR", required = true, num_args = 1..=2)]
    pub(crate) states: Vec<PathBuf>,
    /// Where the sockets of the running gateway are
    #[arg(long, value_name = "DIR", default_value_os_t = headgate_ring::default_run_dir())]
    pub(crate) run_dir: PathBuf,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LintOptions {
    #[command(flatten)]
    pub(crate) source: SourceFlags,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// Each pod
    Pod,
    /// The pods of a namespace that have the same labels, but for those that number them
    Workload,
    /// Each namespace
    Namespace,
}

/// How the matrix is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReachFormat {
    /// For terminals
    Table,
    /// For programs
    Json,
    /// A picture
    Svg,
    /// A page with the picture, and what it leaves open in words
    Html,
}

/// For whom results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}
