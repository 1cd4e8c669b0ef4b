//! Heads and bodies, as bytes.
