//! Loads, runs, limits, swaps and watches plugins. An application embeds this crate alone.
//!
//! Read [`Host`] first: [`Host::load`] turns a file into an instance, [`Host::call`] gives it a
//! frame on the caller's thread, [`Host::dispatch`] does so through its bounded queue, and
//! [`Host::reload`] replaces the artifact while the instance runs. Everything that happens goes to
//! the [`Sink`] given to the builder.
//!
//! ```
//! use glovebox_host::{Failure, Frame, Host, LoadRequest, Manifest, Plugin, Services};
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
//! | `embed_app` | an application, whole: an artifact from memory, a function of its own, a swap, the status, the end | [`HostBuilder::function`], [`Source`], [`PluginStatus`], [`Host::shut_down`] |
//! | `hot_swap` | the next version takes over with the state, or the one before runs on | [`Host::reload`], [`Host::watch`], [`Host::roll_back`] |
//!
//! Operating it: the spans of [`Host`]; with the feature `prometheus`, `Host::prometheus` and
//! `Host::serve_metrics`; with the feature `otlp`, the module `otlp`.
//!
//! [`worker`] gives native plugins sandboxed processes of their own, on Linux.
//!
//! Crates of their own go further: `glovebox-catalog` finds plugins on disk, `glovebox-workspace` reads
//! a file with a set of them, `glovebox-pipeline` sends frames through several.
//!
//! This crate deliberately draws nothing, stores no traces, and knows neither egui nor MCAP. It
//! wakes a window through a plain callback.
#![warn(missing_docs)]

mod backend;
#[cfg(any(feature = "prometheus", feature = "otlp"))]
mod export;
mod failure;
mod frames;
mod guard;
mod host;
mod id;
mod instance;
mod load;
mod policy;
mod problem;
mod record;
mod reply;
mod services;
mod stop;
mod task;
mod underway;
mod watch;
pub mod worker;

pub use backend::wasm::foreign::Provision;
#[cfg(feature = "otlp")]
pub use export::otlp;
#[cfg(feature = "prometheus")]
pub use export::{EndpointError, MetricsEndpoint};
pub use failure::{CopyFailure, EndedProcess, Evidence, StackFrame};
pub use frames::Frames;
/// The contract with plugins, whole: frames, manifests, services, units.
pub use glovebox_abi as abi;
pub use glovebox_abi::manifest::{
    Budget, Compiler, EngineName, Isolation, LimitChanges, LimitError, LimitKind, Limits,
    ManifestError, Requests, Scope, Tier,
};
pub use glovebox_abi::{
    Failure, Frame, Header, Health, Kind, LogLevel, Manifest, Permission, Plugin, ServiceError,
    Services, State,
};
pub use glovebox_document::DocumentError;
/// The vocabulary of what happened, whole.
pub use glovebox_events as events;
pub use glovebox_events::{
    Binding, CallId, Event, HostCall, LoadStage, Outcome, Phase, ReloadCause, Sink, Snapshot,
    Timing, What,
};
pub use glovebox_files::{FileKind, Way as FileWay};
pub use host::{
    DispatchStats, Drained, FaultsError, Host, HostBuilder, HostError, Loading, Mocks, PluginSet,
    Profile, Reloading, Reloads, SetError, SetLimitsError, Shutdown, WatchError,
};
pub use id::InstanceId;
pub use instance::{
    BatchTicket, CandidateRole, CandidateStatus, Difference, Growth, KeptGeneration, LimitOrigin,
    LimitStatus, PermissionStatus, PluginStats, PluginStatus, Refusal, RefusedGeneration,
    Supervision, Ticket,
};
pub use load::{
    CacheStats, CompilePlace, CompileStatus, CompiledBy, Inspection, LoadRequest, MAX_ARTIFACT_LEN,
    ManifestPlace, Peek, Peeked, Precaution, ServiceUse, Source, inspect, names_in, peek,
};
pub use policy::{
    AccessEntry, AccessLog, Allowance, AllowanceError, CandidateRules, CeilingError, Ceilings,
    Consent, ConsentError, Consents, Decision, Enforcement, Lifetime, MissingLayers, OlderVersion,
    Parameter, Policy, PolicyError, PolicyMode, Probation, ProbeFrame, Standing, Suggestion,
    SwapRules, UnknownMode, VainAllowance, Verdict, Wish, no_effect, suggest,
};
pub use problem::{ArtifactKind, Foreign, Incompatible, LoadError, LoadProblem, Origin};
pub use record::{HOOK_DEADLINE, LifecycleHook, Transition};
pub use reply::Reply;
pub use services::{
    Answered, Answers, Asked, Caller, FunctionError, LeftBehind, LeftKind, LiveGeneration, Mock,
    MockError, Remains, ResourceUsage, SwapMemory,
};
pub use task::{Lost, Task};
pub use underway::LoadStatus;
pub use watch::FileWatch;
