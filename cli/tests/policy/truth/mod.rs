//! Pages of truth tables: clusters, and who reaches whom in them. `cases/README.md` describes the form.

mod cluster;
mod matrix;
mod page;

use std::path::Path;

pub(crate) use cluster::Cluster;
pub(crate) use matrix::{Cell, Expectation};
pub(crate) use page::{Case, Step};

/// The cases of a page.
///
/// # Panics
///
/// Naming the page and the line, when the page is not as it should be.
pub(crate) fn cases(page: &Path) -> Vec<Case> {
    page::read(page).unwrap_or_else(|wrong| panic!("{}:{wrong}", page.display()))
}
