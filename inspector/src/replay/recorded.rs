//! The uses and answers of host services that a trace recorded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{CallId, Event, HostCall, Phase, What};

/// The answers of host services in a trace: of `now`, `random`, `config`, `kv-…` and functions of the
/// application.
///
/// They are held in memory, as the inputs of a [`ReplayPlan`](super::ReplayPlan) are, and grow with
/// the trace as those do.
#[derive(Debug, Default)]
pub struct RecordedAnswers {
    calls: HashMap<CallId, Vec<Use>>,
    /// The uses outside of calls, by the first instance of each plugin.
    loads: BTreeMap<Arc<str>, UsesAtLoad>,
    /// Answers that the trace holds.
    pub found: u64,
    /// Recorded answers that no service can have given, so that they are not used.
    pub unusable: u64,
}

/// One use of a service that was recorded.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) service: Box<str>,
    pub(super) arguments: Value,
    pub(super) result: Result<Value, ServiceError>,
}

/// The uses outside of calls of the first instance of a plugin.
#[derive(Debug)]
pub(super) struct UsesAtLoad {
    instance: u64,
    /// True if the trace holds how the instance was loaded.
    pub(super) is_whole: bool,
    pub(super) uses: Vec<Use>,
}

impl RecordedAnswers {
    /// Takes one event of the trace.
    pub fn add(&mut self, event: &Event) {
        match &event.what {
            What::HostCall { call, host_call } => self.add_use(event, *call, host_call),
            What::Phase { to: Phase::Initializing, .. } | What::Loaded { .. } => {
                self.load(event).is_whole |= true;
            }
            _ => {}
        }
    }

    fn add_use(&mut self, event: &Event, call: Option<CallId>, host_call: &HostCall) {
        let HostCall { service, permission, arguments, result, .. } = host_call;
        let is_function = *permission == Permission::Functions;
        // A use that the policy denied never came to the service; it is denied again, or the trace
        // lacks it.
        if !(is_function || is_answered(service)) || host_call.is_denied() {
            return;
        }
        let fits = |value| is_function || fits(service, arguments, value);
        if !result.as_ref().map_or(true, fits) {
            self.unusable += 1;
            return;
        }
        self.found += 1;
        let recorded = Use {
            service: service.as_ref().into(),
            arguments: arguments.clone(),
            result: result.clone(),
        };
        match call {
            Some(call) => self.calls.entry(call).or_default().push(recorded),
            None => {
                let load = self.load(event);
                if load.instance == event.instance {
                    load.uses.push(recorded);
                }
            }
        }
    }

    /// The uses in a call.
    pub(super) fn of(&self, call: CallId) -> &[Use] {
        self.calls.get(&call).map_or(&[], Vec::as_slice)
    }

    /// The uses outside of calls.
    pub(super) fn of_load(&self, plugin: &str) -> Option<&UsesAtLoad> {
        self.loads.get(plugin)
    }

    fn load(&mut self, event: &Event) -> &mut UsesAtLoad {
        let new = || UsesAtLoad { instance: event.instance, is_whole: false, uses: Vec::new() };
        self.loads.entry(event.plugin.clone()).or_insert_with(new)
    }
}

fn is_answered(service: &str) -> bool {
    matches!(service, "now" | "random" | "config") || service.starts_with("kv-")
}

/// True if a service can have given this.
fn fits(service: &str, arguments: &Value, given: &Value) -> bool {
    match (service, given) {
        ("now", Value::Integer(now)) => u64::try_from(*now).is_ok(),
        ("random", Value::Bytes(bytes)) => *arguments == Value::Integer(bytes.len() as i128),
        ("config", Value::Text(_) | Value::Null) => true,
        ("kv-get", Value::Bytes(_) | Value::Null) => true,
        ("kv-set", Value::Null) | ("kv-delete", Value::Bool(_)) => true,
        ("kv-list", Value::Array(keys)) => keys.iter().all(|key| matches!(key, Value::Text(_))),
        _ => false,
    }
}
