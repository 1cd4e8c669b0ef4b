//! Hints about memory: none of them changes what a program computes.
//!
//! They stand apart from AF_XDP so that tables can be built and asked without linking it.

mod heap;
mod huge;
mod prefetch;
mod program;

pub use heap::{give_back, keep_large_apart};
pub use huge::prefer_huge_pages;
pub use prefetch::prefetch;
pub use program::let_go_of_program;
