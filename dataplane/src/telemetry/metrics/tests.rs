use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use headgate_net::record::{
    Class, Histogram, QueueCount, RouteCount, ServiceCount, Snapshot, UpstreamCount, UpstreamGauge,
    WorkerRecord,
};
use headgate_net::verdict::Reason;

use super::*;
use crate::telemetry::{
    Answers, DecisionStatus, DenialStatus, FlowList, FlowQuery, HttpRouteStatus, PolicyState, PortStatus,
    Question, QueueStatus, ServiceStatus, Status, UpstreamStatus, WorkerStatus,
};

mod independent;
mod parser;

use parser::Parsed;

/// A status in which everything occurs, with labels that need escapes.
fn status() -> Status {
    let record = WorkerRecord::default();
    record.drops.add(Reason::Denied, 3);
    record.l7.requests.add(Class::Success, 7);
    for us in [0, 1, 5, 5_000, 80_000_000] {
        record.l7.latency.record(std::time::Duration::from_micros(us));
    }
    let mut status = Status {
        version: "1.2.3".into(),
        uptime_seconds: 42,
        ports: vec![PortStatus {
            name: "eth\"0\\".into(),
            steering: [("redirected".to_owned(), 9)].into(),
            ..PortStatus::default()
        }],
        services: vec![ServiceStatus {
            name: "shop/echo".into(),
            protocol: "udp".into(),
            address: "[2001:db8:f::11]:7".parse().unwrap(),
            backends: 2,
            counts: Snapshot::of(|id: ServiceCount| id as u64 + 1),
        }],
        http_routes: vec![
            route("shop/web", "/\"a\\b\n", 3),
            HttpRouteStatus {
                conditions: "POST header:x=~.*".into(),
                ..route("shop/web", "/", 5)
            },
            route("shop/idle", "/", 0),
        ],
        upstreams: vec![
            upstream(4),
            UpstreamStatus {
                name: "shop/idle:80".into(),
                ..UpstreamStatus::default()
            },
        ],
        denials: vec![DenialStatus {
            policy: "a\nb".into(),
            direction: "ingress".into(),
            packets: 5,
        }],
        ..Status::default()
    };
    let worker = |number| WorkerStatus {
        worker: number,
        queues: vec![QueueStatus {
            queue: number.into(),
            counts: Snapshot::of(|id| if id == QueueCount::Received { 11 } else { 0 }),
            ..QueueStatus::default()
        }],
        ..WorkerStatus::of(&record)
    };
    status.set_workers(vec![worker(0), worker(1)]);
    status
}

/// A route with so many requests of class 2xx.
fn route(ingress: &str, path: &str, requests: u64) -> HttpRouteStatus {
    HttpRouteStatus {
        ingress: ingress.into(),
        host: "*.example.com".into(),
        path: path.into(),
        path_type: "Prefix".into(),
        upstreams: vec!["shop/web:80".into()],
        requests: Snapshot::of(|id| if id == Class::Success { requests } else { 0 }),
        counts: Snapshot::of(|id: RouteCount| 10 * id as u64),
        total_microseconds: 1_500_000,
        ..HttpRouteStatus::default()
    }
}

/// An upstream with so many requests, of which each took 3 ms.
fn upstream(requests: u64) -> UpstreamStatus {
    let record = headgate_net::record::UpstreamRecord::default();
    record.counts.add(UpstreamCount::Requests, requests);
    record.now.set(UpstreamGauge::Active, 2);
    (0..requests).for_each(|_| record.latency.record(std::time::Duration::from_millis(3)));
    UpstreamStatus {
        name: "shop/web:80".into(),
        counts: record.counts.snapshot(),
        now: record.now.snapshot(),
        latency: record.latency.snapshot(),
    }
}

/// Answers with [`status`].
struct Desk(Result<(), String>);

impl Answers for Desk {
    fn status(&self) -> Status {
        status()
    }
    fn ready(&self) -> Result<(), String> {
        self.0.clone()
    }
    fn policy(&self) -> PolicyState {
        PolicyState::default()
    }
    fn decide(&self, question: &Question) -> DecisionStatus {
        DecisionStatus::of(&headgate_net::policy::Compiled::default(), 0, question)
    }
    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String> {
        match query.top {
            Some(0) => Err("no flows here".to_owned()),
            _ => Ok(FlowList::default()),
        }
    }
}

fn serve(ready: Result<(), String>) -> MetricsServer {
    MetricsServer::start("127.0.0.1:0".parse().unwrap(), Arc::new(Desk(ready)), Vec::new()).unwrap()
}

fn ask(server: &MetricsServer, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn get(server: &MetricsServer, path: &str, headers: &str) -> (String, String) {
    ask(
        server,
        &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"),
    )
}

#[test]
fn both_formats_hold_to_their_specifications() {
    let families = families(&status(), &[]);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = format.render(&families);
        let parsed = Parsed::parse(&text, format).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let value = |name: &str, labels: &[(&str, &str)]| parsed.value(name, labels);
        assert_eq!(
            value("headgate_packets_dropped_total", &[("reason", "denied")]),
            Some(6.0)
        );
        assert_eq!(
            value("headgate_packets_dropped_total", &[("reason", "no-flow")]),
            Some(0.0)
        );
        assert_eq!(
            value("headgate_http_requests_total", &[("class", "2xx")]),
            Some(14.0)
        );
        assert_eq!(value("headgate_uptime_seconds", &[]), Some(42.0));
        assert_eq!(
            value(
                "headgate_policy_denied_packets_total",
                &[("policy", "a\nb"), ("direction", "ingress")]
            ),
            Some(5.0)
        );
        assert_eq!(
            value(
                "headgate_queue_received_total",
                &[("port", "eth\"0\\"), ("queue", "1")]
            ),
            Some(11.0)
        );
        assert_eq!(
            value("headgate_http_request_duration_seconds_count", &[]),
            Some(10.0)
        );
        assert_eq!(
            value(
                "headgate_http_request_duration_seconds_bucket",
                &[("le", "8e-06")]
            ),
            Some(6.0)
        );
        assert_eq!(
            value("headgate_http_request_duration_seconds_bucket", &[("le", "+Inf")]),
            Some(10.0)
        );
        objects_are_told(&parsed);
        assert_eq!(
            parsed.samples_of("headgate_http_request_duration_seconds_bucket"),
            Histogram::BUCKETS
        );
    }
}

/// What [`status`] says of a Service, routes and an upstream.
fn objects_are_told(parsed: &Parsed) {
    let service = [
        ("namespace", "shop"),
        ("service", "echo"),
        ("protocol", "udp"),
        ("address", "[2001:db8:f::11]:7"),
    ];
    assert_eq!(parsed.value("headgate_service_backends", &service), Some(2.0));
    assert_eq!(
        parsed.value("headgate_service_received_bytes_total", &service),
        Some(3.0)
    );
    let route = |path| {
        vec![
            ("namespace", "shop"),
            ("ingress", "web"),
            ("host", "*.example.com"),
            ("path", path),
            ("path_type", "Prefix"),
        ]
    };
    let odd = route("/\"a\\b\n");
    let of_class = [&odd[..], &[("class", "2xx")]].concat();
    let conditions = [("conditions", "POST header:x=~.*"), ("class", "2xx")];
    let other = [&route("/")[..], &conditions].concat();
    for (name, labels, value) in [
        ("requests_total", &of_class, 3.0),
        ("request_duration_seconds_count", &odd, 3.0),
        ("request_duration_seconds_sum", &odd, 1.5),
        ("response_body_bytes_total", &odd, 10.0),
        ("requests_total", &other, 5.0),
    ] {
        let name = format!("headgate_route_{name}");
        assert_eq!(parsed.value(&name, labels), Some(value), "{name}");
    }
    // The idle one has none.
    assert_eq!(parsed.samples_of("headgate_route_requests_total"), 2);
    let upstream = [("namespace", "shop"), ("service", "web"), ("port", "80")];
    assert_eq!(
        parsed.value("headgate_upstream_requests_total", &upstream),
        Some(4.0)
    );
    assert_eq!(
        parsed.value("headgate_upstream_requests_active", &upstream),
        Some(2.0)
    );
    let bucket = |le| {
        let labels = [&upstream[..], &[("le", le)]].concat();
        parsed.value("headgate_upstream_response_seconds_bucket", &labels)
    };
    assert_eq!(
        (bucket("0.002048"), bucket("0.008192"), bucket("+Inf")),
        (Some(0.0), Some(4.0), Some(4.0))
    );
    assert_eq!(parsed.samples_of("headgate_upstream_response_seconds_bucket"), 10);
}

#[test]
fn what_is_left_out_has_no_samples_and_costs_nothing_else() {
    let samples = |without: &[Detail]| {
        let text = Format::OpenMetrics.render(&families(&status(), without));
        let parsed = Parsed::parse(&text, Format::OpenMetrics).unwrap();
        [
            "headgate_service_backends",
            "headgate_route_requests_total",
            "headgate_upstream_requests_total",
            "headgate_http_requests_total",
        ]
        .map(|name| parsed.samples_of(name))
    };
    assert_eq!(samples(&[]), [1, 2, 1, 5]);
    assert_eq!(samples(&[Detail::Services, Detail::Upstreams]), [0, 2, 0, 5]);
    assert_eq!(samples(&[Detail::Routes]), [1, 0, 1, 5]);
}

#[test]
fn names_are_base_units_and_conventional() {
    let mut names = HashSet::new();
    for family in families(&Status::default(), &[]) {
        assert!(
            names.insert(family.name.clone()),
            "{} is there twice",
            family.name
        );
        for bad in [
            "_total",
            "_ms",
            "_milliseconds",
            "_microseconds",
            "_count",
            "_sum",
            "_bucket",
        ] {
            assert!(!family.name.ends_with(bad), "{}", family.name);
        }
        assert!(
            !family.help.is_empty() && !family.help.ends_with('.'),
            "{}",
            family.name
        );
    }
}

#[test]
fn the_documentation_lists_every_metric() {
    let mut expected = String::new();
    for family in families(&Status::default(), &[]) {
        let total = if family.kind == FamilyKind::Counter {
            "_total"
        } else {
            ""
        };
        let labels = family.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let (name, kind, help) = (&family.name, family.kind.name(), &family.help);
        expected += &format!("| `{name}{total}` | {kind} | {labels} | {help} |\n");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once("|---|---|---|---|\n").expect("a table");
    let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    if std::env::var_os("HEADGATE_WRITE_DOCS").is_some() {
        let document = format!("{before}|---|---|---|---|\n{expected}{}", &rest[end..]);
        std::fs::write(path, document).unwrap();
        return;
    }
    assert_eq!(
        &rest[..end],
        expected,
        "docs/metrics.md is out of date; HEADGATE_WRITE_DOCS=1 cargo test -p headgate-dataplane the_documentation_lists"
    );
}

#[test]
fn who_accepts_openmetrics_gets_it() {
    let (text, open) = (Format::Prometheus, Format::OpenMetrics);
    for (accept, format) in [
        ("", text),
        ("*/*", text),
        ("text/plain", text),
        ("application/json", text),
        ("application/openmetrics-text", open),
        ("Application/OpenMetrics-Text; Version=1.0.0", open),
        (
            "application/openmetrics-text; version=1.0.0; charset=utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            open,
        ),
        // As Prometheus 3 asks.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;\
             version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            open,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,\
             application/openmetrics-text;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.2",
            open,
        ),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.9", text),
        ("application/openmetrics-text, text/plain", open),
        ("application/openmetrics-text;q=0", text),
        ("application/openmetrics-text;q=x, */*", text),
        // Versions that are not ours.
        (
            "application/openmetrics-text;version=2.0.0, text/plain;version=0.0.4;q=0.1",
            text,
        ),
        ("application/openmetrics-text;version=0.0.1", text),
        (
            "text/plain;version=1.0.0, application/openmetrics-text;version=\"1.0.0\";q=0.5",
            open,
        ),
        // The most specific range counts, not the greatest weight.
        ("application/*;q=0.9, text/plain;q=0.5", open),
        (
            "application/*;q=0.9, application/openmetrics-text;q=0.1, text/plain;q=0.5",
            text,
        ),
        ("text/*;q=0.9, */*;q=1", open),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
    }
    let server = serve(Ok(()));
    let (head, body) = get(&server, "/metrics", "Accept: application/openmetrics-text\r\n");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"));
    let (head, body) = get(&server, "/metrics?x=1", "");
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(!body.contains("# EOF"));
}

#[test]
fn life_and_readiness_are_told() {
    let server = serve(Err("no state is in force yet".into()));
    assert!(get(&server, "/healthz", "").0.starts_with("HTTP/1.1 200 "));
    let (head, body) = get(&server, "/readyz", "");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "no state is in force yet\n");
    assert!(get(&serve(Ok(())), "/readyz", "").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn bad_requests_have_answers() {
    let server = serve(Ok(()));
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("GET /metrics HTTP/1.1\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("\0\0\0\0\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
    ] {
        let (head, _) = ask(&server, request);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {head}"
        );
        assert_eq!(head.contains("Allow: GET, HEAD"), status == "405");
    }
    let (head, body) = ask(&server, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}");
    let long = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(9_000));
    // What comes after 8 KiB is not read, and its sender may be told by a reset.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&long.as_bytes()[..8 << 10]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn silent_clients_keep_nobody_waiting_and_are_few() {
    let server = serve(Ok(()));
    let silent: Vec<_> = (0..15)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    assert!(get(&server, "/healthz", "").0.starts_with("HTTP/1.1 200 "));
    let more = (0..2).map(|_| TcpStream::connect(server.address()).unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    for mut stream in silent.into_iter().chain(more) {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let mut answer = String::new();
            let read = stream.read_to_string(&mut answer);
            read.map(|_| tell.send(answer))
        });
    }
    // One is too many; which one depends on how long it took for all of them to come.
    let answer = told
        .recv_timeout(std::time::Duration::from_secs(4))
        .expect("one of them goes before silence ends it");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 503 "),
        "{answer}"
    );
    let begun = std::time::Instant::now();
    drop(server);
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(4),
        "the end does not wait for them"
    );
}

/// Else whoever can connect and says nothing would have a probe fail, and the dataplane ended for it.
#[test]
fn clients_that_were_silent_for_a_second_give_way_to_others() {
    let server = serve(Ok(()));
    let silent: Vec<_> = (0..16)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(4);
    while !probed(server.address()) {
        assert!(
            std::time::Instant::now() < deadline,
            "before the silent ones are given up by themselves"
        );
    }
    for mut stream in silent.into_iter().take(1) {
        let mut answer = String::new();
        assert_eq!(stream.read_to_string(&mut answer).unwrap(), 0, "it was ended");
    }
}

/// Whether a probe gets its answer; who is told to come back may find the connection reset.
fn probed(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = String::new();
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let asked = stream
        .write_all(request)
        .and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

/// The examples of OpenMetrics 1.0, "Canonical Numbers".
#[test]
fn bounds_are_canonical_numbers() {
    for (bound, text) in [
        (0.0, "0.0"),
        (0.001, "0.001"),
        (0.95, "0.95"),
        (1.0, "1.0"),
        (1.7, "1.7"),
        (10.0, "10.0"),
        (1e-10, "1e-10"),
        (1e-9, "1e-09"),
        (1e-5, "1e-05"),
        (6.4e-5, "6.4e-05"),
        (0.0001, "0.0001"),
        (100_000.0, "100000.0"),
        (1e6, "1e+06"),
        (1e10, "1e+10"),
        (33.554_432, "33.554432"),
    ] {
        assert_eq!(super::text::canonical(bound), text);
    }
}

/// What a client of a thousand policies and Services gets is bounded by them alone.
#[test]
fn a_large_status_renders_quickly() {
    let mut status = status();
    status.denials = (0..5_000)
        .map(|number| DenialStatus {
            policy: format!("namespace-{number}/policy"),
            direction: "ingress".into(),
            packets: number,
        })
        .collect();
    let begun = std::time::Instant::now();
    let text = Format::OpenMetrics.render(&families(&status, &[]));
    let took = begun.elapsed();
    assert!(text.len() > 400_000);
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    let parsed = Parsed::parse(&text, Format::OpenMetrics).unwrap();
    assert_eq!(parsed.samples_of("headgate_policy_denied_packets_total"), 5_000);
}
