//! Loads, runs, limits, swaps and watches plugins. An application embeds this crate alone.
//!
//! Read [`Host`] first: [`Host::load`] turns a file into an instance, [`Host::call`] gives it a
//! frame on the caller's thread, [`Host::dispatch`] does so through its bounded queue, and
//! [`Host::reload`] replaces the artifact while the instance runs. Everything that happens goes to
//! the [`Sink`](glovebox_events::Sink) given to the builder.
//!
//! ```
//! use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
//! use glovebox_host::{Host, LoadRequest};
//!
//! struct Echo;
//!
//! impl Plugin for Echo {
//!     fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
//!         Ok(vec![frame.clone()])
//!     }
//! }
//!
//! let host = Host::builder().build()?;
//! let echo = host.load(LoadRequest::core(Manifest::bare("echo"), || Box::new(Echo))).wait()?;
//! let reply = host.call(echo, &Frame::data("hello"));
//! assert_eq!(reply.frames[..], [Frame::data("hello")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A tour
//!
//! Each line leads to an example that runs (`cargo run -p glovebox-host --example NAME`) and to the
//! items to read next.
//!
//! | example | what it shows | read next |
//! |---|---|---|
//! | `embed` | a host, a plugin of the application, one from a file, events, failures | [`HostBuilder`], [`LoadRequest`], [`Reply`], [`LoadError`] |
//! | `dispatch` | queues, routing by header and kind, batches, back-pressure, draining | [`Host::dispatch_to`], [`Host::try_dispatch`], [`Refusal`], [`Host::drain`] |
//! | `permissions` | what a plugin asks for, what a policy grants, what was used | [`Policy`], [`Decision`], [`Host::access_log`] |
//! | `hot_swap` | the next version takes over with the state, or the one before runs on | [`Host::reload`], [`Host::watch`], [`Host::roll_back`] |
//!
//! Operating it: the spans of [`Host`]; with the feature `prometheus`, `Host::prometheus` and
//! `Host::serve_metrics`; with the feature `otlp`, the module `otlp`.
//!
//! Beyond these: [`catalog`] finds plugins on disk, [`workspace`] reads a file with a set of them,
//! [`pipeline`] sends frames through several.
//!
//! What this crate deliberately does not do: it draws nothing, stores no traces, and knows neither
//! egui nor MCAP. It wakes a window through a plain callback.
#![warn(missing_docs)]

mod answers;
mod backend;
mod builder;
pub mod catalog;
mod chain;
mod context;
mod determinism;
mod dispatch;
mod document;
mod frames;
mod guard;
mod host;
mod journal;
mod lifecycle;
mod load;
mod lock;
mod mock;
mod observe;
mod permissions;
pub mod pipeline;
mod policy;
mod profile;
mod rate;
mod registry;
mod reload;
mod seat;
mod slot;
mod snapshot;
mod state;
mod status;
mod task;
mod watch;
pub mod workspace;

pub use answers::{Answered, Answers, Asked};
pub use builder::{HostBuilder, HostError};
pub use catalog::{Catalog, Intent, PluginSet, Query, ScanBounds, SetError};
pub use dispatch::{BatchTicket, Refusal, Ticket};
pub use document::DocumentError;
pub use frames::Frames;
pub use host::{Drained, Host, Reply};
pub use lifecycle::{HOOK_DEADLINE, LifecycleHook, Transition};
pub use load::{
    ArtifactKind, CacheStats, CompileStatus, Foreign, Incompatible, Inspection, LoadError,
    LoadProblem, LoadRequest, MAX_ARTIFACT_LEN, ManifestPlace, inspect,
};
pub use mock::{Mock, MockError};
pub use observe::CallLatency;
#[cfg(feature = "otlp")]
pub use observe::otlp;
#[cfg(feature = "prometheus")]
pub use observe::{EndpointError, MetricsEndpoint};
pub use policy::{
    AccessEntry, AccessLog, Allowance, AllowanceError, Ceilings, Consent, ConsentError, Consents,
    Decision, Lifetime, Parameter, Policy, PolicyError, PolicyMode, Standing, Suggestion,
    UnknownMode, Verdict, Wish, suggest,
};
pub use profile::Profile;
pub use registry::InstanceId;
pub use status::{
    DispatchStats, Enforcement, Growth, LimitOrigin, LimitStatus, PermissionStatus, PluginStats,
    PluginStatus, RefusedGeneration,
};
pub use task::{Lost, Task};
pub use watch::WatchError;

/// A load that is under way.
pub type Loading = Task<Result<InstanceId, LoadError>>;
/// A reload that is under way; ends with the new generation.
pub type Reloading = Task<Result<u32, LoadError>>;
