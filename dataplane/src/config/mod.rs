//! Ring messages, checked and compiled to tables.
