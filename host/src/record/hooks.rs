//! Hooks, which are told of every change of phase.

use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_events::Phase;

use crate::guard::caught;
use crate::id::InstanceId;

/// A change of phase of one copy of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance.
    pub instance: InstanceId,
    /// The copy, from 0.
    pub copy: u32,
    /// The generation, from 1.
    pub generation: u32,
    /// Before.
    pub from: Phase,
    /// After.
    pub to: Phase,
    /// Why, for people.
    pub cause: String,
}

/// The time that a [`LifecycleHook`] should not exceed; the log names one that does.
pub const HOOK_DEADLINE: Duration = Duration::from_millis(100);

/// Called before and after every change of phase, on the thread that changes it.
///
/// Threads may change the phase of one copy at the same time, such as one that starts it and one that drains
/// it. Of two changes from the same phase one happens: of the other, [`before`](Self::before) is called, and
/// [`after`](Self::after) is not. If it is to happen all the same, `before` is called once more, with the phase
/// from which it goes then.
///
/// A hook that takes longer than [`HOOK_DEADLINE`] holds the plugin up, and nobody else; the log
/// says so. One that panics changes nothing about the plugin; an event says so. Hooks must not call
/// the instance that they are told about.
pub trait LifecycleHook: Send + Sync {
    /// The phase is about to change, unless another thread changes it first.
    fn before(&self, transition: &Transition) {
        let _ = transition;
    }

    /// The phase has changed. This is called once for each change.
    fn after(&self, transition: &Transition) {
        let _ = transition;
    }
}

/// All hooks of a host, in the order in which they are called.
pub(crate) type Hooks = Vec<Box<dyn LifecycleHook>>;

/// Calls a hook; the reason if it panicked. A change of phase does not depend on who hears of it.
pub(crate) fn in_time(transition: &Transition, call: impl FnOnce()) -> Result<(), String> {
    let started = Instant::now();
    let called = caught(call);
    let took = started.elapsed();
    if took > HOOK_DEADLINE {
        let (from, to) = (transition.from, transition.to);
        tracing::warn!(
            plugin = &*transition.plugin, %from, %to, ?took, deadline = ?HOOK_DEADLINE,
            "a lifecycle hook was slow"
        );
    }
    called
}
