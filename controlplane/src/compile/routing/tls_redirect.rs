//! From HTTP to HTTPS, as ingress-nginx does without being asked.

use headgate_ring::message::{Filters, PathMatch, Redirect, Scheme};

use crate::compile::Settings;
use crate::compile::notes::{About, Note, Place};
use crate::model::{Age, Annotations, Id, ObjectName};
use crate::problem::Problem;

const REDIRECT: &str = "nginx.ingress.kubernetes.io/ssl-redirect";
const FORCE: &str = "nginx.ingress.kubernetes.io/force-ssl-redirect";

/// What is never redirected, because certificates are got by it (RFC 8555 section 8.3); ingress-nginx's
/// `no-tls-redirect-locations`.
const ACME: &str = "/.well-known/acme-challenge";

/// What an Ingress wants of clients that speak HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// To be sent to HTTPS where the host has TLS,
    redirect: bool,
    /// or in any case.
    force: bool,
}

impl Wish {
    /// Reads the annotations of an Ingress. A value that is none gets a line, and the default holds.
    pub(super) fn read(
        annotations: &Annotations,
        settings: &Settings,
        id: &Id,
        age: Age,
        notes: &mut Vec<Note>,
    ) -> Self {
        let mut flag = |name: &str, default: bool| {
            let Some(value) = annotations.get(name).filter(|value| !value.is_empty()) else {
                return default;
            };
            let value = value.trim();
            let read = boolean(value);
            if read.is_none() {
                let text = format!(
                    "metadata.annotations[{name}]: \"{value}\" is neither true nor false; {default} holds"
                );
                notes.push((at(age, &id.name), Problem::warning(id.clone(), text)));
            }
            read.unwrap_or(default)
        };
        Self {
            redirect: flag(REDIRECT, settings.ssl_redirect),
            force: flag(FORCE, false),
        }
    }

    /// The filters of a route of the Ingress, on a host with or without TLS.
    pub(super) fn filters(
        self,
        path: &PathMatch,
        host_has_tls: bool,
        settings: &Settings,
    ) -> Option<Box<Filters>> {
        let exempt =
            matches!(path, PathMatch::Exact(path) | PathMatch::Prefix(path) if path.starts_with(ACME));
        let served = host_has_tls && settings.https_port != 0;
        if exempt || !(self.force || (self.redirect && served)) {
            return None;
        }
        Some(Box::new(Filters {
            redirect: Some(Redirect {
                from: Some(Scheme::Http),
                scheme: Some(Scheme::Https),
                host: None,
                port: Some(settings.https_port).filter(|port| *port != 0 && *port != Scheme::Https.port()),
                path: None,
                status: 308,
            }),
        }))
    }
}

fn at(age: Age, object: &ObjectName) -> Place {
    Place {
        about: About::Class,
        age,
        object: object.clone(),
        field: [1, 0, 0],
    }
}

/// The words of Go's `strconv.ParseBool`, which ingress-nginx takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
