//! Headgate from end to end: real clients, real servers, a lab of namespaces between them.
//!
//! Each test has a lab of its own. They need root, and run one at a time: their load would disturb each other's.

mod balancer;
mod changes;
mod cluster;
mod cni;
mod commands;
mod counts;
mod crowds;
mod draining;
mod fairness;
mod flapping;
mod flood;
mod flows;
mod framing;
#[allow(dead_code, reason = "some of it is for parsers alone")]
#[path = "../framing/table.rs"]
mod framing_table;
mod grpc;
mod host;
mod http;
mod http2;
mod l7_cores;
mod load;
mod lossy;
mod malformed;
mod policy;
mod policy_tools;
mod probe;
mod random_walk;
mod resilience;
mod rolling;
mod services;
mod source_ports;
mod support;
mod tls;
mod transfers;
#[allow(dead_code, reason = "some of it is for the test `policy`")]
#[path = "../policy/truth/mod.rs"]
mod truth;
mod truth_tables;
