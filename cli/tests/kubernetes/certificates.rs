//! cert-manager and external-dns, as far as they can be seen from here: the objects that they write and read.
//! `scripts/check-issuers` runs the programs.
//!
//! Those of cert-manager are what `pkg/issuer/acme/http` of its versions 1.5 and later makes: a pod, a Service of type NodePort
//! and an Ingress for each challenge, by `ingressClassName` or by annotation, of path type `ImplementationSpecific` before 1.18
//! and `Exact` since; or a path in the Ingress that is there (`acme.cert-manager.io/http01-edit-in-place`).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use headgate_apiserver::Settings;
use headgate_lab::free_port;
use headgate_lab::tls::Authority;
use serde_json::{Value, json};

use crate::bed::{ADDRESS, Bed};

const HOST: &str = "web.example.com";

/// With HTTPS; gives its port.
fn bed() -> (Bed, u16) {
    let https = free_port(&[ADDRESS.parse().unwrap()], 28_443).unwrap();
    let bed = Bed::with(Settings::default(), &["--https-port", &https.to_string()]);
    bed.apply_all();
    bed.server.store().apply(&shop()).unwrap();
    (bed, https)
}

/// The Ingress that wants a certificate, and is redirected to HTTPS with or without it.
fn shop() -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": "web", "annotations": {
            "cert-manager.io/cluster-issuer": "letsencrypt",
            "nginx.ingress.kubernetes.io/force-ssl-redirect": "true",
            "external-dns.alpha.kubernetes.io/ttl": "60",
        }},
        "spec": {
            "ingressClassName": "headgate",
            "tls": [{"hosts": [HOST], "secretName": "web-tls"}],
            "rules": [{"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    })
}

fn path(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

fn challenge_path(token: &str, path_type: &str) -> Value {
    json!({
        "path": path(token), "pathType": path_type,
        "backend": {"service": {"name": format!("cm-acme-http-solver-{token}"), "port": {"number": 8089}}},
    })
}

/// What cert-manager makes for a challenge, but for the Ingress, and what the cluster makes of it.
fn solver(bed: &Bed, token: &str) -> Vec<Value> {
    let name = format!("cm-acme-http-solver-{token}");
    let labels = json!({
        "acme.cert-manager.io/http-domain": "1234567890", "acme.cert-manager.io/http-token": token,
        "acme.cert-manager.io/http01-solver": "true",
    });
    let port = json!({"name": "http", "port": 8089, "targetPort": 8089, "protocol": "TCP"});
    vec![
        json!({"apiVersion": "v1", "kind": "Service",
               "metadata": {"namespace": "shop", "name": name, "labels": labels,
                            "annotations": {"auth.istio.io/8089": "NONE"}},
               "spec": {"type": "NodePort", "selector": labels, "ports": [port]}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
               "metadata": {"namespace": "shop", "name": format!("{name}-x"),
                            "labels": {"kubernetes.io/service-name": name}},
               "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
               // The solver of this test is the server that all others are, too.
               "ports": [{"name": "http", "port": bed.pod, "protocol": "TCP"}]}),
    ]
}

/// The Ingress that it makes.
fn solver_ingress(token: &str, by_annotation: bool, path_type: &str) -> Value {
    let mut annotations = json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0"});
    let mut spec = json!({"rules": [{"host": HOST, "http": {"paths": [challenge_path(token, path_type)]}}]});
    if by_annotation {
        annotations["kubernetes.io/ingress.class"] = json!("headgate");
    } else {
        spec["ingressClassName"] = json!("headgate");
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "namespace": "shop", "name": format!("cm-acme-http-solver-{token}"), "annotations": annotations,
            "labels": {"acme.cert-manager.io/http01-solver": "true"},
            "ownerReferences": [{"apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "name": "web-tls-1-2-3",
                "uid": "6d0b1b0c-0000-4000-8000-000000000000", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": spec,
    })
}

/// The status line and the body of an answer over HTTP.
fn get(bed: &Bed, path: &str) -> (String, String) {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(bed.http)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = ask().unwrap_or_default();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

/// Has the server know a token.
fn know(bed: &Bed, token: &str) -> String {
    let key = format!("{token}.key-authorization");
    let file = bed.directory().join("www").join(&path(token)[1..]);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, &key).unwrap();
    key
}

#[test]
fn challenges_are_answered_over_http_while_all_else_is_redirected() {
    let (bed, _) = bed();
    let redirected = |path: &str| get(&bed, path).0.starts_with("HTTP/1.1 308 ");
    // A connection goes to any of the workers, of which one takes the state over before the other.
    bed.until("it redirects", || (0..16).all(|_| redirected("/")));
    let store = bed.server.store();
    let ways = [
        ("annotation-old", Some((true, "ImplementationSpecific"))),
        ("class-old", Some((false, "ImplementationSpecific"))),
        ("annotation", Some((true, "Exact"))),
        ("class", Some((false, "Exact"))),
        ("in-place", None),
    ];
    for (token, way) in ways {
        let key = know(&bed, token);
        assert!(redirected(&path(token)), "nobody has asked for it yet");
        store.apply_all(&solver(&bed, token)).unwrap();
        match way {
            Some((by_annotation, path_type)) => {
                store
                    .apply(&solver_ingress(token, by_annotation, path_type))
                    .unwrap();
            }
            None => {
                let mut edited = shop();
                let paths = &mut edited["spec"]["rules"][0]["http"]["paths"];
                let path = challenge_path(token, "ImplementationSpecific");
                paths.as_array_mut().unwrap().push(path);
                store.apply(&edited).unwrap();
            }
        }
        let begun = Instant::now();
        let answer = ("HTTP/1.1 200 OK".to_owned(), key);
        bed.until("the challenge is answered", || get(&bed, &path(token)) == answer);
        // Nobody to tell where standard error is closed.
        let _ = writeln!(
            std::io::stderr(),
            "{token}: answered after {:.1?}",
            begun.elapsed()
        );
        assert!(redirected("/") && redirected(&path("another")));
        // Once the certificate is there.
        let name = format!("cm-acme-http-solver-{token}");
        match way {
            Some(_) => assert!(store.delete("Ingress", "shop", &name)),
            None => {
                store.apply(&shop()).unwrap();
            }
        }
        assert!(store.delete("Service", "shop", &name));
        assert!(store.delete("EndpointSlice", "shop", &format!("{name}-x")));
        bed.until("it is redirected again", || redirected(&path(token)));
    }
    // Only of the certificate, which never comes.
    let told = || store.list("Event", "shop");
    bed.until("an Event", || !told().is_empty());
    let of_the_solver = |event: &Value| event["involvedObject"]["name"] != "web";
    assert!(!told().iter().any(of_the_solver), "{:#?}", told());
}

/// A client that keeps its connection: `openssl s_client`, a program of its own.
struct Kept {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Kept {
    fn open(https: u16) -> Self {
        let mut process = s_client(https)
            .args(["-quiet", "-no_ign_eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            to: process.stdin.take().unwrap(),
            from: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// The status line and the body of the next answer.
    fn get(&mut self) -> (String, String) {
        write!(self.to, "GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.from.read_line(&mut head).unwrap() > 0,
                "the connection has ended"
            );
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<u64>().ok())?
        });
        let mut body = String::new();
        let mut from = self.from.by_ref().take(length.unwrap_or(0));
        from.read_to_string(&mut body).unwrap();
        (head.lines().next().unwrap_or_default().to_owned(), body)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn s_client(https: u16) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("{ADDRESS}:{https}")]);
    command.args(["-servername", HOST]);
    command
}

/// A certificate in PEM without its last line.
fn first(text: &str) -> String {
    let from = text.find("-----BEGIN CERTIFICATE-----").unwrap_or(text.len());
    let certificate = text[from..].split("-----END").next().unwrap_or_default();
    certificate.split_whitespace().collect()
}

/// The certificate that a new client is shown.
fn shown(https: u16) -> String {
    let output = s_client(https)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    first(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn a_certificate_that_is_replaced_is_the_next_clients_and_no_connection_ends() {
    let (bed, https) = bed();
    let authority = Authority::new("an authority").unwrap();
    let issue = |serial: usize| {
        let issued = authority.issue(&[HOST]).unwrap();
        let mut secret: Value = serde_saphyr::from_str(&issued.secret("shop", "web-tls")).unwrap();
        secret["metadata"]["annotations"] = json!({
            "cert-manager.io/certificate-name": "web-tls", "cert-manager.io/revision": serial.to_string(),
        });
        bed.server.store().apply(&secret).unwrap();
        first(&issued.chain)
    };
    let answer = ("HTTP/1.1 200 OK".to_owned(), "hello\n".to_owned());
    // Objects of other kinds may come later than the Secret: from here on nothing is missing.
    let first = issue(0);
    bed.until("the first certificate is shown", || shown(https) == first);
    bed.until("the pod answers", || Kept::open(https).get() == answer);
    let mut clients = Vec::new();
    for serial in 1..=4 {
        let certificate = issue(serial);
        assert!(certificate.len() > 100, "{certificate}");
        bed.until("the new certificate is shown", || shown(https) == certificate);
        clients.push(Kept::open(https));
        for client in &mut clients {
            assert_eq!(client.get(), answer, "after certificate {serial}");
        }
    }
}

/// As its `source/ingress.go` reads them: the host of each rule is to lead to each address of the status.
#[test]
fn external_dns_finds_hosts_and_targets() {
    let (bed, _) = bed();
    let records = || {
        let mut records = BTreeSet::new();
        for ingress in bed.server.store().list("Ingress", "shop") {
            let rules = ingress["spec"]["rules"].as_array().cloned().unwrap_or_default();
            let targets = ingress["status"]["loadBalancer"]["ingress"].as_array().cloned();
            for target in targets.unwrap_or_default() {
                let text = target["ip"].as_str().or(target["hostname"].as_str());
                let target = text.unwrap_or_default().to_owned();
                let hosts = rules.iter().filter_map(|rule| rule["host"].as_str());
                records.extend(hosts.map(|host| (host.to_owned(), target.clone())));
            }
        }
        records
    };
    let wanted = BTreeSet::from([(HOST.to_owned(), ADDRESS.to_owned())]);
    bed.until("the record", || records() == wanted);
    let ingress = bed.server.store().get("Ingress", "shop", "web").unwrap();
    let annotations = &ingress["metadata"]["annotations"];
    assert_eq!(
        *annotations,
        shop()["metadata"]["annotations"],
        "they are left alone"
    );
    // What is no more takes its record with it.
    assert!(bed.server.store().delete("Ingress", "shop", "web"));
    bed.until("no record", || records().is_empty());
}
