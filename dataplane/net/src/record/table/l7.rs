//! What the L7 stage and the TCP stack under it count; see [`table`](super).

use strum::{EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray};

use crate::counted::Id;

/// Requests answered, by class of the status.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// HTTP requests answered, by class of the status
    #[strum(props(metric = "http_requests", value = "1xx"))]
    Informational,
    /// HTTP requests answered, by class of the status
    #[strum(props(metric = "http_requests", value = "2xx"))]
    Success,
    /// HTTP requests answered, by class of the status
    #[strum(props(metric = "http_requests", value = "3xx"))]
    Redirection,
    /// HTTP requests answered, by class of the status
    #[strum(props(metric = "http_requests", value = "4xx"))]
    ClientError,
    /// HTTP requests answered, by class of the status
    #[strum(props(metric = "http_requests", value = "5xx"))]
    ServerError,
}

impl Class {
    /// The class of a status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Events of an L7 stage.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum HttpCount {
    /// Client connections accepted, with and without TLS
    #[strum(props(metric = "http_connections"))]
    Connections,
    /// Times that no client could be accepted for want of descriptors or memory; with the kernel's sockets only
    #[strum(props(metric = "http_accepts_failed"))]
    AcceptErrors,
    /// Times that no further client was accepted because as many are served as descriptors allow; with the kernel's sockets only
    #[strum(props(metric = "http_accepts_paused"))]
    AcceptsPaused,
    /// TLS handshakes finished
    #[strum(props(metric = "tls_handshakes"))]
    Handshakes,
    /// TLS handshakes that resumed a session
    #[strum(props(metric = "tls_handshakes_resumed"))]
    Resumed,
    /// TLS handshakes that failed or took too long
    #[strum(props(metric = "tls_handshakes_failed"))]
    HandshakesFailed,
    /// TLS clients that asked for a host without a certificate
    #[strum(props(metric = "tls_unknown_names"))]
    UnknownNames,
    /// Clients that spoke HTTP where TLS was due
    #[strum(props(metric = "tls_plain_clients"))]
    PlainOnTls,
    /// Client connections that speak HTTP/2
    #[strum(props(metric = "http2_connections"))]
    Http2,
    /// HTTP/2 connections that ended because of what the client did
    #[strum(props(metric = "http2_connections_failed"))]
    Http2Failed,
    /// Connections of balancers that ended since they did not say by the PROXY protocol who the client is
    #[strum(props(metric = "proxy_headers_refused"))]
    ProxyHeadersRefused,
    /// Requests refused for their form, with 400, 405, 408, 414, 417, 431 or 501, without a look at the routes
    #[strum(props(metric = "http_requests_refused"))]
    Refused,
    /// Clients that took or sent too little for too long
    #[strum(props(metric = "http_clients_slow"))]
    SlowClients,
    /// Requests that no rule matched: 404
    #[strum(props(metric = "http_requests_without_route"))]
    NoRoute,
    /// Requests that policies deny: 403
    #[strum(props(metric = "http_requests_denied"))]
    Denied,
    /// Requests and tunnels under way that a change of policies cut
    #[strum(props(metric = "http_requests_cut"))]
    Cut,
    /// Requests whose upstream has no ready endpoint: 503
    #[strum(props(metric = "http_requests_without_endpoint"))]
    NoEndpoint,
    /// Connections that a pod refused, or that could not be opened
    #[strum(props(metric = "http_upstream_connects_failed"))]
    ConnectFailed,
    /// Connections that a pod did not answer in time
    #[strum(props(metric = "http_upstream_connects_timed_out"))]
    ConnectTimeouts,
    /// Responses that did not come in time: 504
    #[strum(props(metric = "http_upstream_responses_timed_out"))]
    ResponseTimeouts,
    /// Connections to pods that ended before a response came, or whose response was not HTTP: 502
    #[strum(props(metric = "http_upstream_responses_bad"))]
    BadResponses,
    /// Responses that broke off
    #[strum(props(metric = "http_upstream_responses_broken"))]
    BrokenResponses,
    /// Requests sent again: to another endpoint, or because the kept connection had gone stale
    #[strum(props(metric = "http_upstream_retries"))]
    Retries,
    /// Connections opened to pods
    #[strum(props(metric = "http_upstream_connects"))]
    UpstreamConnects,
    /// Requests sent over a connection that was kept
    #[strum(props(metric = "http_upstream_reuses"))]
    UpstreamReuses,
    /// Connections that became something else, such as WebSocket
    #[strum(props(metric = "http_upgrades"))]
    Upgrades,
    /// Client connections that ended in an error
    #[strum(props(metric = "http_client_errors"))]
    ClientErrors,
}

/// What an L7 stage holds now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum HttpGauge {
    /// Client connections being served now
    #[strum(props(metric = "http_clients"))]
    Clients,
    /// Requests being answered now
    #[strum(props(metric = "http_requests_active"))]
    Active,
    /// Connections to pods that wait for a request now
    #[strum(props(metric = "http_upstream_connections_idle"))]
    UpstreamIdle,
    /// Connections to pods that carry a request now
    #[strum(props(metric = "http_upstream_connections_busy"))]
    UpstreamBusy,
}

/// Events of the TCP stack under an L7 stage.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum TcpCount {
    /// TCP segments taken in, good ones
    #[strum(props(metric = "tcp_segments_received"))]
    SegmentsIn,
    /// TCP segments handed out
    #[strum(props(metric = "tcp_segments_sent"))]
    SegmentsOut,
    /// Packets for the TCP stack dropped because a header or a length is wrong
    #[strum(props(metric = "tcp_bad_headers"))]
    BadHeader,
    /// Packets for the TCP stack dropped because a checksum is wrong
    #[strum(props(metric = "tcp_bad_checksums"))]
    BadChecksum,
    /// Packets for the TCP stack dropped because an address is not unicast
    #[strum(props(metric = "tcp_bad_addresses"))]
    BadAddress,
    /// TCP segments whose data lies beyond the receive buffer
    #[strum(props(metric = "tcp_beyond_window"))]
    BeyondWindow,
    /// SYNs of clients that were answered
    #[strum(props(metric = "tcp_syns_answered"))]
    Syns,
    /// SYNs answered by a cookie, because as many handshakes had begun as are remembered
    #[strum(props(metric = "tcp_cookies_sent"))]
    CookiesSent,
    /// TCP connections whose handshake a cookie finished
    #[strum(props(metric = "tcp_cookies_accepted"))]
    CookiesAccepted,
    /// TCP handshakes given up because the client did not finish
    #[strum(props(metric = "tcp_half_open_expired"))]
    HalfOpenExpired,
    /// SYNs dropped because there are too many connections
    #[strum(props(metric = "tcp_syns_refused"))]
    RefusedFull,
    /// TCP connections accepted
    #[strum(props(metric = "tcp_connections_accepted"))]
    Accepted,
    /// TCP connections opened
    #[strum(props(metric = "tcp_connections_opened"))]
    Connected,
    /// TCP connections whose ends agreed on explicit congestion notification
    #[strum(props(metric = "tcp_connections_ecn"))]
    EcnConnections,
    /// TCP segments with data that a congested router marked
    #[strum(props(metric = "tcp_congestion_marks_received"))]
    Marks,
    /// Reductions of a congestion window because the peer told of such marks
    #[strum(props(metric = "tcp_congestion_mark_reductions"))]
    MarkReductions,
    /// ICMP messages taken in by the TCP stack, whatever they say
    #[strum(props(metric = "tcp_icmp"))]
    Icmp,
    /// TCP connections that send smaller packets since a router said so
    #[strum(props(metric = "tcp_connections_narrowed"))]
    Narrowed,
    /// TCP connections that were not opened because no source port was free
    #[strum(props(metric = "tcp_ports_exhausted"))]
    PortsExhausted,
    /// TCP connections that the peer reset
    #[strum(props(metric = "tcp_resets_received"))]
    ResetsIn,
    /// Resets sent to segments that belong to no connection
    #[strum(props(metric = "tcp_resets_sent"))]
    ResetsOut,
    /// Resets not sent because there were too many
    #[strum(props(metric = "tcp_resets_suppressed"))]
    ResetsSuppressed,
    /// TCP connections given up because the peer was silent
    #[strum(props(metric = "tcp_timeouts"))]
    Timeouts,
    /// TCP connections reset because, their stream dropped, they made no progress
    #[strum(props(metric = "tcp_linger_expired"))]
    LingerExpired,
    /// Replies of the TCP stack dropped because nobody took them out
    #[strum(props(metric = "tcp_replies_dropped"))]
    RepliesDropped,
}

/// What the TCP stack holds now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum TcpGauge {
    /// TCP connections of both directions that are not closed now
    #[strum(props(metric = "tcp_connections"))]
    Connections,
    /// TCP handshakes that clients have begun and not finished now
    #[strum(props(metric = "tcp_half_open"))]
    HalfOpen,
    /// TCP connections remembered in TIME-WAIT now
    #[strum(props(metric = "tcp_time_wait"))]
    TimeWait,
    /// Bytes of memory for TCP data that is not acknowledged or not read now
    #[strum(props(metric = "tcp_buffered_bytes"))]
    Buffered,
    /// Source ports in use towards the port of a pod that has most of them now, of the worker that is nearest to its limit
    #[strum(props(metric = "tcp_source_ports_used"))]
    SourcePortsUsed,
    /// Source ports that this worker has towards that port of a pod
    #[strum(props(metric = "tcp_source_ports_limit"))]
    SourcePortsLimit,
}

/// Bytes of a route.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum RouteCount {
    /// Bytes of the bodies of requests of the route
    #[strum(props(metric = "route_request_body_bytes"))]
    RequestBytes,
    /// Bytes of the bodies of their responses
    #[strum(props(metric = "route_response_body_bytes"))]
    ResponseBytes,
    /// Requests of the route whose response broke off
    #[strum(props(metric = "route_responses_broken"))]
    BrokenResponses,
}

/// What became of requests that went to an upstream.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum UpstreamCount {
    /// Requests for which a pod of the upstream was looked for
    #[strum(props(metric = "upstream_requests"))]
    Requests,
    /// Requests that found no ready endpoint of the upstream: 503
    #[strum(props(metric = "upstream_requests_without_endpoint"))]
    WithoutEndpoint,
    /// Connections that a pod of the upstream refused, or that could not be opened
    #[strum(props(metric = "upstream_connects_failed"))]
    ConnectFailed,
    /// Connections that a pod of the upstream did not answer in time
    #[strum(props(metric = "upstream_connects_timed_out"))]
    ConnectTimeouts,
    /// Responses of the upstream that did not come in time: 504
    #[strum(props(metric = "upstream_responses_timed_out"))]
    ResponseTimeouts,
    /// Connections to pods of the upstream that ended before a response came, or whose response was not HTTP: 502
    #[strum(props(metric = "upstream_responses_bad"))]
    BadResponses,
    /// Requests sent to the upstream again: to another endpoint, or because the kept connection had gone stale
    #[strum(props(metric = "upstream_retries"))]
    Retries,
}

/// What goes on with an upstream now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum UpstreamGauge {
    /// Requests that the upstream is answering now
    #[strum(props(metric = "upstream_requests_active"))]
    Active,
}

impl Id for Class {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for HttpCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for HttpGauge {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for TcpCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for TcpGauge {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for RouteCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for UpstreamCount {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl Id for UpstreamGauge {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}
