//! HTTP/1.1 through Ingresses.

use headgate_lab::{Shop, address};

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
