//! The whole of Headgate behind the API of a cluster: kubectl writes, curl asks, and the API server has bad days. On this
//! machine's loopback, without privileges.

mod apart;
mod bed;
mod certificates;
mod flags;
mod leaders;
mod load;

use std::time::{Duration, Instant};

use headgate_apiserver::{Fault, Settings};
use serde_json::json;

use bed::{Bed, broken_ingress, ingress};
use load::Load;

/// What the README says: objects are applied, the address shows, and so does what is wrong.
#[test]
fn kubectl_applies_and_sees_addresses_and_events() {
    for age in ["1.21", "1.34"] {
        let bed = Bed::new(Settings {
            age: age.parse().unwrap(),
            ..Settings::default()
        });
        bed.kubectl(&["apply", "-f", "-"], &bed.manifests());
        bed.until_answered("web.example.com", "/", 200);
        bed.until("the address", || {
            let text = bed.kubectl(&["get", "ingress", "-n", "shop"], "");
            text.lines()
                .any(|line| line.contains("web.example.com") && line.contains(bed::ADDRESS))
        });
        bed.kubectl(&["apply", "-f", "-"], &broken_ingress().to_string());
        bed.until("the Event", || {
            let text = bed.kubectl(&["describe", "ingress", "-n", "shop", "broken"], "");
            text.contains("Warning")
                && text.contains("PartlyInForce")
                && text.contains("Service shop/nothing does not exist")
        });
        // What kubectl takes away is gone.
        bed.kubectl(&["delete", "ingress", "-n", "shop", "web"], "");
        bed.until_answered("web.example.com", "/", 404);
        let log = bed.stop();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Whatever happens to the API server or the control plane, no request fails, and in the end what it says is in force.
#[test]
fn no_request_fails_whatever_becomes_of_the_api_server() {
    let bed = Bed::new(Settings::default());
    bed.apply_all();
    bed.until_answered("web.example.com", "/", 200);
    let load = Load::start(bed.http);
    let mut route = 0;
    let mut changed = |what: &str| {
        route += 1;
        let host = format!("after-{route}.example.com");
        bed.server
            .store()
            .apply(&ingress(&format!("after-{route}"), &host, "web"))
            .unwrap();
        bed.until_answered(&host, "/", 200);
        load.check(what);
    };
    changed("nothing");
    bed.server.restart().unwrap();
    changed("a restart");
    bed.server.close_watches();
    bed.server.store().compact();
    changed("watches that have ended, and history that is gone");
    bed.server
        .faults()
        .add(Fault::status(500).lasting(Duration::from_secs(30)));
    bed.server.drop_connections();
    changed("30 s of 500s");
    bed.server
        .faults()
        .add(Fault::trickle(2000).lasting(Duration::from_secs(1)));
    bed.server.drop_connections();
    changed("answers that trickle");
    // Watches that were begun in that time would trickle for ever.
    bed.server.faults().clear();
    bed.server.drop_connections();
    // Objects go while nobody can see it.
    bed.server.refuse_connections();
    assert!(bed.server.store().delete("Ingress", "shop", "after-1"));
    bed.server.store().compact();
    bed.server.accept_connections().unwrap();
    bed.until_answered("after-1.example.com", "/", 404);
    changed("objects that went while the server was away");
    let begun = Instant::now();
    for n in 0..3000 {
        let name = format!("many-{}", n % 300);
        let host = format!("many-{}-{n}.example.com", n % 300);
        bed.server.store().apply(&ingress(&name, &host, "web")).unwrap();
        // One each millisecond.
        let due = begun + Duration::from_millis(n);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    bed.until_answered("many-299-2999.example.com", "/", 200);
    bed.until_answered("many-299-299.example.com", "/", 404);
    changed("1,000 changes a second");
    bed.kill_control_plane();
    changed("a control plane that was killed");
    let requests = load.stop();
    assert!(requests > 100, "{requests}");
}

/// Nodes beat and pods are probed: nobody rebuilds anything for that.
#[test]
fn what_does_not_count_makes_no_transaction() {
    let bed = Bed::new(Settings::default());
    bed.apply_all();
    bed.until_answered("web.example.com", "/", 200);
    let before = bed.generation();
    let store = bed.server.store();
    for beat in 0..100 {
        let mut node = store.get("Node", "", "node").unwrap();
        node["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": format!("2026-11-22T00:{:02}:00Z", beat % 60)}]);
        store.apply(&node).unwrap();
        let mut service = store.get("Service", "shop", "web").unwrap();
        service["metadata"]["annotations"] = json!({"seen": beat.to_string()});
        store.apply(&service).unwrap();
    }
    // The streams are through with all that once these are in force.
    store.apply(&ingress("last", "last.example.com", "web")).unwrap();
    bed.until_answered("last.example.com", "/", 200);
    bed.until("only the last one", || bed.generation() == before + 1);
}
