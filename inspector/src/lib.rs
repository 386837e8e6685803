//! Reads, keeps and compares what happened to plugins: traces, the live store, the filter language,
//! metrics, replay plans and diff.
//!
//! Everything here consumes or yields [`glovebox_events::Event`]: a trace file is a sequence of
//! events ([`trace`]), the live [`store`] and the [`metrics`] are fed events, a replay plan and a
//! diff are made from events. Read [`trace::TraceReader`] first, then [`store::Store`].
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

pub mod capture;
pub mod trace;
pub mod weight;

#[cfg(feature = "analysis")]
pub mod baseline;
#[cfg(feature = "analysis")]
pub mod decode;
#[cfg(feature = "analysis")]
pub mod diff;
#[cfg(feature = "analysis")]
pub mod export;
#[cfg(feature = "analysis")]
pub mod filter;
#[cfg(feature = "analysis")]
pub mod findings;
#[cfg(feature = "analysis")]
pub mod import;
#[cfg(feature = "analysis")]
pub mod metrics;
#[cfg(feature = "analysis")]
pub mod replay;
#[cfg(feature = "analysis")]
pub mod report;
#[cfg(feature = "analysis")]
pub mod shrink;
#[cfg(feature = "analysis")]
pub mod store;
