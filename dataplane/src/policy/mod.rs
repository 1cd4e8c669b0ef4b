//! NetworkPolicy: which connections are allowed.
