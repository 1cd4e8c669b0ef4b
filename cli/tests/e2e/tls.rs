//! HTTPS: certificates by host, verified by clients that Headgate did not write.

use std::time::Duration;

use headgate_lab::Shop;

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
