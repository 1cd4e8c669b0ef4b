//! What policies mean, from manifests to decisions.

mod cases;
mod examples;
mod gateway;
mod random;
