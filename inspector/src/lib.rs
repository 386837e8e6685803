//! Keeps, searches and compares the events of plugins: the live store, the filter language,
//! metrics, findings, replay plans and diff.
//!
//! Everything here consumes or yields [`glovebox_events::Event`]: a trace file is a sequence of
//! events ([`glovebox_trace`]), the live [`store`] and the [`metrics`] are fed events, a replay plan
//! and a diff are made from events. Read [`store::Store`] first, then [`search`].
//!
//! ```
//! use glovebox_inspector::{filter::Filter, store::Store};
//!
//! let store = Store::default();
//! let slow = Filter::parse("plugin:redact latency>5ms")?;
//! let rows = store.rows().filter(|row| slow.matches(&row.subject()));
//! assert_eq!(rows.count(), 0);
//! # Ok::<(), glovebox_inspector::filter::FilterError>(())
//! ```
//!
//! This crate deliberately runs no plugin and paints no window: a trace opens on a machine that
//! has neither.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod anonymize;
pub mod baseline;
pub mod decode;
pub mod diff;
pub mod export;
pub mod failure;
pub mod filter;
pub mod findings;
pub mod import;
pub mod metrics;
pub mod replay;
pub mod report;
#[cfg(test)]
#[path = "../trace/src/sample.rs"]
mod sample;
pub mod search;
pub mod shrink;
pub mod store;
#[cfg(test)]
#[path = "../trace/src/test_support.rs"]
mod test_support;
