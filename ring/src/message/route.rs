//! Which request goes where: neutral routes, whatever kind of object they were written in.

use serde::{Deserialize, Serialize};

/// The routes of one host, from every object that names it.
///
/// Routes have no numbers here. One is the same as before while its host, its [`RouteMatch`] and the object that it was
/// made of are; the dataplane numbers those that it has, so that what it keeps of a route (limits, counters) outlives
/// every change of filters and backends, and a control plane that begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualHost {
    /// In lower case: a name, `*.name` for exactly one more label in front of it, or the empty string for routes
    /// without a host, which stand behind those of any matching host.
    pub host: String,
    /// In the order in which they are tried: the first that matches has the request.
    pub routes: Vec<Route>,
}

/// What happens to some requests of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Which requests.
    pub matches: RouteMatch,
    /// What is done on the way; `None` for nothing but forwarding, as most routes have it.
    pub filters: Option<Box<Filters>>,
    /// Where they go, each to one of these by its share; empty, or of weight 0 together, is answered 503.
    pub backends: Vec<WeightedBackend>,
    /// What the route was made of.
    pub origin: RouteOrigin,
}

/// Which requests of a host a route is for: all of this must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatch,
    /// The method, in upper case as requests have it; `None` for any.
    pub method: Option<String>,
    /// Headers by their names in lower case; of a header that comes several times any value may match.
    pub headers: Vec<ValueMatch>,
    /// Parameters of the query, decoded; of one that comes several times the first counts.
    pub query: Vec<ValueMatch>,
}

/// How a path is compared, in normal form on both sides: escapes decoded (RFC 3986 section 6.2.2.2), dot segments
/// resolved, runs of slashes merged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path. Begins with `/`.
    Exact(String),
    /// By path element: `/a` matches `/a`, `/a/` and `/a/b` but not `/ab`. Begins with `/`.
    Prefix(String),
    /// A regular expression that finds something in the path; the syntax is that of the crate `regex`, and anchors
    /// stand where they are meant.
    Regex(String),
}

/// A named value of a request, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ValueMatch {
    /// Of the header or parameter.
    pub name: String,
    /// What its value must be.
    pub value: TextMatch,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TextMatch {
    /// Byte for byte.
    Exact(String),
    /// As [`PathMatch::Regex`].
    Regex(String),
}

/// What a route does besides forwarding; each is `None` where it is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// Answers instead of a backend.
    pub redirect: Option<Redirect>,
}

/// An answer that sends the client elsewhere. What is `None` stays as in the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Only requests that came by this scheme are sent elsewhere; all others go on to the backends.
    pub from: Option<Scheme>,
    /// The scheme of `Location`.
    pub scheme: Option<Scheme>,
    /// Its host, without a port.
    pub host: Option<String>,
    /// Its port. `None` is the listener's where the scheme stays, and else the scheme's own; that one is not written.
    pub port: Option<u16>,
    /// Its path, which takes the place of the whole path and leaves the query.
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// What a client speaks, as URIs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// In TLS.
    Https,
}

impl Scheme {
    /// As in URIs: `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that URIs leave out.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of the places where a route's requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedBackend {
    /// The [`Upstream::name`](super::Upstream::name); one that is not there has no endpoints.
    pub upstream: String,
    /// Its share is this of the sum of all. 0 gets nothing.
    pub weight: u32,
}

/// The object that a route was made of, and the place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteOrigin {
    /// The object's kind.
    pub kind: RouteKind,
    /// `namespace/name` of the object.
    pub name: String,
    /// The field, as `spec.rules[0].http.paths[1]`, or the flag.
    pub rule: String,
}

/// Kinds of objects that routes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteKind {
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `v1`: a Service that a flag names, for what no rule matches.
    Service,
}

impl std::fmt::Display for RouteKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingress => "Ingress",
            Self::Service => "Service",
        })
    }
}

/// `Ingress shop/web: spec.rules[0].http.paths[1]`
impl std::fmt::Display for RouteOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.name, self.rule)
    }
}
