//! The events of a host: types only, no I/O.
//!
//! Read [`Event`] first, then [`What`] and [`Outcome`]. A host hands every event to a [`Sink`];
//! the recorder, the live store and the tests are sinks.
//!
//! ```
//! use std::sync::Mutex;
//! use glovebox_events::{Event, Sink, What};
//!
//! #[derive(Default)]
//! struct CountCalls(Mutex<usize>);
//!
//! impl Sink for CountCalls {
//!     fn record(&self, event: &Event) {
//!         if let What::CallEnded { .. } = event.what {
//!             *self.0.lock().unwrap() += 1;
//!         }
//!     }
//! }
//! ```
//!
//! This crate deliberately does not say how events are stored: that is `glovebox-inspector`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod direction;
mod event;
pub mod evidence;
pub mod latency;
mod lifecycle;
mod note;
mod outcome;
mod snapshot;
pub mod weight;

pub use direction::Direction;
pub use event::{AnsweredBy, CallId, CallKey, Event, HostCall, Sink, Timing, What};
pub use lifecycle::{Binding, LoadStage, Phase, ReloadCause};
pub use note::NoteKind;
pub use outcome::{MADE_UP, Outcome};
pub use snapshot::Snapshot;
