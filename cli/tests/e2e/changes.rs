//! Manifests change while traffic flows.

use std::time::Duration;

use headgate_lab::{Shop, client::nc_tcp, pod::Pattern, wait_until};

use crate::support::{Bed, names, tally};

const SOON: Duration = Duration::from_secs(5);

fn wait_for_change(bed: &Bed, since: u64) {
    wait_until("a newer state is in force", SOON, || {
        bed.gateway.generation() > since
    })
    .unwrap();
}

#[test]
fn a_pod_taken_out_gets_no_new_request_and_a_running_transfer_completes() {
    for bed in Bed::on_each() {
        std::thread::scope(|scope| {
            let transfers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let url = "http://shop.example.com/bytes/6000000?seed=5";
                        bed.curl().args(&["--limit-rate", "3M"]).sha256(url).unwrap()
                    })
                })
                .collect();
            wait_until("the transfers run", SOON, || {
                let [active, ended] = ["/l7/active", "/l7/counters/requests/success"];
                bed.sum_of_workers(active) + bed.sum_of_workers(ended) >= 3
            })
            .unwrap();
            let generation = bed.gateway.generation();
            bed.shop.without_pod("web-3").unwrap();
            wait_for_change(&bed, generation);
            let tally = tally(20, || {
                bed.curl()
                    .get("http://shop.example.com/")
                    .unwrap()
                    .seen()
                    .unwrap()
                    .pod
            });
            assert_eq!(names(&tally), ["web-1", "web-2"], "{tally:?}");
            for transfer in transfers {
                assert_eq!(transfer.join().unwrap(), Pattern::new(6_000_000, 5).sha256());
            }
        });
    }
}

#[test]
fn a_file_that_does_not_parse_leaves_the_last_good_state_and_says_where() {
    for bed in Bed::on_each() {
        let good = bed.shop.read("ingress.yaml").unwrap();
        bed.shop
            .write("ingress.yaml", &format!("{good}\n---\nkind: [unclosed\n"))
            .unwrap();
        wait_until("the log names the file", SOON, || {
            bed.gateway.log().contains("ingress.yaml")
        })
        .unwrap();
        assert_eq!(bed.curl().get("https://shop.example.com/").unwrap().status, 200);
        // A wrong object leaves the others of its file alone, and its own last good state in force.
        let generation = bed.gateway.generation();
        let wrong = good
            .replacen("pathType: Prefix", "pathType: Postfix", 1)
            .replace("host: blog.", "host: journal.");
        bed.shop.write("ingress.yaml", &wrong).unwrap();
        wait_for_change(&bed, generation);
        assert_eq!(
            bed.curl().get("http://shop.example.com/").unwrap().status,
            200,
            "the last good state"
        );
        assert_eq!(
            bed.curl().get("http://journal.example.com/").unwrap().status,
            200,
            "the other object's change"
        );
        assert_eq!(bed.curl().get("http://blog.example.com/").unwrap().status, 404);
        assert!(bed.gateway.log().contains("pathType"), "{}", bed.gateway.log());
        bed.shop.write("ingress.yaml", &good).unwrap();
        wait_until("the repaired file is in force", SOON, || {
            bed.curl()
                .get("http://blog.example.com/")
                .is_ok_and(|answer| answer.status == 200)
        })
        .unwrap();
    }
}

#[test]
fn a_service_added_and_removed_is_reachable_in_between_only() {
    let Some(bed) = Bed::make() else { return };
    let (address, port) = (headgate_lab::address::vip(5).0, 9);
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: shop, name: late}}\n\
         spec:\n  selector: {{app: echo}}\n  externalIPs: [{address}]\n  \
         ports: [{{port: {port}, targetPort: 9000}}]\n"
    );
    let connect = || nc_tcp(&bed.lab.clients, address, port, "x");
    assert!(connect().is_err());
    let generation = bed.gateway.generation();
    bed.shop.write("late.yaml", &service).unwrap();
    wait_for_change(&bed, generation);
    assert!(connect().unwrap().starts_with("echo-"));
    let generation = bed.gateway.generation();
    bed.shop.remove("late.yaml").unwrap();
    wait_for_change(&bed, generation);
    assert!(connect().is_err());
    assert!(
        nc_tcp(&bed.lab.clients, Shop::ECHO.0, 7, "x")
            .unwrap()
            .starts_with("echo-")
    );
}
