//! Headgate behind a balancer that says by the PROXY protocol who the client is: Debian's haproxy.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use headgate_lab::{Process, Shop, address, wait_until};

use crate::support::Bed;

/// The address that the balancer has, and connects from.
fn balancer() -> IpAddr {
    address::client(6).0
}

/// haproxy: ports 8001 and 8443 with version 1, 8002 and 8444 with version 2.
fn haproxy(bed: &Bed) -> Process {
    let (own, ingress) = (balancer(), Shop::INGRESS.0);
    let listen = [
        (8001, 80, "send-proxy"),
        (8002, 80, "send-proxy-v2"),
        (8443, 443, "send-proxy"),
        (8444, 443, "send-proxy-v2"),
    ]
    .map(|(port, to, how)| {
        format!("listen l{port}\n bind {own}:{port}\n server s {ingress}:{to} source {own} {how}\n")
    });
    let config = format!(
        "global\n maxconn 100\ndefaults\n mode tcp\n timeout client 10s\n timeout server 10s\n timeout connect 5s\n{}",
        listen.concat()
    );
    let file = bed.lab.directory().join("balancer.cfg");
    fs::write(&file, config).unwrap();
    let mut command = bed.lab.clients.command("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    let process = Process::spawn("haproxy", command).unwrap();
    wait_until("haproxy listens", Duration::from_secs(10), || {
        let arguments = ["-ltnH", "sport = :8444"];
        let listening = bed.lab.clients.run_ok("ss", &arguments);
        listening.is_ok_and(|text| !text.trim().is_empty())
    })
    .unwrap();
    process
}

/// Headgate, told who the balancer is.
fn beds() -> impl Iterator<Item = Bed> {
    // Client 6, see `balancer`; and another network, for the list.
    Bed::on_each_with(&["--proxy-protocol-from", "192.0.2.16/32,203.0.113.0/24"])
}

#[test]
fn pods_and_policies_see_the_client_behind_a_balancer() {
    for bed in beds() {
        assert_eq!(balancer(), "192.0.2.16".parse::<IpAddr>().unwrap());
        let _haproxy = haproxy(&bed);
        for n in [0, 1, 4] {
            let client = address::client(n).0;
            for (scheme, port) in [("http", 8001), ("http", 8002), ("https", 8443), ("https", 8444)] {
                let to = [
                    "--connect-to",
                    &format!(
                        "shop.example.com:{}:{}:{port}",
                        if scheme == "http" { 80 } else { 443 },
                        balancer()
                    ),
                ];
                let ca = bed.shop.ca_file().display().to_string();
                let curl = headgate_lab::client::Curl::new(&bed.lab.clients)
                    .args(&["--cacert", &ca])
                    .args(&to)
                    .from(client);
                let answer = curl.get(&format!("{scheme}://shop.example.com/")).unwrap();
                let seen = answer.seen().unwrap();
                let told = seen.headers.iter().find(|(name, _)| name == "x-forwarded-for");
                assert_eq!(told.unwrap().1, client.to_string(), "{scheme} {port}");
                // The API is for two clients, neither of which is the balancer.
                let answer = curl.get(&format!("{scheme}://shop.example.com/api")).unwrap();
                assert_eq!(
                    answer.status,
                    if n < 2 { 200 } else { 403 },
                    "{client} {scheme} {port}"
                );
            }
        }
        // Without a balancer it is as ever.
        let direct = bed
            .curl()
            .from(address::client(1).0)
            .get("http://shop.example.com/api")
            .unwrap();
        assert_eq!(direct.status, 200);
        // The balancer's own word is not enough.
        let own = bed.curl().from(balancer()).get("http://shop.example.com/");
        assert!(own.is_err(), "{own:?}");
        assert_eq!(bed.sum_of_workers("/l7/counters/proxy_headers_refused"), 1);
        bed.wait_until_quiet();
    }
}
