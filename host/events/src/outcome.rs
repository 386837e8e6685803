use std::fmt;
use std::time::Duration;

use glovebox_abi::Failure;
use glovebox_abi::manifest::LimitKind;
use serde::{Deserialize, Serialize};

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
    },
    /// The plugin was stopped at a limit.
    LimitExceeded {
        /// The limit.
        limit: LimitKind,
        /// The amount it wanted, in the limit's own unit.
        asked: u64,
        /// The limit.
        allowed: u64,
    },
    /// The process of the plugin ended.
    Crashed {
        /// Signal or exit code.
        cause: String,
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

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Completed => formatter.write_str("completed"),
            Outcome::Failed { code, message } => {
                write!(formatter, "failed: {message} (code {code})")
            }
            Outcome::Trapped { code, message } => write!(formatter, "trapped: {code}: {message}"),
            Outcome::TimedOut { deadline } => write!(
                formatter,
                "timed out: stopped at its deadline of {}",
                glovebox_abi::units::show_duration(*deadline)
            ),
            Outcome::LimitExceeded { limit, asked, allowed } => {
                let (mut shown, most) = (limit.show(*asked), limit.show(*allowed));
                if shown == most && asked != allowed {
                    // Both were rounded; what is too much must be seen.
                    shown = format!("{shown} and {} B", asked.saturating_sub(*allowed));
                }
                write!(formatter, "limit exceeded: asked for {shown} of {limit}, limit {most}")
            }
            Outcome::Crashed { cause } => write!(formatter, "crashed: {cause}"),
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

    #[test]
    fn outcomes_read_well() {
        fn check(outcome: Outcome, expected: &str) {
            assert_eq!(outcome.to_string(), expected);
            assert!(Outcome::NAMES.contains(&outcome.name()));
        }
        check(Outcome::Completed, "completed");
        check(Failure::invalid("not JSON").into(), "failed: not JSON (code 2)");
        check(
            Outcome::LimitExceeded { limit: LimitKind::Memory, asked: 80 << 20, allowed: 64 << 20 },
            "limit exceeded: asked for 80 MiB of memory, limit 64 MiB",
        );
        let (asked, allowed) = ((8 << 20) + 50, 8 << 20);
        check(
            Outcome::LimitExceeded { limit: LimitKind::HostCallBytes, asked, allowed },
            "limit exceeded: asked for 8 MiB and 50 B of host-call-bytes, limit 8 MiB",
        );
        check(
            Outcome::TimedOut { deadline: Duration::from_millis(20) },
            "timed out: stopped at its deadline of 20 ms",
        );
    }
}
