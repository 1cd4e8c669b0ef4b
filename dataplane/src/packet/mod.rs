//! Views over frames, checksums, rewriting.
