//! What an operator sees of a host: spans of its steps, and its figures.

pub(crate) mod span;
