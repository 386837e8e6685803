//! The output of a host: events to the sink, phases to the hooks, and spans to `tracing`.

mod hooks;
mod journal;
pub(crate) mod span;

pub use hooks::{HOOK_DEADLINE, LifecycleHook, Transition};
pub(crate) use hooks::{Hooks, in_time};
pub(crate) use journal::{Journal, unix_nanoseconds};
