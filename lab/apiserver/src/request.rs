//! What a request asks for, read from its method and URL (`k8s.io/apiserver/pkg/endpoints/request.RequestInfo`).

use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, USER_AGENT};

use crate::failure::Failure;

/// A request, but for its body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) target: Target,
}

/// The decoded parameters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether it is about objects, and not `/version` or discovery.
    pub(crate) is_resource: bool,
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Request {
    pub(crate) fn new(method: Method, path: &str, query: &str, headers: HeaderMap) -> Self {
        let query = Query::parse(query);
        let target = Target::parse(&method, path, &query);
        Request {
            method,
            path: path.to_owned(),
            query,
            headers,
            target,
        }
    }

    pub(crate) fn header(&self, name: &hyper::header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn accept(&self) -> &str {
        self.header(&ACCEPT)
    }

    /// The media type of the body, without parameters.
    pub(crate) fn content_type(&self) -> &str {
        self.header(&CONTENT_TYPE)
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
    }

    pub(crate) fn user_agent(&self) -> &str {
        self.header(&USER_AGENT)
    }

    /// Who owns what this request writes: the parameter `fieldManager`, else the first word of the user agent.
    pub(crate) fn manager(&self) -> String {
        let named = self.query.get("fieldManager");
        if named.is_empty() {
            self.user_agent().split('/').next().unwrap_or_default().to_owned()
        } else {
            named.to_owned()
        }
    }

    /// Whether nothing may be written.
    pub(crate) fn is_dry_run(&self) -> Result<bool, Failure> {
        match self.query.get("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(Failure::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    /// The first value of a parameter; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Whether a flag is set: `strconv.ParseBool`, and an empty value counts as set.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name), "0" | "f" | "F" | "false" | "FALSE" | "False")
    }
}

/// Undoes percent encoding; `+` is a blank.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl Target {
    fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, mut rest) = match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => {
                return Target {
                    verb: verb_of_path(method),
                    ..Target::default()
                };
            }
        };
        // The old way to watch; deprecated, served all the same.
        let old_watch = rest.first() == Some(&"watch") && rest.len() > 1;
        if old_watch {
            rest = &rest[1..];
        }
        let mut target = Target {
            is_resource: true,
            ..Target::default()
        };
        target.group = group.to_owned();
        target.version = version.to_owned();
        if let ["namespaces", namespace, further @ ..] = rest {
            target.namespace = (*namespace).to_owned();
            // `/namespaces/x/status` and `/finalize` are about the namespace itself.
            if !further.is_empty() && !matches!(further, ["status" | "finalize"]) {
                rest = further;
            } else {
                target.namespace.clear();
            }
        }
        let at = |n: usize| rest.get(n).map(|part| (*part).to_owned()).unwrap_or_default();
        (target.resource, target.name, target.subresource) =
            (at(0), at(1), rest.get(2..).unwrap_or_default().join("/"));
        let watch = old_watch || query.is_set("watch");
        target.verb = verb(method, !target.name.is_empty() && !old_watch, watch);
        target
    }
}

fn verb_of_path(method: &Method) -> &'static str {
    match *method {
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

fn verb(method: &Method, named: bool, watch: bool) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if watch => "watch",
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Method};

    use super::Request;

    fn seen(method: Method, path: &str, query: &str) -> String {
        let target = Request::new(method, path, query, HeaderMap::new()).target;
        let parts = [
            &target.group,
            &target.version,
            &target.namespace,
            &target.resource,
            &target.name,
            &target.subresource,
        ];
        format!("{} {}", target.verb, parts.map(String::as_str).join("|"))
    }

    #[test]
    fn urls_are_read() {
        let cases = [
            ("/api/v1/pods", "", "list |v1||pods||"),
            ("/api/v1/pods", "watch=true", "watch |v1||pods||"),
            ("/api/v1/pods", "watch=0", "list |v1||pods||"),
            ("/api/v1/watch/namespaces/a/pods", "", "watch |v1|a|pods||"),
            ("/api/v1/namespaces", "", "list |v1||namespaces||"),
            ("/api/v1/namespaces/a", "", "get |v1||namespaces|a|"),
            ("/api/v1/namespaces/a/status", "", "get |v1||namespaces|a|status"),
            ("/api/v1/namespaces/a/pods/b", "", "get |v1|a|pods|b|"),
            (
                "/apis/networking.k8s.io/v1/namespaces/a/ingresses/b/status",
                "",
                "get networking.k8s.io|v1|a|ingresses|b|status",
            ),
            ("/apis/networking.k8s.io/v1", "", "get |||||"),
            ("/version", "", "get |||||"),
        ];
        for (path, query, expected) in cases {
            assert_eq!(seen(Method::GET, path, query), expected, "{path}");
        }
        assert_eq!(
            seen(Method::DELETE, "/api/v1/namespaces/a/pods", ""),
            "deletecollection |v1|a|pods||"
        );
        assert_eq!(
            seen(Method::PATCH, "/api/v1/nodes/n%2D1/status", ""),
            "patch |v1||nodes|n-1|status"
        );
    }

    #[test]
    fn parameters_are_decoded() {
        let request = Request::new(
            Method::GET,
            "/api/v1/pods",
            "labelSelector=a+in+%28b%2Cc%29&x",
            HeaderMap::new(),
        );
        assert_eq!(request.query.get("labelSelector"), "a in (b,c)");
        assert!(request.query.is_set("x") && !request.query.is_set("y"));
    }
}
