//! The Lease at the API server: got, kept, and given to the next.

use std::collections::BTreeSet;

use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::addresses::serving_pods;
use super::election::Act;
use super::{GET_LEASE, Writer, status_of};
use crate::reply::Failure;
use headgate_controlplane::model::{Id, Kind, ObjectName};

impl Writer {
    /// Tries to get, or to keep, the Lease.
    pub(super) async fn campaign(&mut self) {
        let begun = Instant::now();
        match self.attempt(begun).await {
            Ok(true) => {
                self.election.won(begun);
                self.complaints.over(GET_LEASE);
            }
            Ok(false) => {
                self.complaints.over(GET_LEASE);
            }
            // Somebody else was faster.
            Err(Failure::Conflict(_)) => {}
            Err(failure) => self.complain(GET_LEASE, &failure),
        }
    }

    async fn attempt(&mut self, begun: Instant) -> Result<bool, Failure> {
        let path = self.lease_path();
        let lease = match self.send(Method::GET, &path, "", &Value::Null).await {
            Ok(lease) => Some(lease),
            Err(Failure::Missing) => None,
            Err(failure) => return Err(failure),
        };
        match self.election.consider(lease.as_ref(), begun, Timestamp::now()) {
            Act::Wait => Ok(false),
            Act::Replace(lease) => {
                self.send(Method::PUT, &path, "application/json", &lease).await?;
                Ok(true)
            }
            Act::Create(mut lease) => {
                let ObjectName { namespace, name } = &self.options.lease;
                lease["apiVersion"] = json!("coordination.k8s.io/v1");
                lease["kind"] = json!("Lease");
                lease["metadata"] = json!({ "namespace": namespace, "name": name });
                let all = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
                self.send(Method::POST, &all, "application/json", &lease).await?;
                Ok(true)
            }
        }
    }

    /// Whether no other pod of this gateway serves. Outside of a cluster nobody knows of others.
    async fn is_last(&mut self) -> bool {
        let Some(pod) = &self.options.pod else { return true };
        match serving_pods(&self.connection, pod).await {
            Ok(pods) => pods
                .iter()
                .all(|other| other["metadata"]["name"] == pod.name.as_str()),
            Err(failure) => {
                self.complain("find out whether other gateways serve", &failure);
                false
            }
        }
    }

    fn lease_path(&self) -> String {
        let ObjectName { namespace, name } = &self.options.lease;
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
    }

    /// Takes back what only this gateway makes true, and gives the Lease to the next.
    pub(super) async fn farewell(&mut self) {
        if !self.leads() {
            return;
        }
        if self.is_last().await && self.options.clear_on_end && self.options.publish.is_some() {
            let ingresses = self.ingresses.farewell().into_iter();
            let ingresses = ingresses.map(|name| Id::new(Kind::Ingress, name));
            let services = self.services.farewell().into_iter();
            for id in ingresses.chain(services.map(|name| Id::new(Kind::Service, name))) {
                match self.write_status(&id, &BTreeSet::new()).await {
                    Ok(()) | Err(Failure::Missing) => {}
                    Err(failure) => {
                        self.complain(status_of(id.kind), &failure);
                        break;
                    }
                }
            }
        }
        let path = self.lease_path();
        if let Ok(lease) = self.send(Method::GET, &path, "", &Value::Null).await
            && let Some(lease) = self.election.release(&lease)
            && let Err(failure) = self.send(Method::PUT, &path, "application/json", &lease).await
        {
            self.complain("give back the Lease", &failure);
        }
    }
}
