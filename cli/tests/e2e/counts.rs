//! What is counted, and which flows there are.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use headgate_lab::{Shop, wait_until};
use serde_json::Value;

use crate::support::{Bed, PROGRAM};

const SOON: Duration = Duration::from_secs(5);

/// `headgate status` with these arguments, as JSON.
fn status(bed: &Bed, arguments: &[&str]) -> Value {
    let run_dir = bed.gateway.run_dir().to_str().unwrap();
    let all = [&["status"], arguments, &["--json", "--run-dir", run_dir]].concat();
    serde_json::from_str(&bed.lab.gateway.run_ok(PROGRAM, &all).unwrap()).unwrap()
}

/// `headgate status flows` with these arguments.
fn flows(bed: &Bed, arguments: &[&str]) -> Value {
    let list = status(bed, &[&["flows"], arguments].concat());
    assert_eq!(list["complete"], true, "{list}");
    list
}

/// Asks the echo Service over UDP from a socket of its own; returns that and the bytes of all answers.
fn ask_echo(bed: &Bed, times: usize) -> (SocketAddr, usize) {
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.connect((Shop::ECHO.0, 7)).unwrap();
        let mut answered = 0;
        for _ in 0..times {
            socket.send(b"hello").unwrap();
            answered += socket.recv(&mut [0; 1500]).unwrap();
        }
        (socket.local_addr().unwrap(), answered)
    };
    bed.lab.clients.enter(ask).unwrap()
}

#[test]
fn flows_are_listed_with_what_they_carried_and_by_what_is_asked() {
    let Some(bed) = Bed::make() else { return };
    let (client, answered) = ask_echo(&bed, 10);
    let echo = SocketAddr::new(Shop::ECHO.0, 7);
    let list = flows(&bed, &["--protocol", "udp", "--from", &client.ip().to_string()]);
    is_the_only_flow(&list, client, echo, answered);

    // An open connection, and what the Service's counters make of the same packets.
    let stream = bed
        .lab
        .clients
        .enter(|| TcpStream::connect(echo))
        .unwrap()
        .unwrap();
    let client = stream.local_addr().unwrap();
    let established = ["--state", "tcp-established", "--service", "shop", "--port", "7"];
    wait_until("the connection is established", SOON, || {
        flows(&bed, &established)["matched"] == 1
    })
    .unwrap();
    let list = flows(
        &bed,
        &[
            "--service",
            "shop/echo",
            "--to",
            &echo.ip().to_string(),
            "--by",
            "packets",
        ],
    );
    let listed: Vec<_> = list["flows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| &flow["client"])
        .collect();
    assert_eq!(
        (list["matched"].as_u64(), listed[1].as_str()),
        (Some(2), Some(&*client.to_string()))
    );
    for none in [
        ["--service", "blog"],
        ["--from", "203.0.113.0/24"],
        ["--state", "tcp-opening"],
    ] {
        assert_eq!(flows(&bed, &none)["matched"], 0, "{none:?}");
    }
    services_count_the_same(&bed, echo, &list);
}

/// Of ten datagrams, answered with so many bytes.
fn is_the_only_flow(list: &Value, client: SocketAddr, echo: SocketAddr, answered: usize) {
    let [flow] = &list["flows"].as_array().unwrap()[..] else {
        panic!("{list}");
    };
    assert_eq!(flow["client"], client.to_string());
    assert_eq!(flow["frontend"], echo.to_string());
    assert_eq!(flow["service"], "shop/echo");
    assert_eq!(flow["state"], "udp-replied");
    // Of IPv4 and UDP 28 bytes each.
    assert_eq!(
        (&flow["packets_in"], &flow["bytes_in"]),
        (&10.into(), &(10 * 33).into())
    );
    assert_eq!(
        (&flow["packets_out"], &flow["bytes_out"]),
        (&10.into(), &(answered + 280).into())
    );
    assert_eq!(list["states"]["udp-replied"], 1);
}

/// What the Service's counters say is what its flows, one of each protocol, say.
fn services_count_the_same(bed: &Bed, echo: SocketAddr, list: &Value) {
    let services = status(bed, &["services"]);
    let of = |protocol: &str| {
        let mut all = services.as_array().unwrap().iter();
        let mine = all.find(|s| s["address"] == echo.to_string() && s["protocol"] == protocol);
        mine.expect("the Service")["counts"].clone()
    };
    assert_eq!(
        (&of("udp")["flows"], &of("udp")["packets_in"]),
        (&1.into(), &10.into())
    );
    let by_protocol = |protocol: &str| {
        let mut all = list["flows"].as_array().unwrap().iter();
        all.find(|flow| flow["protocol"] == protocol).unwrap().clone()
    };
    for protocol in ["udp", "tcp"] {
        for count in ["packets_in", "bytes_in", "packets_out", "bytes_out"] {
            assert_eq!(
                of(protocol)[count],
                by_protocol(protocol)[count],
                "{protocol} {count}"
            );
        }
    }
}

#[test]
fn a_flood_of_connections_that_nobody_answers_is_seen() {
    let Some(bed) = Bed::make() else { return };
    ask_echo(&bed, 1);
    let source = flows(&bed, &[])["flows"][0]["source"]
        .as_str()
        .unwrap()
        .to_owned();
    let source = source.parse::<SocketAddr>().unwrap().ip();
    // The pods' answers go nowhere.
    let blackhole = format!("{source}/32");
    bed.lab
        .pods
        .run_ok("ip", &["route", "add", "blackhole", &blackhole])
        .unwrap();
    const FLOOD: u64 = 300;
    bed.lab
        .clients
        .enter(|| {
            for _ in 0..FLOOD {
                let echo = SocketAddr::new(Shop::ECHO.0, 7);
                let never = TcpStream::connect_timeout(&echo, Duration::from_millis(1));
                assert!(never.is_err());
            }
        })
        .unwrap();
    wait_until("all of them are listed", SOON, || {
        flows(&bed, &["--state", "tcp-opening"])["matched"].as_u64() >= Some(FLOOD)
    })
    .unwrap();
    let list = flows(&bed, &["--top", "5"]);
    assert_eq!(list["flows"].as_array().unwrap().len(), 5);
    assert!(list["states"]["tcp-opening"].as_u64() >= Some(FLOOD), "{list}");
    let run_dir = bed.gateway.run_dir().to_str().unwrap();
    let command = ["status", "flows", "--state", "tcp-opening", "--run-dir", run_dir];
    let text = bed.lab.gateway.run_ok(PROGRAM, &command).unwrap();
    assert!(
        text.contains(" tcp-opening\n") && text.contains("(shop/echo)"),
        "{text}"
    );
}

/// Every series of `/metrics` whose values only grow.
fn scrape(bed: &Bed) -> BTreeMap<String, f64> {
    let url = "http://127.0.0.1:9710/metrics";
    let text = bed
        .lab
        .gateway
        .run_ok("curl", &["--silent", "--fail", "--noproxy", "*", url])
        .unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let split = lines.map(|line| line.rsplit_once(' ').expect("a value"));
    let grows = |name: &str| {
        let name = name.split('{').next().unwrap_or_default();
        ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    split
        .filter(|(name, _)| grows(name))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The value of the one series of a family that has all of these labels.
fn value(series: &BTreeMap<String, f64>, family: &str, labels: &[&str]) -> f64 {
    let matches = |name: &str| {
        name.starts_with(&format!("{family}{{")) && labels.iter().all(|label| name.contains(label))
    };
    let found: Vec<_> = series.iter().filter(|(name, _)| matches(name)).collect();
    assert_eq!(found.len(), 1, "{family} {labels:?}: {found:?}");
    *found[0].1
}

/// Puts a path in front of the others, and takes one away.
fn change_paths(bed: &Bed) {
    let ingress = bed.shop.read("ingress.yaml").unwrap();
    let archive = "          - path: /archive\n            pathType: Exact\n            backend: {service: {name: archive, port: {number: 80}}}\n";
    let api = "          - path: /\n            pathType: Prefix\n            backend: {service: {name: web, port: {number: 80}}}\n";
    assert!(ingress.contains(archive) && ingress.contains(api));
    let front = format!("{}{api}", api.replace("path: /\n", "path: /front\n"));
    bed.shop
        .write("ingress.yaml", &ingress.replace(archive, "").replace(api, &front))
        .unwrap();
}

#[test]
fn counters_go_on_when_the_configuration_changes() {
    for bed in Bed::on_each_with(&["--metrics", "127.0.0.1:9710"]) {
        let get = |url: &str| bed.curl().get(url).unwrap().status;
        for _ in 0..3 {
            assert_eq!(get("http://shop.example.com/"), 200);
        }
        assert_eq!(get("http://blog.example.com/"), 200);
        assert_eq!(get("http://shop.example.com/archive"), 503);
        let shop = ["host=\"shop.example.com\"", "path=\"/\"", "class=\"2xx\""];
        let requests = "headgate_route_requests_total";
        wait_until("all requests have ended", SOON, || {
            let series = scrape(&bed);
            series.keys().filter(|name| name.starts_with(requests)).count() == 3
                && value(&series, requests, &shop) >= 3.0
        })
        .unwrap();
        let before = scrape(&bed);
        assert_eq!(
            value(
                &before,
                requests,
                &["path=\"/archive\"", "path_type=\"Exact\"", "class=\"5xx\""]
            ),
            1.0
        );
        let web = ["namespace=\"shop\"", "service=\"web\"", "port=\"80\""];
        assert_eq!(value(&before, "headgate_upstream_requests_total", &web), 3.0);

        // A path in front of the others, and one is gone; a pod less.
        let generation = bed.gateway.generation();
        change_paths(&bed);
        bed.shop.without_pod("web-3").unwrap();
        wait_until("both changes are in force", SOON, || {
            bed.gateway.generation() > generation && get("http://shop.example.com/archive") == 200
        })
        .unwrap();
        assert_eq!(get("http://shop.example.com/front"), 200);
        wait_until("its request has ended", SOON, || {
            scrape(&bed).keys().any(|name| name.contains("path=\"/front\""))
        })
        .unwrap();
        let after = scrape(&bed);
        for (name, value) in &before {
            match after.get(name) {
                Some(now) => assert!(now >= value, "{name} went from {value} to {now}"),
                // Its Service was nobody's, so that its upstream has gone, too.
                None => assert!(
                    name.contains("path=\"/archive\"") || name.contains("service=\"archive\""),
                    "{name} is gone"
                ),
            }
        }
        assert!(value(&after, requests, &shop) >= 4.0);
        assert!(
            !after.keys().any(|name| name.contains("path=\"/archive\"")),
            "its route is gone"
        );
    }
}
