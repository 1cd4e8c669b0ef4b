//! Where a [`PolicySnapshot`] comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use headgate_controlplane::compile::{Settings, compile};
use headgate_controlplane::model::{Kind, Model};
use headgate_controlplane::problem::Problem;
use headgate_controlplane::source::directory;
use headgate_controlplane::source::{Change, Contents, store::Store};
use headgate_net::policy::PolicyState;
use headgate_ring::message::{EndpointPort, Object};

use super::flags::SourceFlags;
use super::planned;
use super::snapshot::{Absent, Live, PolicySnapshot};
use crate::socket;

/// The state that the flags name. Problems of manifests are told on standard error, and do not stop the answer.
pub(super) fn snapshot(flags: &SourceFlags) -> Result<PolicySnapshot> {
    let snapshot = silent(flags)?;
    tell(&snapshot.problems);
    Ok(snapshot)
}

/// Likewise, without telling.
pub(super) fn silent(flags: &SourceFlags) -> Result<PolicySnapshot> {
    match &flags.manifests {
        Some(directory) => manifests(directory),
        None => gateway(&flags.run_dir),
    }
}

/// What a gateway that follows this directory would work by.
pub(super) fn manifests(directory: &Path) -> Result<PolicySnapshot> {
    let CompiledManifests {
        objects,
        store,
        planned,
        problems,
    } = compiled(directory)?;
    let mut snapshot = PolicySnapshot::new(objects)
        .with_context(|| format!("the dataplane would refuse the state of {}", directory.display()))?;
    snapshot.absent = absent(store.model());
    snapshot.planned = planned;
    snapshot.model = Some(store.model().clone());
    snapshot.problems = problems;
    Ok(snapshot)
}

/// What the control plane makes of a directory.
struct CompiledManifests {
    /// What it would send, as far as policies are concerned.
    objects: Vec<Object>,
    /// What it has read.
    store: Store,
    /// Pods that do not run yet.
    planned: BTreeSet<String>,
    /// What is wrong, likewise.
    problems: Vec<Problem>,
}

fn compiled(directory: &Path) -> Result<CompiledManifests> {
    let mut files = directory::read(directory)?;
    ensure!(
        files
            .iter()
            .any(|change| matches!(change, Change::File(_, contents) if !matches!(contents, Contents::Gone))),
        "there is no manifest (*.yaml, *.yml, *.json) in {}",
        directory.display()
    );
    let planned = planned::plan(&mut files);
    let mut store = Store::default();
    store.update(files);
    let compiled = compile(store.model(), &settings(), 0);
    let mut problems = store.problems();
    problems.extend(compiled.problems.into_iter().map(|mut problem| {
        problem.origin = problem.object.as_ref().and_then(|id| store.origin(id));
        problem
    }));
    problems.retain(|problem| problem.object.as_ref().is_none_or(|id| matters(id.kind)));
    let objects = compiled.state.into_values().filter(concerns_policies);
    Ok(CompiledManifests {
        objects: objects.collect(),
        store,
        planned,
        problems,
    })
}

/// Whether objects of this kind may change who reaches whom.
fn matters(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Namespace | Kind::Pod | Kind::Node | Kind::NetworkPolicy | Kind::ClusterNetworkPolicy
    )
}

/// What a running gateway works by.
pub(super) fn gateway(run_dir: &Path) -> Result<PolicySnapshot> {
    let document = socket::ask(run_dir, "policy")?;
    let state: PolicyState = serde_json::from_str(&document)
        .context("the dataplane's answer is not what this version of headgate knows")?;
    // Read a moment ago: nobody else holds them.
    let endpoints = state.endpoints.into_iter().map(Arc::unwrap_or_clone);
    let groups = state.groups.into_iter().map(Arc::unwrap_or_clone);
    let policies = state.policies.into_iter().map(Arc::unwrap_or_clone);
    let publication = state.publication;
    let objects = endpoints.map(Object::Endpoint);
    let objects = objects
        .chain(groups.map(Object::Group))
        .chain(policies.map(Object::Policy));
    let mut snapshot =
        PolicySnapshot::new(objects.collect()).context("the state of the running dataplane")?;
    snapshot.live = Some(Live {
        run_dir: run_dir.to_owned(),
        publication,
    });
    Ok(snapshot)
}

/// Nothing of it matters to policies.
fn settings() -> Settings {
    Settings {
        http_port: 0,
        https_port: 0,
        ..Settings::default()
    }
}

fn concerns_policies(object: &Object) -> bool {
    matches!(object, Object::Endpoint(_) | Object::Group(_) | Object::Policy(_))
}

/// One line for each problem.
pub(super) fn tell(problems: &[Problem]) {
    let mut err = std::io::stderr().lock();
    for problem in problems {
        // With standard error closed there is nobody to tell.
        let _ = writeln!(err, "{problem}");
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
                labels: pod.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            },
            (false, false) => return None,
        };
        Some((name.to_string(), absent))
    });
    let nodes = model.nodes().filter(|(_, node)| node.addresses.is_empty());
    pods.chain(nodes.map(|(name, _)| (name.to_string(), Absent::NoAddress)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    use headgate_net::config::State;
    use headgate_net::policy::DecisionStatus;
    use headgate_ring::{Operation, Transaction};

    use super::*;
    use crate::testing::{DENY, SHOP};

    /// Answers so many questions as a dataplane does; the end-to-end tests ask a real one.
    fn serve(listener: &UnixListener, state: &State, questions: usize) {
        let policy = state.policy();
        for _ in 0..questions {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let document = match line.trim().strip_prefix("decide ") {
                Some(question) => {
                    serde_json::to_vec(&DecisionStatus::of(policy, 1, &question.parse().unwrap()))
                }
                None => serde_json::to_vec(&PolicyState::of(policy, 1)),
            };
            stream.write_all(&document.unwrap()).unwrap();
        }
    }

    #[test]
    fn a_gateway_and_its_manifests_make_the_same_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), [SHOP, DENY].join("---\n")).unwrap();
        let objects = compiled(directory.path()).unwrap().objects;
        let transaction = Transaction {
            generation: 1,
            full: true,
            operations: objects.into_iter().map(Operation::Put).collect(),
        };
        let mut state = State::default();
        state.apply(transaction).unwrap();
        let listener = UnixListener::bind(directory.path().join("status.sock")).unwrap();
        let server = std::thread::spawn(move || serve(&listener, &state, 3));
        let (live, offline) = (
            gateway(directory.path()).unwrap(),
            manifests(directory.path()).unwrap(),
        );
        assert_eq!(live.endpoints, offline.endpoints);
        assert_eq!(live.endpoints.len(), 3);
        let connection = headgate_net::policy::Question {
            from: live.endpoints[0].addresses[0],
            to: live.endpoints[1].addresses[0],
            protocol: headgate_ring::message::Protocol::Tcp,
            port: 5432,
        };
        assert_eq!(
            live.decide(connection).unwrap(),
            offline.decide(connection).unwrap()
        );
        live.confirm(connection, Some("ingress")).unwrap();
        let error = live.confirm(connection, None).unwrap_err().to_string();
        assert!(error.contains("bug of headgate"), "{error}");
        server.join().unwrap();
        // Of manifests there is nobody to ask.
        offline.confirm(connection, None).unwrap();
    }

    #[test]
    fn a_directory_without_manifests_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = manifests(directory.path()).err().unwrap().to_string();
        assert!(error.contains("there is no manifest"), "{error}");
        let error = manifests(&directory.path().join("none"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("cannot read the directory of manifests"),
            "{error}"
        );
    }
}
