//! Flags about a cluster as the source of objects.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::Access;
use headgate_controlplane::model::name::is_label;

/// Which cluster to follow, and how much of it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct ClusterOptions {
    /// Follow the API of the cluster in whose pod this runs, with the pod's service account
    #[arg(long, conflicts_with_all = ["manifests", "kubeconfig"])]
    pub kubernetes: bool,

    /// Follow the API of the cluster that this kubeconfig names, with its credentials
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig, instead of its current one
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub kube_context: Option<String>,

    /// Look at the objects of this namespace alone; may be given several times, and an empty one means all. Policies that
    /// speak of pods in other namespaces then do not find them
    #[arg(
        long = "watch-namespace",
        value_name = "NAME",
        conflicts_with = "manifests",
        value_parser = namespace
    )]
    pub watch_namespaces: Vec<String>,

    /// Port at which the control plane answers /healthz and /readyz; ready means that the dataplane has acknowledged what
    /// the API says. 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 0, conflicts_with = "manifests")]
    pub healthz_port: u16,

    /// Address of the host for it
    #[arg(long, value_name = "ADDR", default_value = "::", requires = "healthz_port")]
    pub healthz_host: IpAddr,
}

impl ClusterOptions {
    /// Where to answer `/healthz` and `/readyz`, if anywhere.
    #[must_use]
    pub fn health(&self) -> Option<SocketAddr> {
        (self.healthz_port != 0).then_some(SocketAddr::new(self.healthz_host, self.healthz_port))
    }

    /// The namespaces to look at; none for all, as also an empty name says to ingress-nginx.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        if self.watch_namespaces.iter().any(String::is_empty) {
            return Vec::new();
        }
        self.watch_namespaces.clone()
    }

    /// How the API is reached, if one is to be followed.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        match &self.kubeconfig {
            Some(path) => Some(Access::Kubeconfig {
                path: path.clone(),
                context: self.kube_context.clone(),
            }),
            None => self.kubernetes.then_some(Access::InCluster),
        }
    }
}

fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() || is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("is not the name of a namespace".to_owned())
    }
}
