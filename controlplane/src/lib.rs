//! controlplane
#![forbid(unsafe_code)]
