//! Measures Headgate on the virtual network of `headgate-lab`, next to what others make of the same bed.
#![forbid(unsafe_code)]

mod bed;
mod forwarder;
mod goodput;
mod handshakes;
mod http;
mod kubernetes;
mod l4;
mod metrics;
mod policy;
mod report;
mod traffic;
mod transfer;

use clap::Parser;

/// Measures Headgate: see bench/README.md for what each figure means
#[derive(Parser)]
#[command(version)]
enum Bench {
    /// Packets a second of a UDP Service, next to a plain forwarder
    L4(l4::L4Options),
    /// HTTP requests a second and processor time for each, next to haproxy and nginx
    Http(http::HttpOptions),
    /// Downloads and uploads over lines that delay, lose and reorder, next to haproxy and nginx
    Goodput(goodput::GoodputOptions),
    /// Large downloads and uploads over TLS with no delay, next to haproxy and nginx
    Transfer(transfer::TransferOptions),
    /// How long datagrams of a Service take while many clients shake hands over TLS
    Handshakes(handshakes::HandshakeOptions),
    /// Times of an echo with and without a scrape of the metrics each second, and what a scrape takes
    Metrics(metrics::MetricsOptions),
    /// Until what the API of a large cluster says is in force, and what it takes of memory
    Kubernetes(kubernetes::KubernetesOptions),
    /// Decisions on new connections, next to nftables, DPDK's ACL library and a linear list
    Policy(policy::PolicyOptions),
    /// The plain forwarder itself
    Forward(forwarder::ForwarderOptions),
}

fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::L4(options) => l4::run(&options),
        Bench::Http(options) => http::run(&options),
        Bench::Goodput(options) => goodput::run(&options),
        Bench::Transfer(options) => transfer::run(&options),
        Bench::Handshakes(options) => handshakes::run(&options),
        Bench::Metrics(options) => metrics::run(&options),
        Bench::Kubernetes(options) => kubernetes::run(&options),
        Bench::Policy(options) => policy::run(&options),
        Bench::Forward(options) => forwarder::run(&options),
    }
}
