use std::time::Duration;

use headgate_apiserver::{Age, ApiServer, Settings};
use serde_json::json;

use crate::client::{Client, MAPS, config_map, server};

#[test]
fn changes_come_in_order_and_with_what_was_there() {
    for http2 in [false, true] {
        let server = server();
        let store = server.store();
        store.apply(&config_map("a", "x")).expect("stored");
        let client = Client::with(&server, http2);
        let mut watch = client.watch(&format!("{MAPS}?watch=1"));
        assert_eq!(watch.told(), "ADDED a");
        store.apply(&config_map("b", "x")).expect("stored");
        store.apply(&config_map("b", "y")).expect("stored");
        store.apply(&config_map("b", "y")).expect("stored");
        store.delete("cm", "default", "a");
        assert_eq!(watch.told(), "ADDED b");
        assert_eq!(watch.told(), "MODIFIED b");
        let deleted = watch.next().expect("an event");
        assert_eq!(
            (&deleted["type"], &deleted["object"]["data"]["a"]),
            (&json!("DELETED"), &json!("x"))
        );
        assert_eq!(
            deleted["object"]["metadata"]["resourceVersion"],
            store.revision().to_string()
        );
        assert_eq!(deleted["object"]["kind"], "ConfigMap");
        server.close_watches();
        assert_eq!(watch.next(), None);
    }
}

#[test]
fn a_watch_goes_on_where_a_list_was() {
    let server = server();
    let store = server.store();
    store.apply(&config_map("a", "x")).expect("stored");
    let from = store.revision();
    store.apply(&config_map("b", "x")).expect("stored");
    let client = Client::new(&server);
    let mut watch = client.watch(&format!("{MAPS}?watch=true&resourceVersion={from}"));
    assert_eq!(watch.told(), "ADDED b");
    let mut old = client.watch(&format!(
        "/api/v1/watch/namespaces/default/configmaps?resourceVersion={from}"
    ));
    assert_eq!(old.told(), "ADDED b");
    let mut other = client.watch(&format!(
        "/api/v1/namespaces/kube-system/configmaps?watch=1&resourceVersion={from}"
    ));
    store.apply(&config_map("c", "x")).expect("stored");
    store.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "z", "namespace": "kube-system"}})).expect("stored");
    assert_eq!(other.told(), "ADDED z");
}

#[test]
fn objects_enter_and_leave_a_selection() {
    let server = server();
    let store = server.store();
    store.apply(&config_map("a", "x")).expect("stored");
    let client = Client::new(&server);
    let from = store.revision();
    let mut watch = client.watch(&format!(
        "{MAPS}?watch=1&resourceVersion={from}&labelSelector=app%3Dy"
    ));
    store.apply(&config_map("a", "y")).expect("stored");
    assert_eq!(watch.told(), "ADDED a");
    store.apply(&config_map("a", "z")).expect("stored");
    let gone = watch.next().expect("an event");
    // It is told as it was when it still fitted, with the revision at which it ceased to.
    assert_eq!(
        (&gone["type"], &gone["object"]["data"]["a"]),
        (&json!("DELETED"), &json!("y"))
    );
    assert_eq!(
        gone["object"]["metadata"]["resourceVersion"],
        store.revision().to_string()
    );
}

#[test]
fn a_compacted_revision_is_an_error_in_the_stream() {
    let server = server();
    let store = server.store();
    let from = store.revision();
    store.apply(&config_map("a", "x")).expect("stored");
    let client = Client::new(&server);
    let mut living = client.watch(&format!("{MAPS}?watch=1&resourceVersion={from}"));
    assert_eq!(living.told(), "ADDED a");
    store.compact();
    let mut watch = client.watch(&format!("{MAPS}?watch=1&resourceVersion={from}"));
    let error = watch.next().expect("an event");
    assert_eq!(
        (
            &error["type"],
            &error["object"]["code"],
            &error["object"]["reason"]
        ),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(watch.next(), None);
    store.apply(&config_map("b", "x")).expect("stored");
    assert_eq!(living.told(), "ADDED b");
}

#[test]
fn bookmarks_tell_the_revision_where_nothing_happens() {
    let settings = Settings {
        bookmark_interval: Duration::from_millis(50),
        age: Age(31),
        ..Settings::default()
    };
    let server = ApiServer::start(settings).expect("a server");
    let client = Client::new(&server);
    let path = "/apis/networking.k8s.io/v1/ingresses";
    let from = server.store().revision();
    let mut watch = client.watch(&format!(
        "{path}?watch=1&resourceVersion={from}&allowWatchBookmarks=true"
    ));
    server.store().apply(&config_map("a", "x")).expect("stored");
    let now = server.store().revision().to_string();
    let bookmark = loop {
        let event = watch.next().expect("an event");
        assert_eq!(event["type"], "BOOKMARK");
        if event["object"]["metadata"]["resourceVersion"] == now {
            break event;
        }
    };
    assert_eq!(bookmark["object"]["kind"], "Ingress");
    assert_eq!(
        bookmark["object"]["metadata"].get("creationTimestamp"),
        Some(&json!(null))
    );
    let mut without = client.watch(&format!("{path}?watch=1&resourceVersion={from}&timeoutSeconds=1"));
    assert_eq!(without.next(), None);
}

#[test]
fn a_watch_ends_at_its_time_and_a_bookmark_comes_before() {
    let server = server();
    let client = Client::new(&server);
    let from = server.store().revision();
    let mut watch = client.watch(&format!(
        "{MAPS}?watch=1&resourceVersion={from}&allowWatchBookmarks=1&timeoutSeconds=3"
    ));
    assert_eq!(watch.next().expect("an event")["type"], "BOOKMARK");
    assert_eq!(watch.next(), None);
}

#[test]
fn initial_events_end_with_their_bookmark_where_the_server_streams() {
    let streamed = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=0";
    for age in [Age(32), Age(34)] {
        let server = ApiServer::start(Settings {
            age,
            ..Settings::default()
        })
        .expect("a server");
        server.store().apply(&config_map("a", "x")).expect("stored");
        let client = Client::new(&server);
        let mut watch = client.watch(&format!("{MAPS}?{streamed}"));
        assert_eq!(watch.told(), "ADDED a");
        let end = watch.next().expect("an event");
        assert_eq!(end["type"], "BOOKMARK");
        assert_eq!(
            end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
            "true"
        );
        server.store().apply(&config_map("b", "x")).expect("stored");
        assert_eq!(watch.told(), "ADDED b");
    }
    for (age, field) in [
        (Age(27), "sendInitialEvents"),
        (Age(33), "sendInitialEvents"),
        (Age(21), "resourceVersionMatch"),
    ] {
        let server = ApiServer::start(Settings {
            age,
            ..Settings::default()
        })
        .expect("a server");
        let status = Client::new(&server)
            .get(&format!("{MAPS}?{streamed}"))
            .failed(422, "Invalid");
        assert_eq!(status["details"]["causes"][0]["field"], field, "{status}");
    }
}

#[test]
fn a_table_is_watched_with_columns_once() {
    let server = server();
    server
        .store()
        .apply_all(&[config_map("a", "x"), config_map("b", "x")])
        .expect("stored");
    let mut client = Client::new(&server);
    client.accept = "application/json;as=Table;v=v1;g=meta.k8s.io".into();
    let mut watch = client.watch(&format!("{MAPS}?watch=1"));
    let (first, second) = (watch.next().expect("an event"), watch.next().expect("an event"));
    assert!(first["object"]["columnDefinitions"].is_array());
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
}

#[test]
fn no_change_is_lost_or_told_twice_when_watches_break_and_resume() {
    let server = server();
    let store = server.store();
    let from = store.revision();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..2000 {
                store
                    .apply(&config_map(&format!("m{}", n % 10), &n.to_string()))
                    .expect("stored");
                if n % 500 == 250 {
                    server.close_watches();
                }
            }
        });
        for http2 in [false, true, false] {
            let server = &server;
            scope.spawn(move || {
                let client = Client::with(server, http2);
                let (mut at, mut seen) = (from, 0);
                while seen < 2000 {
                    let mut watch = client.watch(&format!("{MAPS}?watch=1&resourceVersion={at}"));
                    while seen < 2000
                        && let Some(event) = watch.next()
                    {
                        let object = &event["object"];
                        assert_eq!(object["data"]["a"], seen.to_string());
                        at = object["metadata"]["resourceVersion"]
                            .as_str()
                            .and_then(|text| text.parse().ok())
                            .expect("a revision");
                        seen += 1;
                    }
                }
            });
        }
    });
}
