//! The denials of the chosen plugin, and limits as they are typed.

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::units::{parse_duration, parse_size};
use glovebox_host::{InstanceId, PluginStatus};
use glovebox_inspector::store::Denial;

use crate::window::shown::Shown;
use crate::workbench::{Calls, Effect, Fault, Faults, Reader, Source};

/// Denials that are listed.
const DENIALS: usize = 50;

/// The state of the policy panel.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The limit that is being typed.
    pub(super) editing: Option<Editing>,
    /// The denials of the chosen plugin, the newest first.
    pub(super) denials: Vec<Denial>,
    /// The fault that is being put together.
    pub(super) fault: FaultForm,
}

/// A fault that is being put together.
#[derive(Debug)]
pub(super) struct FaultForm {
    pub(super) service: &'static str,
    pub(super) effect: Effect,
    pub(super) value: String,
    pub(super) calls: Calls,
    pub(super) seed: u64,
    /// True until it was brought into view.
    pub(super) is_wanted: bool,
}

impl Default for FaultForm {
    fn default() -> Self {
        FaultForm {
            service: "kv-get",
            effect: Effect::Deny,
            value: String::new(),
            calls: Calls::Each,
            seed: 0,
            is_wanted: false,
        }
    }
}

impl FaultForm {
    /// The faults that there are after it is added to `before`, or why it makes no sense.
    pub(super) fn added_to(&self, before: Option<&Faults>) -> Result<Faults, String> {
        let FaultForm { service, effect, value, calls, seed, .. } = self;
        let fault =
            Fault { service, effect: *effect, value: value.trim().to_owned(), calls: *calls };
        // Alone, so that what is said is about it.
        Faults { all: vec![fault.clone()], ..Faults::default() }.mock()?;
        let before = before.map_or(&[][..], |before| &before.all);
        let all = before.iter().cloned().chain([fault]).collect();
        Ok(Faults { is_on: true, seed: *seed, all })
    }
}

/// A limit that is being typed.
#[derive(Debug)]
pub(super) struct Editing {
    pub(super) instance: InstanceId,
    pub(super) limit: LimitKind,
    pub(super) text: String,
}

impl State {
    /// Brings the faults into view.
    pub(crate) fn show_faults(&mut self) {
        self.fault.is_wanted = true;
    }

    pub(super) fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        let chosen = shown.selection.plugin(*reader).map(InstanceId::get);
        let denials = reader.read(Source::Live, |store| {
            let own = |denial: &&Denial| Some(denial.instance) == chosen && denial.is_of_policy();
            store.denials().iter().rev().filter(own).take(DENIALS).cloned().collect()
        });
        self.denials = denials.unwrap_or_default();
    }
}

/// The limits with one of them changed to what was typed, unless it is above the ceiling of the host.
pub(super) fn changed(
    plugin: &PluginStatus,
    limit: LimitKind,
    text: &str,
) -> Result<Limits, String> {
    below(plugin, change(&plugin.limits, limit, text)?, limit)
}

/// The limits, unless one is above the ceiling of the host.
fn below(plugin: &PluginStatus, limits: Limits, limit: LimitKind) -> Result<Limits, String> {
    if plugin.ceilings.lower(&limits) == limits {
        return Ok(limits);
    }
    let ceiling = limit.show_limit(plugin.ceilings.value(limit));
    Err(format!(
        "more than {ceiling}, the ceiling of the host; raise it under [ceilings] of the policy"
    ))
}

/// The limits with one of them changed to what was typed.
fn change(limits: &Limits, limit: LimitKind, text: &str) -> Result<Limits, String> {
    let mut limits = limits.clone();
    let count = || {
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
        digits.parse::<u64>().map_err(|_| format!("`{text}` is not a number"))
    };
    let size = || parse_size(text).map_err(|error| error.to_string());
    match limit {
        LimitKind::Memory => limits.memory = size()?,
        LimitKind::Table => limits.table = count()?,
        LimitKind::CallDeadline => {
            limits.call_deadline = parse_duration(text).map_err(|error| error.to_string())?
        }
        LimitKind::Fuel => {
            limits.fuel = match text.trim() {
                "" | "none" | "unlimited" => None,
                _ => Some(count()?),
            }
        }
        LimitKind::OutputBytes => limits.output_bytes = size()?,
        LimitKind::OutputFrames => limits.output_frames = count()?,
        LimitKind::HostCalls => limits.host_calls = count()?,
        LimitKind::HostCallBytes => limits.host_call_bytes = size()?,
        LimitKind::CarriedBytes => limits.carried_bytes = size()?,
        LimitKind::LogBytes => limits.log_bytes = size()?,
        LimitKind::KvBytes => limits.kv_bytes = size()?,
        LimitKind::FileBytes => limits.file_bytes = size()?,
        LimitKind::QueueBytes => limits.queue_bytes = size()?,
        // A number that does not fit is out of range, which `check` says.
        LimitKind::Queue => limits.queue = u32::try_from(count()?).unwrap_or(u32::MAX),
        LimitKind::Resources | LimitKind::Rate => {
            return Err(format!("`{limit}` cannot be changed here"));
        }
    }
    limits.check().map_err(|error| error.to_string())?;
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_what_they_show() {
        fn check(limit: LimitKind, text: &str, expected: &str) {
            let limits = change(&Limits::default(), limit, text).unwrap();
            assert_eq!(limit.show_limit(limits.value(limit)), expected);
        }
        check(LimitKind::Memory, "16 MiB", "16 MiB");
        check(LimitKind::CallDeadline, "20ms", "20 ms");
        check(LimitKind::Queue, "12", "12");
        check(LimitKind::Fuel, "unlimited", "unlimited");
        check(LimitKind::Fuel, "1 000", "1000");
        assert!(change(&Limits::default(), LimitKind::Queue, "0").is_err());
        assert!(change(&Limits::default(), LimitKind::Memory, "big").is_err());
        assert!(change(&Limits::default(), LimitKind::CallDeadline, "0 s").is_err());
    }
}
