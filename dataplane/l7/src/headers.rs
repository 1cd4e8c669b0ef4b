//! Headers: what is taken away on the way through, and what is added.
//!
//! Names and treatment are those of ingress-nginx with its defaults: what a client claims about itself is replaced,
//! not extended (`use-forwarded-headers: false`), and request headers with an underscore are dropped
//! (`enable-underscores-in-headers: false`), since many servers take `X_Real_IP` for `X-Real-IP`.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Uri, uri};

pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static SCHEME: HeaderName = HeaderName::from_static("x-scheme");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY: HeaderName = HeaderName::from_static("proxy");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who asks, and by which listener.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) listener: SocketAddr,
    pub(super) tls: bool,
    /// `address.ip()`, ready for headers.
    ip: HeaderValue,
    port: HeaderValue,
}

impl Client {
    pub(super) fn new(address: SocketAddr, listener: SocketAddr, tls: bool) -> Self {
        let ip =
            HeaderValue::try_from(address.ip().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            address,
            listener,
            tls,
            ip,
            port: HeaderValue::from(listener.port()),
        }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// Takes away what concerns one connection only (RFC 9110 section 7.6.1).
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // Framing and routing are ours: nobody talks us out of these.
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        &header::CONNECTION,
        &header::TE,
        &header::TRANSFER_ENCODING,
        &header::UPGRADE,
    ] {
        headers.remove(name);
    }
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &HTTP2_SETTINGS] {
        headers.remove(name);
    }
}

/// What a request has lost and gained before it goes to a pod. `host` is the Host header of the client, or the
/// authority of its absolute request target, which stands before it (RFC 9112 section 3.2.2).
pub(super) fn prepare_request(headers: &mut HeaderMap, client: &Client, host: HeaderValue, id: &HeaderValue) {
    // RFC 9110 section 10.1.4: a client that takes trailers says so to each next hop.
    let trailers = headers.get_all(header::TE).iter().any(|te| {
        te.to_str().is_ok_and(|te| {
            te.split(',')
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    });
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let underscored: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .cloned()
        .collect();
    for name in &underscored {
        headers.remove(name);
    }
    // We answer `100 Continue` ourselves once the pod takes the body. `Proxy` becomes HTTP_PROXY in CGI programs.
    for name in [
        &header::EXPECT,
        &PROXY,
        &header::FORWARDED,
        &FORWARDED_SCHEME,
        &SCHEME,
    ] {
        headers.remove(name);
    }
    let scheme = HeaderValue::from_static(if client.tls { "https" } else { "http" });
    headers.insert(&FORWARDED_FOR, client.ip.clone());
    headers.insert(&REAL_IP, client.ip.clone());
    headers.insert(&FORWARDED_HOST, host.clone());
    headers.insert(&FORWARDED_PORT, client.port.clone());
    headers.insert(&FORWARDED_PROTO, scheme);
    headers.insert(&REQUEST_ID, id.clone());
    headers.insert(header::HOST, host);
}

/// What a response has lost before it goes to the client.
pub(super) fn prepare_response(headers: &mut HeaderMap) {
    // RFC 9112 section 6.3: Transfer-Encoding overrides Content-Length, which must not be passed on.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
}

/// The ID that the client has given to a request, if it is harmless to log and to pass on.
pub(super) fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let harmless = |id: &&HeaderValue| {
        let byte =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'+' | b'/' | b'=');
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(byte)
    };
    headers.get(&REQUEST_ID).filter(harmless).cloned()
}

/// 32 hexadecimal digits.
pub(super) fn hexadecimal(random: [u64; 2]) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = u128::from(random[0]) << 64 | u128::from(random[1]);
    let mut digits = [0; 32];
    for (n, digit) in digits.iter_mut().enumerate() {
        *digit = DIGITS[(bits >> (4 * n) & 15) as usize];
    }
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
}

/// The host that a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// As the client wrote it, with its port.
    pub(super) header: HeaderValue,
    /// For routing: lower case, without port or a dot at the end.
    pub(super) name: String,
}

/// Why a request's host is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadHost;

impl Host {
    /// Reads the host of a request; `None` if it names none, as HTTP/1.0 allows.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Result<Option<Self>, BadHost> {
        let header = match uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| BadHost)?,
            None => match headers.get(header::HOST) {
                Some(header) => header.clone(),
                None => return Ok(None),
            },
        };
        let text = header.to_str().map_err(|_| BadHost)?;
        let authority: uri::Authority = text.parse().map_err(|_| BadHost)?;
        let host = authority.host();
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let literal = name.starts_with('[') && name.ends_with(']');
        let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let port = text.len() == host.len() || authority.port_u16().is_some();
        // No user information, no empty labels, nothing that a pod could read as something else.
        if name.is_empty() || text.contains('@') || !port || (!literal && !name.bytes().all(byte)) {
            return Err(BadHost);
        }
        Ok(Some(Self { header, name }))
    }
}
