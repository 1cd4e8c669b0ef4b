//! HTTP/1.1 through Ingresses.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use headgate_lab::{Shop, address, wait_until};

use crate::support::{Bed, names, tally};

#[test]
fn requests_are_balanced_over_the_ready_pods() {
    for bed in Bed::on_each() {
        for address in [Shop::INGRESS.0, Shop::INGRESS.1] {
            let tally = tally(30, || {
                bed.curl_to(address)
                    .get("http://shop.example.com/")
                    .unwrap()
                    .seen()
                    .unwrap()
                    .pod
            });
            assert_eq!(names(&tally), ["web-1", "web-2", "web-3"], "{tally:?}");
        }
    }
}

#[test]
fn a_kept_alive_connection_carries_many_requests() {
    for bed in Bed::on_each() {
        let url = "http://shop.example.com/item/[1-50]";
        let finished = bed
            .curl()
            .args(&["--write-out", "connects %{num_connects}\n", url])
            .run()
            .unwrap();
        assert!(finished.success(), "{finished:?}");
        assert_eq!(
            finished.stdout.matches("\"pod\":\"web-").count(),
            50,
            "{}",
            finished.stdout
        );
        assert_eq!(
            finished.stdout.matches("connects 1").count(),
            1,
            "{}",
            finished.stdout
        );
        assert_eq!(
            finished.stdout.matches("connects 0").count(),
            49,
            "{}",
            finished.stdout
        );
        for n in 1..=50 {
            assert!(
                finished.stdout.contains(&format!("\"path\":\"/item/{n}\"")),
                "{n}: {}",
                finished.stdout
            );
        }
    }
}

#[test]
fn pods_learn_who_asked_and_how() {
    for bed in Bed::on_each() {
        let client = address::client(2).0;
        let curl = bed
            .curl()
            .from(client)
            .args(&["-H", "X-Forwarded-For: 203.0.113.9", "-H", "Accept: a/b"]);
        let seen = curl
            .get("https://shop.example.com/a?b=c")
            .unwrap()
            .seen()
            .unwrap();
        assert_eq!(
            (seen.method.as_str(), seen.path.as_str(), seen.version.as_str()),
            ("GET", "/a?b=c", "HTTP/1.1")
        );
        assert_eq!(seen.header("host"), Some("shop.example.com"));
        assert_eq!(seen.header("accept"), Some("a/b"));
        assert_eq!(seen.header("x-real-ip"), Some(client.to_string().as_str()));
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.header("x-forwarded-host"), Some("shop.example.com"));
        assert_eq!(seen.header("x-forwarded-port"), Some("443"));
        let forwarded = seen.header("x-forwarded-for").unwrap_or_default();
        assert!(forwarded.ends_with(&client.to_string()), "{forwarded}");
        assert!(
            seen.header("x-request-id").is_some_and(|id| id.len() >= 16),
            "{seen:?}"
        );
        assert_eq!(
            seen.remote.ip().to_string(),
            "10.244.1.1",
            "pods see the gateway's own address"
        );
    }
}

#[test]
fn routes_go_by_host_and_path_element() {
    for bed in Bed::on_each() {
        let pod = |url: &str| bed.curl().get(url).unwrap().seen().unwrap().pod;
        assert_eq!(pod("http://shop.example.com/api"), "api-1");
        assert_eq!(pod("http://shop.example.com/api/v1/x"), "api-1");
        assert!(pod("http://shop.example.com/apis").starts_with("web-"));
        assert_eq!(pod("http://blog.example.com/api"), "blog-1");
        assert_eq!(pod("http://SHOP.example.com:80/api/"), "api-1");
    }
}

#[test]
fn errors_have_the_status_that_says_whose_fault_it_is() {
    for bed in Bed::on_each() {
        let status = |url: &str| bed.curl().get(url).unwrap().status;
        assert_eq!(status("http://nobody.example.com/"), 404);
        assert_eq!(status("http://shop.example.com/archive"), 503);
        assert_eq!(status("http://shop.example.com/status/418"), 418);
        assert_eq!(status("http://blog.example.com/reset"), 502);
    }
}

#[test]
fn a_pod_that_is_gone_answers_502_and_the_others_go_on() {
    for mut bed in Bed::on_each() {
        bed.shop.pods.retain(|pod| pod.name() != "blog-1");
        assert_eq!(bed.curl().get("http://blog.example.com/").unwrap().status, 502);
        assert_eq!(bed.curl().get("http://shop.example.com/").unwrap().status, 200);
    }
}

/// A connection of a client to the Ingress address.
fn connect(bed: &Bed) -> TcpStream {
    let connect = || TcpStream::connect((Shop::INGRESS.0, 80));
    let stream = bed.lab.clients.enter(connect).unwrap().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_upgraded_connection_is_a_tunnel_to_the_pod() {
    for bed in Bed::on_each() {
        let mut stream = connect(&bed);
        stream
            .write_all(
                b"GET /tunnel HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        for text in ["one", "and two"] {
            stream.write_all(text.as_bytes()).unwrap();
            let mut back = vec![0; text.len()];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, text.as_bytes());
        }
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(stream), "", "the end comes back, too");
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_next_client_is_served() {
    for bed in Bed::on_each() {
        for (sent, status) in [
            ("\0\x01\x02\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            (
                "GET / HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                "400",
            ),
            (
                "GET /a/../b HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n",
                "200",
            ),
        ] {
            let mut stream = connect(&bed);
            stream.write_all(sent.as_bytes()).unwrap();
            let text = read_to_end(stream);
            assert_eq!(text.get(9..12), Some(status), "{sent:?} was answered {text:?}");
        }
        // One that goes away in the middle of its head costs nobody anything.
        connect(&bed).write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
        assert_eq!(bed.curl().get("http://shop.example.com/").unwrap().status, 200);
    }
}

#[test]
fn a_client_that_sends_and_reads_slowly_gets_all_of_it() {
    for bed in Bed::on_each() {
        let mut stream = connect(&bed);
        let request =
            b"GET /bytes/3000000?seed=9 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n";
        for byte in request.chunks(1) {
            stream.write_all(byte).unwrap();
        }
        // Nothing is read while other clients are served.
        wait_until("the pod answers", Duration::from_secs(5), || {
            bed.sum_of_workers("/l7/upstream_busy") > 0
        })
        .unwrap();
        for _ in 0..5 {
            assert_eq!(bed.curl().get("http://shop.example.com/").unwrap().status, 200);
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let body = answer.len() - 3_000_000;
        let expected: Vec<u8> = headgate_lab::pod::Pattern::new(3_000_000, 9).flatten().collect();
        assert!(answer[body..] == expected[..], "{} bytes", answer.len());
    }
}

#[test]
fn http_requests_to_a_host_with_tls_are_redirected() {
    for bed in Bed::on_each() {
        let text = bed.shop.read("ingress.yaml").unwrap();
        bed.shop
            .write("ingress.yaml", &text.replace("\"false\"", "\"true\""))
            .unwrap();
        let location = || {
            let answer = bed.curl().get("http://shop.example.com/a?b=c").unwrap();
            answer
                .header("location")
                .map(str::to_owned)
                .filter(|_| answer.status == 308)
        };
        wait_until("requests are redirected", Duration::from_secs(5), || {
            location().is_some()
        })
        .unwrap();
        assert_eq!(location().as_deref(), Some("https://shop.example.com/a?b=c"));
        assert_eq!(
            bed.curl().get("https://shop.example.com/a?b=c").unwrap().status,
            200
        );
    }
}
