//! `[lifecycle]` and `[state]`: the rules for the start, failures and end of a plugin, and for its
//! state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ManifestError;
use super::limits::{duration, value};

/// The rules for the start, the failures and the end of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// How long each step of starting may take: instantiating, `initialize`, `restore-state` and
    /// `health`. Code of this process cannot be stopped; for it the deadline is not available.
    pub start_deadline: Duration,
    /// How long `save-state` and `cleanup` may each take.
    pub stop_deadline: Duration,
    /// How often `health` is asked while nothing else runs; never if absent.
    pub health_interval: Option<Duration>,
    /// Whether a copy that cannot go on is replaced by a fresh one.
    pub restart: Restart,
    /// Wait before the second attempt in a row to start a fresh copy; each further wait is twice as
    /// long. The first attempt follows at once.
    pub back_off: Duration,
    /// The longest wait between two attempts.
    pub back_off_max: Duration,
    /// Failures in a row after which only a person starts it again; from 1. The crash of a process is
    /// a failure, and so is an attempt to start a fresh copy that does not succeed. A call that the
    /// plugin answers ends the row.
    pub breaker: u32,
    /// A copy that went on for so long without a crash begins a new row with the next one.
    pub crash_window: Duration,
    /// The result that the caller of a failed call gets.
    pub on_failure: OnFailure,
}

/// When a copy that cannot go on is replaced by a fresh one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Only when a person says so.
    Never,
    /// At once, then with growing waits, until the breaker opens.
    #[default]
    OnFailure,
    /// The same without a breaker.
    Always,
}

/// The result that the caller of a failed call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The input frame, unchanged: for plugins whose work is welcome but not needed.
    FailOpen,
    /// No frame: for plugins that nothing may get past.
    #[default]
    FailClosed,
    /// The answer of a second attempt, after the artifact was loaded anew; no frame if that fails
    /// too.
    Reload,
}

/// The rules for keeping a plugin's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRules {
    /// Version of the state, if the plugin has one.
    pub version: Option<u32>,
    /// Whether the host keeps the state on disk, and starts the plugin with it.
    pub persist: bool,
    /// How many saved states are kept on disk, from 1 to 1,000.
    pub keep: u32,
    /// How often the state of a plugin that worked is saved; only at its end if absent.
    pub checkpoint: Option<Duration>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle {
            start_deadline: Duration::from_secs(5),
            stop_deadline: Duration::from_secs(1),
            health_interval: None,
            restart: Restart::default(),
            back_off: Duration::from_millis(100),
            back_off_max: Duration::from_secs(30),
            breaker: 5,
            crash_window: Duration::from_secs(60),
            on_failure: OnFailure::default(),
        }
    }
}

impl Lifecycle {
    /// The wait before an attempt to start a fresh copy, which counts those in a row from 1: none, then
    /// [`back_off`](Self::back_off), and twice as long each time, up to
    /// [`back_off_max`](Self::back_off_max).
    pub fn wait_before(&self, attempt: u32) -> Duration {
        let Some(doublings) = attempt.checked_sub(2) else { return Duration::ZERO };
        self.back_off.saturating_mul(1 << doublings.min(31)).min(self.back_off_max)
    }
}

impl Default for StateRules {
    fn default() -> Self {
        StateRules { version: None, persist: false, keep: 3, checkpoint: None }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct RawLifecycle {
    start_deadline: Option<String>,
    stop_deadline: Option<String>,
    health_interval: Option<String>,
    restart: Restart,
    back_off: Option<String>,
    back_off_max: Option<String>,
    breaker: Option<u32>,
    crash_window: Option<String>,
    on_failure: OnFailure,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawState {
    version: Option<u32>,
    persist: bool,
    keep: Option<u32>,
    checkpoint: Option<String>,
}

impl RawLifecycle {
    pub(super) fn read(self) -> Result<Lifecycle, ManifestError> {
        let defaults = Lifecycle::default();
        let time = |key: &str, text: Option<String>| {
            let key = format!("lifecycle.{key}");
            match duration(&key, text)? {
                Some(Duration::ZERO) => Err(value(&key, "must be longer than 0".to_owned())),
                time => Ok(time),
            }
        };
        let lifecycle = Lifecycle {
            start_deadline: time("start-deadline", self.start_deadline)?
                .unwrap_or(defaults.start_deadline),
            stop_deadline: time("stop-deadline", self.stop_deadline)?
                .unwrap_or(defaults.stop_deadline),
            health_interval: time("health-interval", self.health_interval)?,
            restart: self.restart,
            back_off: time("back-off", self.back_off)?.unwrap_or(defaults.back_off),
            back_off_max: time("back-off-max", self.back_off_max)?.unwrap_or(defaults.back_off_max),
            breaker: self.breaker.unwrap_or(defaults.breaker),
            crash_window: time("crash-window", self.crash_window)?.unwrap_or(defaults.crash_window),
            on_failure: self.on_failure,
        };
        if lifecycle.breaker == 0 {
            let reason = "0 failures never let it run; write 1 or more".to_owned();
            return Err(value("lifecycle.breaker", reason));
        }
        if lifecycle.back_off > lifecycle.back_off_max {
            let reason = "is longer than `back-off-max`".to_owned();
            return Err(value("lifecycle.back-off", reason));
        }
        Ok(lifecycle)
    }
}

impl RawState {
    pub(super) fn read(self) -> Result<StateRules, ManifestError> {
        let defaults = StateRules::default();
        let rules = StateRules {
            version: self.version,
            persist: self.persist,
            keep: self.keep.unwrap_or(defaults.keep),
            checkpoint: duration("state.checkpoint", self.checkpoint)?,
        };
        if rules.keep == 0 || rules.keep > 1000 {
            let reason = format!("{} is out of range; write 1 to 1000", rules.keep);
            return Err(value("state.keep", reason));
        }
        if rules.checkpoint == Some(Duration::ZERO) {
            return Err(value("state.checkpoint", "must be longer than 0".to_owned()));
        }
        if rules.checkpoint.is_some() && !rules.persist {
            let reason = "needs `persist = true`".to_owned();
            return Err(value("state.checkpoint", reason));
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest() {
        let lifecycle = Lifecycle::default();
        let check = |attempt: u32, expected: u64| {
            assert_eq!(lifecycle.wait_before(attempt), Duration::from_millis(expected));
        };
        check(0, 0);
        check(1, 0);
        check(2, 100);
        check(3, 200);
        check(4, 400);
        check(10, 25_600);
        check(11, 30_000);
        check(u32::MAX, 30_000);
    }
}
