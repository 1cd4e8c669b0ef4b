//! Flags of the admission webhook. Those that ingress-nginx has mean what they mean there.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use headgate_controlplane::compile::{PortMaps, Settings};
use headgate_controlplane::model::ObjectName;

use super::Identity;
use crate::admission::{Admission, Rotation, ServerCertificate};

/// How the API server is answered that asks whether an object is good.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct AdmissionOptions {
    /// Where to answer, over HTTPS, an API server that asks whether Ingresses, Services and policies are good before it
    /// takes them: a validating admission webhook. `:PORT` is that port at all addresses
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, conflicts_with = "manifests")]
    pub validating_webhook: Option<SocketAddr>,

    /// Its certificate, in PEM, read again when it changes; without, one is made, kept in a Secret, and made again before it
    /// expires
    #[arg(long, value_name = "FILE", requires_all = ["validating_webhook", "validating_webhook_key"])]
    pub validating_webhook_certificate: Option<PathBuf>,

    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "validating_webhook_certificate")]
    pub validating_webhook_key: Option<PathBuf>,

    /// Service in the gateway's namespace by which API servers reach it. The certificate that is made is for its name, and
    /// in a Secret of its name
    #[arg(long, value_name = "NAME", default_value = "headgate-admission")]
    pub validating_webhook_service: String,

    /// ValidatingWebhookConfiguration that is told to trust that certificate
    #[arg(long, value_name = "NAME", default_value = "headgate-admission")]
    pub validating_webhook_configuration: String,
}

impl AdmissionOptions {
    /// Where it answers, if it does.
    pub(crate) fn port(&self) -> Option<u16> {
        self.validating_webhook.map(|address| address.port())
    }

    pub(crate) fn admission(self, identity: &Identity, settings: &Settings) -> Option<Admission> {
        let files = self
            .validating_webhook_certificate
            .zip(self.validating_webhook_key);
        let certificate = match files {
            Some((certificate, key)) => ServerCertificate::Files { certificate, key },
            None => ServerCertificate::Kept {
                service: ObjectName::new(identity.namespace(), self.validating_webhook_service),
                configuration: self.validating_webhook_configuration,
                rotation: Rotation::default(),
            },
        };
        Some(Admission {
            address: self.validating_webhook?,
            certificate,
            // What these say of a Service depends on more than is looked at before it is written.
            settings: Arc::new(Settings {
                default_backend: None,
                port_maps: PortMaps::default(),
                ..settings.clone()
            }),
        })
    }
}

/// `ADDR:PORT`, or `:PORT` as Go has it.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').map(str::parse);
    let address = match port {
        Some(port) => port
            .ok()
            .map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)),
        None => text.parse().ok(),
    };
    address
        .filter(|address| address.port() != 0)
        .ok_or_else(|| "must be an address and a port, as in [::]:8443, or a port, as in :8443".to_owned())
}

#[cfg(test)]
mod tests {
    use headgate_controlplane::harness::settings;

    use super::{ServerCertificate, address};
    use crate::options::Identity;
    use crate::options::tests::parsed;

    #[test]
    fn files_take_the_place_of_the_certificate_that_is_made() {
        let identity = Identity {
            pod: None,
            host: "h".to_owned(),
        };
        let admission = |flags: &[&str]| {
            let options = parsed(flags).expect("flags").admission;
            options.admission(&identity, &settings())
        };
        assert!(admission(&[]).is_none());
        let made = admission(&["--validating-webhook=:8443"])
            .expect("a webhook")
            .certificate;
        assert!(
            matches!(&made, ServerCertificate::Kept { service, .. } if service.to_string() == "default/headgate-admission")
        );
        let (certificate, key) = ("--validating-webhook-certificate=c", "--validating-webhook-key=k");
        let files = admission(&["--validating-webhook=:8443", certificate, key]).expect("a webhook");
        assert!(matches!(files.certificate, ServerCertificate::Files { .. }));
        for wrong in [
            &["--validating-webhook=:8443", certificate][..],
            &[certificate, key],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        let read = |text| address(text).map(|address| address.to_string());
        assert_eq!(read(":8443"), Ok("[::]:8443".to_owned()));
        assert_eq!(read("192.0.2.1:8443"), Ok("192.0.2.1:8443".to_owned()));
        for wrong in ["", "8443", ":", ":0", ":x", "host:8443", "192.0.2.1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
