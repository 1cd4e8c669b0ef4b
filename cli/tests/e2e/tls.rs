//! HTTPS: certificates by host, verified by clients that Headgate did not write.

use std::{io::Write, process::Stdio, time::Duration};

use headgate_lab::{Shop, wait_until};

use crate::support::Bed;

/// openssl s_client's account of a handshake for `host`.
fn s_client(bed: &Bed, host: &str, version: &str) -> String {
    let target = format!("{}:443", Shop::INGRESS.0);
    let ca = bed.shop.ca_file().display().to_string();
    let arguments = [
        "s_client",
        version,
        "-connect",
        &target,
        "-servername",
        host,
        "-verify_hostname",
        host,
        "-CAfile",
        &ca,
        "-verify_return_error",
    ];
    let finished = bed
        .lab
        .clients
        .run("openssl", &arguments, Duration::from_secs(10))
        .unwrap();
    format!("{}{}", finished.stdout, finished.stderr)
}

#[test]
fn each_host_has_its_own_certificate_that_openssl_verifies() {
    for bed in Bed::on_each() {
        for host in ["shop.example.com", "blog.example.com"] {
            for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
                let said = s_client(&bed, host, flag);
                assert!(
                    said.contains("Verify return code: 0 (ok)"),
                    "{host} {flag}: {said}"
                );
                assert!(
                    said.contains(&format!("subject=CN = {host}"))
                        || said.contains(&format!("subject=CN={host}"))
                );
                assert!(said.contains(version), "{host} {flag}: {said}");
            }
        }
    }
}

#[test]
fn curl_reaches_both_hosts_over_ipv4_and_ipv6() {
    for bed in Bed::on_each() {
        for address in [Shop::INGRESS.0, Shop::INGRESS.1] {
            let curl = bed.curl_to(address);
            assert!(
                curl.get("https://shop.example.com/")
                    .unwrap()
                    .seen()
                    .unwrap()
                    .pod
                    .starts_with("web-")
            );
            assert_eq!(
                curl.get("https://blog.example.com/").unwrap().seen().unwrap().pod,
                "blog-1"
            );
        }
    }
}

#[test]
fn a_host_without_a_certificate_is_not_given_anothers() {
    for bed in Bed::on_each() {
        let said = s_client(&bed, "nobody.example.com", "-tls1_3");
        assert!(!said.contains("Verify return code: 0 (ok)"), "{said}");
    }
}

/// TLS 1.2 lets a client ask for another handshake whenever it likes (RFC 5246, section 7.4.1.1), which costs the server far more than
/// the client.
#[test]
fn nobody_shakes_hands_twice_over_one_connection() {
    for bed in Bed::on_each() {
        let mut command = bed.lab.clients.command("openssl");
        command.args(["s_client", "-tls1_2", "-servername", "shop.example.com"]);
        command.args(["-connect", &format!("{}:443", Shop::INGRESS.0)]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = pipes.stderr(Stdio::piped()).spawn().unwrap();
        // A line of R asks for it; the input's end would end the connection.
        let mut input = client.stdin.take().unwrap();
        input.write_all(b"R\n").unwrap();
        let ended = wait_until("the connection ends", Duration::from_secs(10), || {
            client.try_wait().unwrap().is_some()
        });
        if ended.is_err() {
            client.kill().unwrap();
        }
        let output = client.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("RENEGOTIATING"), "{said}");
        assert!(said.contains("no renegotiation"), "{said}");
        let gone = || bed.sum_of_workers("/l7/clients") == 0;
        wait_until("the client is gone", Duration::from_secs(5), gone).unwrap();
    }
}
