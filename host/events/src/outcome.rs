use std::fmt;
use std::time::Duration;

use glovebox_abi::Failure;
use glovebox_abi::manifest::LimitKind;
use serde::{Deserialize, Serialize};

/// Stands behind the name of an outcome that a mock or an injected fault made, where people read it.
pub const MADE_UP: &str = ", made up";

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The plugin answered.
    Completed,
    /// The plugin said that it could not.
    Failed {
        /// Code of the plugin's failure.
        code: u32,
        /// Its message.
        message: String,
    },
    /// The plugin broke a rule of its machine; the instance was thrown away.
    Trapped {
        /// Name of the rule, e.g. `unreachable`.
        code: String,
        /// Where and why, for people.
        message: String,
    },
    /// The plugin was stopped at its deadline.
    TimedOut {
        /// The deadline.
        deadline: Duration,
        /// True if a mock or an injected fault did it.
        #[serde(default, skip_serializing_if = "is_real")]
        made_up: bool,
    },
    /// The plugin was stopped at a limit.
    LimitExceeded {
        /// The limit.
        limit: LimitKind,
        /// The amount it wanted, in the limit's own unit.
        asked: u64,
        /// The limit.
        allowed: u64,
        /// True if a mock or an injected fault did it.
        #[serde(default, skip_serializing_if = "is_real")]
        made_up: bool,
    },
    /// The process of the plugin ended.
    Crashed {
        /// Signal or exit code.
        cause: String,
        /// True if a mock or an injected fault did it.
        #[serde(default, skip_serializing_if = "is_real")]
        made_up: bool,
    },
    /// The caller took the call back.
    Cancelled,
    /// The host did not make the call.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

impl Outcome {
    /// All names, in order of severity.
    pub const NAMES: [&'static str; 8] = [
        "completed",
        "cancelled",
        "refused",
        "failed",
        "limit-exceeded",
        "timed-out",
        "trapped",
        "crashed",
    ];

    /// The name from the word list.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Failed { .. } => "failed",
            Outcome::Trapped { .. } => "trapped",
            Outcome::TimedOut { .. } => "timed-out",
            Outcome::LimitExceeded { .. } => "limit-exceeded",
            Outcome::Crashed { .. } => "crashed",
            Outcome::Cancelled => "cancelled",
            Outcome::Refused { .. } => "refused",
        }
    }

    /// True if the plugin answered.
    pub fn is_completed(&self) -> bool {
        matches!(self, Outcome::Completed)
    }

    /// True if a mock or an injected fault ended the call, and not the plugin.
    pub fn is_made_up(&self) -> bool {
        use Outcome::{Crashed, LimitExceeded, TimedOut};
        match self {
            TimedOut { made_up, .. } | LimitExceeded { made_up, .. } | Crashed { made_up, .. } => {
                *made_up
            }
            _ => false,
        }
    }

    /// True if the host did not make the call.
    pub fn is_refused(&self) -> bool {
        matches!(self, Outcome::Refused { .. })
    }

    /// True if the instance cannot go on after this.
    pub fn is_fatal(&self) -> bool {
        use Outcome::{Crashed, LimitExceeded, TimedOut, Trapped};
        match self {
            Trapped { .. } | TimedOut { .. } | Crashed { .. } => true,
            LimitExceeded { limit, .. } => {
                use LimitKind::{Fuel, Memory, Resources, Table};
                matches!(limit, Memory | Table | Resources | Fuel)
            }
            _ => false,
        }
    }
}

/// True if nobody made it up, which is what an event says if it says nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_real(made_up: &bool) -> bool {
    !made_up
}

/// `limit exceeded: asked for 80 MiB of memory, limit 64 MiB`; of one that a mock made,
/// `limit exceeded, made up: asked for …`.
impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made_up = if self.is_made_up() { MADE_UP } else { "" };
        match self {
            Outcome::Completed => formatter.write_str("completed"),
            Outcome::Failed { code, message } => {
                write!(formatter, "failed: {message} (code {code})")
            }
            Outcome::Trapped { code, message } => write!(formatter, "trapped: {code}: {message}"),
            Outcome::TimedOut { deadline, .. } => write!(
                formatter,
                "timed out{made_up}: stopped at its deadline of {}",
                glovebox_abi::units::show_duration(*deadline)
            ),
            Outcome::LimitExceeded { limit, asked, allowed, .. } => {
                let (mut shown, most) = (limit.show(*asked), limit.show(*allowed));
                if shown == most && asked != allowed {
                    // Both were rounded; what is too much must be seen.
                    shown = format!("{shown} and {} B", asked.saturating_sub(*allowed));
                }
                write!(
                    formatter,
                    "limit exceeded{made_up}: asked for {shown} of {limit}, limit {most}"
                )
            }
            Outcome::Crashed { cause, .. } => write!(formatter, "crashed{made_up}: {cause}"),
            Outcome::Cancelled => formatter.write_str("cancelled"),
            Outcome::Refused { reason } => write!(formatter, "refused: {reason}"),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        Outcome::Failed { code: failure.code, message: failure.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(asked: u64, made_up: bool) -> Outcome {
        Outcome::LimitExceeded { limit: LimitKind::Memory, asked, allowed: 64 << 20, made_up }
    }

    fn crashed(made_up: bool) -> Outcome {
        Outcome::Crashed { cause: "by the mock".to_owned(), made_up }
    }

    #[test]
    fn outcomes_of_older_traces_are_read() {
        let check = |outcome: Outcome| {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(text.contains("made_up"), outcome.is_made_up(), "{text}");
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        };
        check(memory(80 << 20, false));
        check(memory(80 << 20, true));
        check(crashed(false));
        check(crashed(true));
    }

    #[test]
    fn outcomes_read_well() {
        fn check(outcome: Outcome, expected: &str) {
            assert_eq!(outcome.to_string(), expected);
            assert!(Outcome::NAMES.contains(&outcome.name()));
        }
        check(Outcome::Completed, "completed");
        check(Failure::invalid("not JSON").into(), "failed: not JSON (code 2)");
        check(memory(80 << 20, false), "limit exceeded: asked for 80 MiB of memory, limit 64 MiB");
        check(
            memory(80 << 20, true),
            "limit exceeded, made up: asked for 80 MiB of memory, limit 64 MiB",
        );
        check(crashed(true), "crashed, made up: by the mock");
        check(crashed(false), "crashed: by the mock");
        let (asked, allowed) = ((8 << 20) + 50, 8 << 20);
        check(
            Outcome::LimitExceeded {
                limit: LimitKind::HostCallBytes,
                asked,
                allowed,
                made_up: false,
            },
            "limit exceeded: asked for 8 MiB and 50 B of host-call-bytes, limit 8 MiB",
        );
        check(
            Outcome::TimedOut { deadline: Duration::from_millis(20), made_up: false },
            "timed out: stopped at its deadline of 20 ms",
        );
    }
}
