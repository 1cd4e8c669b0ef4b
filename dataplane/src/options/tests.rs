use std::time::Duration;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

fn parse(flags: &[&str]) -> Result<Options, String> {
    let words = ["headgate", "--port", "eth0"].iter().chain(flags);
    Program::try_parse_from(words)
        .map(|program| program.options)
        .map_err(|error| error.to_string())
}

#[test]
fn defaults_are_valid() {
    let options = parse(&[]).unwrap();
    assert_eq!(options.ports, ["eth0"]);
    assert_eq!(
        options.source_ports,
        PortRange {
            first: 61000,
            last: 65535
        }
    );
    assert_eq!(options.frames_for(4), 4 * 2048 * 4);
    let apart = Options {
        l7_cores: Some(Cores(vec![2, 3])),
        ..options.clone()
    };
    assert_eq!(apart.frames_for(4), 4 * 2048 * 4 + 2 * 4096);
    assert_eq!(options.tcp_timeout, Duration::from_secs(124 * 60));
}

#[test]
fn each_tap_device_has_addresses_of_its_own() {
    let networks = parse(&[]).unwrap().tap_networks;
    let of = |networks: TapNetworks, number| {
        networks
            .addresses(number)
            .all()
            .map(|a| a.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(networks, 0), ["169.254.247.1", "fd7a:61c8:24be::1"]);
    assert_eq!(of(networks, 15), ["169.254.247.16", "fd7a:61c8:24be::10"]);
    let one = parse(&["--tap-networks", "10.9.8.32/27"]).unwrap().tap_networks;
    assert_eq!(of(one, 1), ["10.9.8.34"]);
    let none = parse(&["--tap-networks", "none"]).unwrap().tap_networks;
    assert_eq!(of(none, 0), [""; 0]);
}

#[test]
fn the_flow_log_and_established_flows() {
    let options = parse(&[]).unwrap();
    assert_eq!(options.established_flows, EstablishedFlows::Cut);
    let recorded = (
        options.flow_log_verdicts,
        options.flow_log_sample,
        options.flow_log_rate,
    );
    assert_eq!(recorded, (FlowLogVerdicts::Denied, 1, 1_000));
    assert_eq!(options.flow_log, None);
    let flags = [
        "--established-flows",
        "keep",
        "--flow-log",
        "-",
        "--flow-log-verdicts",
        "all",
        "--flow-log-sample",
        "100",
    ];
    let options = parse(&flags).unwrap();
    assert_eq!(options.established_flows, EstablishedFlows::Keep);
    assert_eq!(options.flow_log, Some(flow_log::Target::Stdout));
    let recorded = (options.flow_log_verdicts, options.flow_log_sample);
    assert_eq!(recorded, (FlowLogVerdicts::All, 100));
    assert!(
        parse(&["--flow-log", ""])
            .unwrap_err()
            .contains("- for standard output")
    );
}

#[test]
fn a_port_is_required() {
    let error = Program::try_parse_from(["headgate"]).unwrap_err().to_string();
    assert!(error.contains("--port <IF>"), "{error}");
}

#[test]
fn values_are_taken() {
    let flags = [
        "--cores",
        "0,2-3",
        "--ring-size",
        "512",
        "--udp-timeout",
        "250ms",
        "--mode",
        "generic",
    ];
    let options = parse(&flags).unwrap();
    assert_eq!(options.cores, Some(Cores(vec![0, 2, 3])));
    assert_eq!(options.ring_size, 512);
    assert_eq!(options.udp_timeout, Duration::from_millis(250));
    assert_eq!(options.mode, Mode::Generic);
}

#[test]
fn wrong_values_say_what_is_right() {
    let cases: [(&[&str], &str); 19] = [
        (&["--port", &"long-".repeat(26)], "at most 15 bytes"),
        (&["--port", "a b"], "no space"),
        (&["--cores", "1,x"], "\"x\" is not the number of a core"),
        (&["--cores", "1,0-2"], "core 1 stands there twice"),
        (&["--cores", "3-2"], "runs backwards"),
        (&["--tap-networks", "169.254.1.1"], "is not a network"),
        (&["--tap-networks", "169.254.1.0/28"], "fewer than 32"),
        (
            &["--tap-networks", "fd00::/64,fd01::/64"],
            "second network of its family",
        ),
        (&["--source-ports", "61000"], "such as 61000-65535"),
        (&["--source-addresses", "10.0.0.1,pod"], "no IP address"),
        (&["--source-addresses", "224.0.0.1"], "cannot answer"),
        (&["--source-addresses", "fe80::1"], "cannot answer"),
        (&["--source-ports", "80-4000"], "below 1024"),
        (&["--source-ports", "3000-2000"], "runs backwards"),
        (&["--source-ports", "3000-3001"], "fewer than 256"),
        (&["--ring-size", "1000"], "1024 is"),
        (&["--ring-size", "99999999999"], "from 64 to 2048"),
        (&["--tcp-timeout", "5"], "such as 500ms"),
        (&["--tcp-timeout", "0s"], "between 1ms"),
    ];
    for (flags, expected) in cases {
        let error = parse(flags).unwrap_err();
        assert!(error.contains(expected), "{flags:?} gave {error}");
    }
}

#[test]
fn ranges_overlap_at_their_ends() {
    let range = |first, last| PortRange { first, last };
    assert!(range(10, 20).overlaps(range(20, 30)));
    assert!(range(20, 30).overlaps(range(10, 20)));
    assert!(!range(10, 20).overlaps(range(21, 30)));
}
