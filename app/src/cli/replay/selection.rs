//! Which inputs of a trace are sent, and how often.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;

use clap::Args;
use glovebox_events::CallId;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::replay::{Inputs, TraceInputs};

use super::super::error::Problem;
use super::super::report::count_of;

/// A selection of inputs.
#[derive(Debug, Clone, Default, Args)]
pub(in super::super) struct Selection {
    /// Send only the inputs that match, e.g. 'kind:data size>1k'
    #[arg(long, value_name = "FILTER", value_parser = super::super::filter::parse)]
    pub filter: Option<Filter>,
    /// Of the matching inputs, send only those from position FROM up to, but not including, TO,
    /// counted from 0: 100..200, 100.. or ..200
    #[arg(long, value_name = "FROM..TO")]
    pub range: Option<Positions>,
    /// Send only the inputs of these calls, e.g. 12,17, in the order of the trace
    #[arg(long, value_name = "CALL,…", value_delimiter = ',', value_parser = call)]
    pub calls: Vec<CallId>,
    /// Send the selected inputs N times in a row into the same instances
    #[arg(long = "loop", value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// Positions of inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Positions(Range<usize>);

impl FromStr for Positions {
    type Err = String;

    fn from_str(text: &str) -> Result<Positions, String> {
        let usage = || "write two positions, e.g. 100..200, 100.. or ..200".to_owned();
        let (from, to) = text.split_once("..").ok_or_else(usage)?;
        let number = |text: &str, open: usize| match text {
            "" => Ok(open),
            text => text.parse().map_err(|_| usage()),
        };
        let range = number(from, 0)?..number(to, usize::MAX)?;
        match range.is_empty() {
            false => Ok(Positions(range)),
            true => Err(format!("nothing is from {} up to before {}", range.start, range.end)),
        }
    }
}

fn call(text: &str) -> Result<CallId, String> {
    let number = text.trim().trim_start_matches('#').parse().ok();
    number.map(CallId).ok_or_else(|| "write numbers of calls, e.g. 12,17 or #12".to_owned())
}

impl Selection {
    /// Of inputs that the filter has seen already, chooses what is sent.
    pub(super) fn choose(&self, plan: &mut TraceInputs) -> Result<(), Problem> {
        let all = count_of(plan.planned(), "input");
        if !self.calls.is_empty() {
            let mut absent: BTreeSet<CallId> = self.calls.iter().copied().collect();
            let read = plan.each(&mut |input| {
                absent.remove(&input.call);
                !absent.is_empty()
            });
            read.map_err(Problem::Trace)?;
            if !absent.is_empty() {
                let absent: Vec<String> = absent.iter().map(ToString::to_string).collect();
                let absent = absent.join(", ");
                let remedy = "`glovebox trace export` lists the calls";
                return Err(Problem::Usage(format!(
                    "--calls: no input of {absent} is among {all}; {remedy}"
                )));
            }
        }
        if let Some(Positions(range)) = &self.range {
            if range.start >= plan.planned() {
                let start = range.start;
                return Err(Problem::Usage(format!(
                    "--range: there is nothing from position {start} on, only {all}"
                )));
            }
            plan.range(range.clone()).map_err(Problem::Trace)?;
        }
        if !self.calls.is_empty() {
            plan.calls(&self.calls).map_err(Problem::Trace)?;
            if plan.planned() == 0 {
                let remedy = "leave one of them out";
                return Err(Problem::Usage(format!(
                    "--range and --calls have no input in common; {remedy}"
                )));
            }
        }
        Ok(())
    }

    /// For people, after "replayed".
    pub(super) fn how(&self, plan: &dyn Inputs) -> String {
        let mut how = String::new();
        if plan.skipped() > 0 {
            let all = plan.planned() + plan.skipped();
            how.push_str(&format!(", {} of {} inputs", plan.planned(), all));
        }
        if self.rounds > 1 {
            how.push_str(&format!(", {} times", self.rounds));
        }
        how
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read() {
        fn check(text: &str, expected: Option<Range<usize>>) {
            assert_eq!(text.parse().ok(), expected.map(Positions), "{text}");
        }
        check("100..200", Some(100..200));
        check("..2", Some(0..2));
        check("7..", Some(7..usize::MAX));
        check("..", Some(0..usize::MAX));
        check("5..5", None);
        check("9..2", None);
        check("..0", None);
        check("5", None);
        check("a..b", None);
        check("-1..4", None);
    }

    #[test]
    fn calls_are_read() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(call(text).ok(), expected.map(CallId), "{text}");
        }
        check("12", Some(12));
        check("#12", Some(12));
        check(" 12", Some(12));
        check("redact#12", None);
        check("", None);
    }
}
