//! The loop of a core.
