//! HTTP on cores of its own: `--l7-cores`, with one stage beside two workers, and with two.

use std::time::Duration;

use headgate_lab::{
    Shop, address,
    client::{nc_tcp, nc_udp},
    kill_and_wait,
    pod::Pattern,
    wait_until,
};
use serde_json::Value;

use crate::load::{assert_no_errors, wrk};
use crate::support::{Bed, names, tally};

const SOON: Duration = Duration::from_secs(10);
const LARGE: u64 = 100_000_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Where stages leave workers no core, the kernel shares the cores out.
const ONE: [&str; 4] = ["--workers", "2", "--l7-cores", "1"];
const TWO: [&str; 4] = ["--workers", "2", "--l7-cores", "0,1"];

/// Closes the pods `web` to one client.
const CLOSED: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web-clients}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
    - from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.11/32]}}]
";

impl Bed {
    /// A number of each stage.
    fn of_stages(&self, pointer: &str) -> Vec<u64> {
        self.of("stages", pointer)
    }

    fn of(&self, list: &str, pointer: &str) -> Vec<u64> {
        let status = self.gateway.status().expect("a status");
        let list = status[list].as_array().expect("a list").clone();
        let number = |value: &Value| value.pointer(pointer).and_then(Value::as_u64);
        list.iter()
            .map(|item| number(item).unwrap_or_else(|| panic!("no {pointer} in {item}")))
            .collect()
    }
}

#[test]
fn stages_serve_http_and_workers_services() {
    for (flags, stages) in [(ONE, 1), (TWO, 2)] {
        let Some(bed) = Bed::make_with(|_| (), &flags) else {
            return;
        };
        for address in [Shop::INGRESS.0, Shop::INGRESS.1] {
            for scheme in ["http", "https"] {
                let tally = tally(12, || {
                    let answer = bed.curl_to(address).get(&format!("{scheme}://shop.example.com/"));
                    answer.unwrap().seen().unwrap().pod
                });
                assert_eq!(names(&tally), ["web-1", "web-2", "web-3"], "{tally:?}");
            }
        }
        let url = "https://shop.example.com/item/[1-50]";
        let kept = bed
            .curl()
            .args(&["--write-out", "connects %{num_connects}\n", url]);
        let kept = kept.run().unwrap();
        assert_eq!(kept.stdout.matches("connects 0").count(), 49, "{kept:?}");
        assert_eq!(kept.stdout.matches("\"pod\":\"web-").count(), 50, "{kept:?}");
        // Services as ever.
        for echo in [Shop::ECHO.0, Shop::ECHO.1] {
            assert!(
                nc_tcp(&bed.lab.clients, echo, 7, "x")
                    .unwrap()
                    .starts_with("echo-")
            );
            assert!(
                nc_udp(&bed.lab.clients, echo, 7, "x")
                    .unwrap()
                    .starts_with("echo-")
            );
        }
        let served = bed.of_stages("/l7/counters/requests/success");
        assert_eq!((served.len(), served.iter().sum()), (stages, 98));
        assert!(served.iter().all(|requests| *requests > 0), "{served:?}");
        assert_eq!(bed.of("workers", "/l7/counters/requests/success"), [0, 0]);
        assert_eq!(bed.of_stages("/counts/flows_created"), vec![0; stages]);
        assert!(bed.gateway.count("/totals/flows_created").unwrap() >= 4);
        let run_dir = bed.gateway.run_dir().display().to_string();
        let told = bed
            .lab
            .gateway
            .run_ok(crate::support::PROGRAM, &["status", "--run-dir", &run_dir])
            .unwrap();
        assert!(told.contains("L7 STAGES") && told.contains("on core 1"), "{told}");
    }
}

#[test]
fn a_hundred_megabytes_each_way() {
    for flags in [ONE, TWO] {
        let Some(bed) = Bed::make_with(|_| (), &flags) else {
            return;
        };
        let file = bed.lab.directory().join("upload");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
        for chunk in Pattern::new(LARGE, 3) {
            std::io::Write::write_all(&mut out, &chunk).unwrap();
        }
        std::io::Write::flush(&mut out).unwrap();
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://shop.example.com/bytes/{LARGE}?seed=1");
            let down = bed.curl().deadline(PATIENCE).sha256(&url).unwrap();
            assert_eq!(down, Pattern::new(LARGE, 1).sha256(), "{scheme} down");
            let upload = ["--upload-file", &file.display().to_string()];
            let curl = bed.curl().args(&upload).deadline(PATIENCE);
            let up = curl.get(&format!("{scheme}://shop.example.com/upload")).unwrap();
            assert!(
                up.body.contains(&Pattern::new(LARGE, 3).sha256()),
                "{scheme} up: {up:?}"
            );
        }
        assert_eq!(bed.gateway.count("/totals/drops/stage-full").unwrap_or(0), 0);
    }
}

#[test]
fn a_change_is_in_force_on_stages_and_a_policy_cuts_what_it_forbids() {
    let Some(bed) = Bed::make_with(|_| (), &TWO) else {
        return;
    };
    std::thread::scope(|scope| {
        // Two clients, each with some transfers, so that both stages have some.
        let transfer = |client| {
            let bed = &bed;
            scope.spawn(move || {
                let url = "http://shop.example.com/bytes/60000000?seed=5";
                let curl = bed.curl().from(client).args(&["--limit-rate", "6M"]);
                curl.deadline(PATIENCE).sha256(url)
            })
        };
        let kept: Vec<_> = (0..3).map(|_| transfer(address::client(0).0)).collect();
        let cut: Vec<_> = (0..6).map(|_| transfer(address::client(1).0)).collect();
        wait_until("nine transfers run", SOON, || {
            bed.of_stages("/l7/active").iter().sum::<u64>() == 9
        })
        .unwrap();
        bed.shop.write("web-clients.yaml", CLOSED).unwrap();
        for transfer in cut {
            assert!(
                transfer.join().unwrap().is_err(),
                "a transfer that is forbidden went on"
            );
        }
        assert_eq!(bed.of_stages("/l7/counters/cut").iter().sum::<u64>(), 6);
        let before = bed.gateway.generation();
        bed.shop.without_pod("web-3").unwrap();
        wait_until("a newer state is in force", SOON, || {
            bed.gateway.generation() > before
        })
        .unwrap();
        let tally = tally(20, || {
            let answer = bed.curl().get("http://shop.example.com/").unwrap();
            answer.seen().unwrap().pod
        });
        assert_eq!(names(&tally), ["web-1", "web-2"], "{tally:?}");
        let status = |client| {
            let curl = bed.curl().from(client);
            curl.get("http://shop.example.com/").unwrap().status
        };
        assert_eq!(status(address::client(1).0), 403);
        assert_eq!(status(address::client(0).0), 200);
        for transfer in kept {
            assert_eq!(
                transfer.join().unwrap().unwrap(),
                Pattern::new(60_000_000, 5).sha256()
            );
        }
    });
    bed.wait_until_quiet();
}

#[test]
fn the_dataplane_dies_and_comes_back_with_its_stages() {
    let Some(bed) = Bed::make_with(|_| (), &TWO) else {
        return;
    };
    let (dataplane, _) = bed.gateway.planes().unwrap();
    kill_and_wait(dataplane).unwrap();
    for url in ["http://shop.example.com/", "https://shop.example.com/"] {
        wait_until("requests are answered again", SOON, || {
            let curl = bed.curl().args(&["--max-time", "1"]);
            curl.get(url).is_ok_and(|answer| answer.status == 200)
        })
        .unwrap();
    }
    wait_until("connections are balanced again", SOON, || {
        nc_tcp(&bed.lab.clients, Shop::ECHO.0, 7, "x").is_ok_and(|answer| answer.starts_with("echo-"))
    })
    .unwrap();
    let before = bed.gateway.log();
    assert!(!before.contains("panicked"), "{before}");
}

#[test]
fn two_hundred_connections_without_an_error_and_nothing_leaks() {
    for flags in [ONE, TWO] {
        let quick = [&flags[..], &["--udp-timeout", "1s"]].concat();
        let Some(bed) = Bed::make_with(|_| (), &quick) else {
            return;
        };
        assert_no_errors(&wrk(&bed, Shop::INGRESS.0));
        assert!(
            nc_udp(&bed.lab.clients, Shop::ECHO.0, 7, "x")
                .unwrap()
                .starts_with("echo-")
        );
        bed.wait_until_quiet();
        assert_eq!(bed.of_stages("/l7/clients").iter().sum::<u64>(), 0);
    }
}
