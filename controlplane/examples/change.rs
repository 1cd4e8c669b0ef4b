//! How long a change of one file takes among thousands of objects: from the write to the transaction's operations.
//!
//! `cargo run --release -p headgate-controlplane --example change [ROUNDS [SERVICES]]`; 11 objects for a Service.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use headgate_controlplane::compile::{Compilation, Settings};
use headgate_controlplane::source::Source;
use headgate_controlplane::source::directory::Directory;
use headgate_controlplane::source::store::Store;

const PODS_EACH: u16 = 8;

/// A Service, its pods, an Ingress and a NetworkPolicy.
fn manifest(i: u16, round: u16) -> Result<String, std::fmt::Error> {
    let (a, b) = (i / 250, i % 250);
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}, namespace: n{a}}}\nspec: {{selector: {{app: s{i}}}, \
         externalIPs: [198.51.{a}.{b}], ports: [{{port: 80, targetPort: http}}]}}\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: s{i}, namespace: n{a}}}\nspec: {{ingressClassName: \
         headgate, rules: [{{host: h{i}.example.com, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: \
         {{name: s{i}, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: s{i}, namespace: n{a}}}\nspec: {{podSelector: \
         {{matchLabels: {{app: s{i}}}}}, ingress: [{{from: [{{namespaceSelector: {{}}, podSelector: {{matchLabels: {{tier: t{}}}}}}}], \
         ports: [{{port: http}}]}}]}}\n",
        i % 50
    );
    for pod in 0..PODS_EACH {
        write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: s{i}-{pod}, namespace: n{a}, labels: {{app: s{i}, tier: t{}}}}}\n\
             spec: {{containers: [{{name: c, image: i, ports: [{{name: http, containerPort: {}}}]}}]}}\n\
             status: {{podIP: 10.{a}.{b}.{pod}}}\n",
            i % 50,
            8000 + round
        )?;
    }
    Ok(text)
}

fn fill(root: &Path, services: u16) -> Result<(), Box<dyn Error>> {
    for i in 0..services {
        fs::write(root.join(format!("s{i}.yaml")), manifest(i, 0)?)?;
    }
    Ok(())
}

fn settings() -> Settings {
    Settings {
        addresses: vec![std::net::Ipv4Addr::new(203, 0, 113, 1).into()],
        ..Settings::default()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |n: usize, default| std::env::args().nth(n).map_or(Ok(default), |n| n.parse::<u16>());
    let (rounds, services) = (argument(1, 200)?, argument(2, 250)?);
    let temporary = tempfile::tempdir()?;
    fill(temporary.path(), services)?;
    let start = Instant::now();
    let mut directory = Directory::open(temporary.path())?;
    let mut store = Store::default();
    let mut compiler = Compilation::new(settings());
    let mut step = |store: &mut Store| {
        let changed = store.update(directory.next().unwrap_or_default());
        let parsed = Instant::now();
        let changes = compiler.update(store.model(), &changed, 0);
        assert!(store.problems().is_empty(), "the manifests are good");
        (changes, parsed)
    };
    let (changes, _) = step(&mut store);
    println!(
        "{} objects published, {:.1?} for the first look",
        changes.len(),
        start.elapsed()
    );

    let (mut whole, mut compiling) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let i = round % services;
        let start = Instant::now();
        fs::write(temporary.path().join(format!("s{i}.yaml")), manifest(i, round)?)?;
        let (changes, parsed) = step(&mut store);
        assert!(!changes.is_empty(), "a change is seen");
        whole.push(start.elapsed());
        compiling.push(parsed.elapsed());
    }
    report("write to operations", whole);
    report("of that compile", compiling);
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!(
        "{what}: median {:.2?}, worst {:.2?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}
