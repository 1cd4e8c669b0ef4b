//! The ways to change an object by telling what shall be different.

pub(crate) mod apply;
pub(crate) mod fields;
mod json;
mod lists;
pub(crate) mod managed;
mod merge;
mod strategic;

#[cfg(test)]
mod tests;

pub(crate) use json::patch as json_patch;
pub(crate) use merge::patch as merge_patch;
pub(crate) use strategic::patch as strategic_patch;
