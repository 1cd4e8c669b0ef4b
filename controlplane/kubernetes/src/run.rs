//! The control plane's process, whatever its objects come from.

use headgate_controlplane::model::{Id, Kind};
use headgate_controlplane::{RunError, run_directory, run_source};

use crate::options::{Identity, PlaneOptions};
use crate::source::{Kubernetes, Watching};

/// Follows a cluster or a directory of manifests, and keeps the dataplane up to date, until SIGTERM or SIGINT. Call it on
/// the process's main thread before others are started: it drops the capabilities of its thread.
///
/// # Errors
///
/// What makes it impossible to start. Once it runs, it goes on whatever happens to the objects and the dataplane.
pub fn run(options: PlaneOptions) -> Result<(), RunError> {
    let PlaneOptions {
        mut plane,
        cluster,
        status,
        admission,
    } = options;
    let Some(access) = cluster.access() else {
        return run_directory(plane);
    };
    let identity = Identity::of_environment();
    let writing = status.writing(&identity, &plane.ingress_addresses);
    let (secrets, services) = (plane.default_certificate.iter(), &plane.services);
    let maps = [&services.tcp_services_configmap, &services.udp_services_configmap];
    let named = secrets.map(|name| Id::new(Kind::Secret, name.clone()));
    let named = named.chain(
        maps.into_iter()
            .flatten()
            .map(|name| Id::new(Kind::ConfigMap, name.clone())),
    );
    let named = named.collect();
    let health = cluster.health().map(|at| (at.port(), "--healthz-port"));
    let webhook = admission.port().map(|port| (port, "--validating-webhook"));
    plane.services.reserved_ports = health.into_iter().chain(webhook).collect();
    let mut watching = Watching {
        health: cluster.health(),
        access,
        namespaces: cluster.namespaces(),
        named,
        writing: Some(writing),
        admission: None,
    };
    run_source(plane, |settings| {
        watching.admission = admission.admission(&identity, settings);
        Kubernetes::start(watching).map_err(|error| RunError::Source(error.into()))
    })
}
