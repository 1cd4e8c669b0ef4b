use serde_json::{Value, json};

use crate::client::{Client, MAPS, config_map, server};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn a_list_has_its_kind_and_items_have_none() {
    for http2 in [false, true] {
        let server = server();
        server.store().apply(&config_map("a", "x")).expect("stored");
        let client = Client::with(&server, http2);
        let list = client.get("/api/v1/configmaps").ok();
        assert_eq!(
            (&list["kind"], &list["apiVersion"]),
            (&json!("ConfigMapList"), &json!("v1"))
        );
        assert_eq!(
            list["metadata"]["resourceVersion"],
            json!(server.store().revision().to_string())
        );
        assert_eq!(list["items"][0].get("kind"), None);
        let one = client.get(&format!("{MAPS}/a")).ok();
        assert_eq!(
            (&one["kind"], &one["data"]),
            (&json!("ConfigMap"), &json!({"a": "x"}))
        );
        assert!(
            server
                .journal()
                .count(|entry| entry.http2 == http2 && entry.status == 200)
                >= 2
        );
    }
}

#[test]
fn a_list_in_chunks_is_of_one_moment() {
    let server = server();
    let maps: Vec<Value> = (0..7).map(|n| config_map(&format!("m{n}"), "x")).collect();
    server.store().apply_all(&maps).expect("stored");
    let client = Client::new(&server);
    let first = client.get(&format!("{MAPS}?limit=3")).ok();
    assert_eq!(names(&first), ["m0", "m1", "m2"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    assert!(server.store().delete("cm", "default", "m3"));
    server.store().apply(&config_map("m31", "y")).expect("stored");
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let second = client.get(&format!("{MAPS}?limit=3&continue={token}")).ok();
    assert_eq!(names(&second), ["m3", "m4", "m5"]);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let token = second["metadata"]["continue"].as_str().expect("a token");
    let third = client.get(&format!("{MAPS}?limit=3&continue={token}")).ok();
    assert_eq!(names(&third), ["m6"]);
    assert_eq!(third["metadata"].get("continue"), None);
}

#[test]
fn an_expired_token_brings_another_that_goes_on_all_the_same() {
    let server = server();
    let maps: Vec<Value> = (0..4).map(|n| config_map(&format!("m{n}"), "x")).collect();
    server.store().apply_all(&maps).expect("stored");
    let client = Client::new(&server);
    let first = client.get(&format!("{MAPS}?limit=2")).ok();
    server.store().apply(&config_map("m9", "x")).expect("stored");
    server.store().compact();
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let status = client
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .failed(410, "Expired");
    let token = status["metadata"]["continue"].as_str().expect("a fresh token");
    let rest = client.get(&format!("{MAPS}?continue={token}")).ok();
    assert_eq!(names(&rest), ["m2", "m3", "m9"]);
    client
        .get(&format!("{MAPS}?continue=nonsense"))
        .failed(400, "BadRequest");
    let both = format!("{MAPS}?continue={token}&resourceVersion=7");
    client.get(&both).failed(400, "BadRequest");
}

#[test]
fn revisions_are_exact_or_not_older() {
    let server = server();
    let client = Client::new(&server);
    server.store().apply(&config_map("a", "x")).expect("stored");
    let then = server.store().revision();
    server.store().apply(&config_map("b", "x")).expect("stored");
    let exact = client
        .get(&format!(
            "{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact"
        ))
        .ok();
    assert_eq!(names(&exact), ["a"]);
    let newer = client
        .get(&format!(
            "{MAPS}?resourceVersion={then}&resourceVersionMatch=NotOlderThan"
        ))
        .ok();
    assert_eq!(names(&newer), ["a", "b"]);
    assert_eq!(
        names(&client.get(&format!("{MAPS}?resourceVersion=0&limit=1")).ok()),
        ["a", "b"]
    );
    server.store().compact();
    client
        .get(&format!(
            "{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact"
        ))
        .failed(410, "Expired");
    let future = client
        .get(&format!("{MAPS}?resourceVersion={}", then + 100))
        .failed(504, "Timeout");
    assert_eq!(
        future["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    client
        .get(&format!("{MAPS}?resourceVersionMatch=Exact"))
        .failed(422, "Invalid");
    client
        .get(&format!("{MAPS}?resourceVersion=0&resourceVersionMatch=Exact"))
        .failed(422, "Invalid");
    client
        .get(&format!("{MAPS}?resourceVersion=abc"))
        .failed(400, "BadRequest");
}

#[test]
fn selectors_choose() {
    let server = server();
    let client = Client::new(&server);
    server
        .store()
        .apply_all(&[config_map("a", "x"), config_map("b", "y")])
        .expect("stored");
    assert_eq!(
        names(&client.get(&format!("{MAPS}?labelSelector=app%3Dy")).ok()),
        ["b"]
    );
    assert_eq!(
        names(
            &client
                .get("/api/v1/configmaps?fieldSelector=metadata.name%3Da,metadata.namespace%3Ddefault")
                .ok()
        ),
        ["a"]
    );
    client
        .get(&format!("{MAPS}?fieldSelector=spec.x%3D1"))
        .failed(400, "BadRequest");
    client
        .get(&format!("{MAPS}?labelSelector=a+in+b"))
        .failed(400, "BadRequest");
}

#[test]
fn a_client_may_ask_for_a_table_or_metadata_alone() {
    let server = server();
    server.store().apply(&config_map("a", "x")).expect("stored");
    let mut client = Client::new(&server);
    client.accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json".into();
    let table = client.get(MAPS).ok();
    assert_eq!(
        (&table["kind"], &table["columnDefinitions"][1]["name"]),
        (&json!("Table"), &json!("Data"))
    );
    assert_eq!(table["rows"][0]["cells"][1], "1");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    client.accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1".into();
    let list = client.get(MAPS).ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(
        (
            &list["items"][0]["metadata"]["name"],
            list["items"][0].get("data")
        ),
        (&json!("a"), None)
    );
}

#[test]
fn seventy_thousand_objects_are_stored_and_listed_in_seconds() {
    let server = server();
    let maps: Vec<Value> = (0..70_000).map(|n| config_map(&format!("m{n}"), "x")).collect();
    let before = std::time::Instant::now();
    assert_eq!(server.store().apply_all(&maps).expect("stored"), 70_000);
    let stored = before.elapsed();
    let client = Client::new(&server);
    let (mut seen, mut token) = (0, String::new());
    loop {
        let chunk = client.get(&format!("{MAPS}?limit=10000&continue={token}")).ok();
        seen += names(&chunk).len();
        match chunk["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 70_000);
    // Debug builds on busy machines are slow; what must not be is anything quadratic.
    assert!(
        before.elapsed().as_secs() < 60,
        "stored in {stored:?}, listed in {:?}",
        before.elapsed() - stored
    );
}
