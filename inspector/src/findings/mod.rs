//! Rules that check a run and point a person to problems.
//!
//! A [`RecordBuilder`] turns events into a [`Record`], which holds the calls of a run without their
//! frames; [`judge`] runs the [`RULES`] over it and gives a [`Judgement`]: [`Finding`]s with the
//! frames that show them, and what could not be judged and why. `RULES.md` beside this file is the
//! list for people; a test keeps it the same as the array.
//!
//! ```
//! use glovebox_inspector::findings::{RecordBuilder, Severities, judge};
//!
//! let judgement = judge(&RecordBuilder::default().finish(), &Severities::default());
//! assert!(judgement.findings.is_empty());
//! ```
//!
//! This module deliberately stops nothing: what must never happen is a limit, and the host enforces
//! those.

mod budget;
mod builder;
mod live;
mod record;
mod rule;
mod rules;
mod severity;
#[cfg(test)]
mod tests;

pub use budget::{BudgetFigures, BudgetVerdict, MIN_CALLS, MIN_SPAN, Standing, verdicts};
pub use builder::{MAX_CALLS, RecordBuilder};
pub use live::LiveRecord;
pub use record::{
    AskedHostCall, CallEnd, CallRecord, Crashes, Load, Owner, PermissionUse, PluginFacts, Record,
    Segment, SegmentKey, Spot,
};
pub use rule::{Evidence, Finding, Judgement, Rule, Unjudged, Verdict, judge};
pub use rules::{RULES, rules_text};
pub use severity::{Severities, Severity, SeverityError};
