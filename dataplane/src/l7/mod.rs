//! TLS, HTTP, routes and upstreams.
