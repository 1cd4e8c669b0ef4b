//! Counters and status.
