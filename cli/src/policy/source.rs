//! Where a [`Snapshot`] comes from.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headgate_controlplane::compile::{Settings, compile};
use headgate_controlplane::model::{Kind, Model};
use headgate_controlplane::problem::Problem;
use headgate_controlplane::source::directory;
use headgate_controlplane::source::store::{Contents, Store};
use headgate_ring::message::{EndpointPort, Object};

use super::flags::SourceFlags;
use super::snapshot::{Absent, Snapshot};

/// The state that the flags name. Problems of manifests are told on standard error, and do not stop the answer.
pub(super) fn snapshot(flags: &SourceFlags) -> Result<Snapshot> {
    manifests(&flags.manifests)
}

/// What a gateway that follows this directory would work by.
pub(super) fn manifests(directory: &Path) -> Result<Snapshot> {
    let files = directory::read(directory)?;
    ensure!(
        files
            .iter()
            .any(|(_, contents)| !matches!(contents, Contents::Gone)),
        "there is no manifest (*.yaml, *.yml, *.json) in {}",
        directory.display()
    );
    let mut store = Store::default();
    store.update(files);
    let compiled = compile(store.model(), &settings(), 0);
    let mut problems = store.problems();
    problems.extend(compiled.problems.into_iter().map(|mut problem| {
        problem.origin = problem.object.as_ref().and_then(|id| store.origin(id));
        problem
    }));
    tell(&problems);
    let objects = compiled.state.into_values().filter(concerns_policies).collect();
    Snapshot::new(objects, absent(store.model()))
        .with_context(|| format!("the dataplane would refuse the state of {}", directory.display()))
}

/// Nothing of it matters to policies.
fn settings() -> Settings {
    Settings {
        addresses: Vec::new(),
        http_port: 0,
        https_port: 0,
        class: String::new(),
        default_certificate: None,
        fallback_certificate: None,
    }
}

pub(super) fn concerns_policies(object: &Object) -> bool {
    matches!(object, Object::Endpoint(_) | Object::Group(_) | Object::Policy(_))
}

/// One line for each problem that may change who reaches whom.
fn tell(problems: &[Problem]) {
    let mut err = std::io::stderr().lock();
    for problem in problems {
        let concerns = |kind| {
            matches!(
                kind,
                Kind::Namespace | Kind::Pod | Kind::Node | Kind::NetworkPolicy | Kind::ClusterNetworkPolicy
            )
        };
        if problem.object.as_ref().is_none_or(|id| concerns(id.kind)) {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(err, "{problem}");
        }
    }
}

/// Pods and nodes that are no endpoints.
fn absent(model: &Model) -> BTreeMap<String, Absent> {
    let port = |(name, protocol, number): &(String, _, u16)| EndpointPort {
        name: name.clone(),
        protocol: *protocol,
        number: *number,
    };
    let pods = model.pods().filter_map(|(name, pod)| {
        let absent = match (pod.addresses.is_empty(), pod.host_network) {
            (true, _) => Absent::NoAddress,
            (false, true) => Absent::HostNetwork {
                addresses: pod.addresses.clone(),
                ports: pod.ports.iter().map(port).collect(),
                labels: pod.labels.clone().into_iter().collect(),
            },
            (false, false) => return None,
        };
        Some((name.to_string(), absent))
    });
    let nodes = model.nodes().filter(|(_, node)| node.addresses.is_empty());
    pods.chain(nodes.map(|(name, _)| (name.to_string(), Absent::NoAddress)))
        .collect()
}
