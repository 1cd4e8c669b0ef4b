//! The per-worker flow table, NAT and timeouts.
