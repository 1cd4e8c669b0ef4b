//! Where Kubernetes objects come from. A source yields files' contents; the [`store`] makes of them the model
//! that is in force.

pub mod decode;
pub mod directory;
pub mod store;
