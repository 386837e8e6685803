//! Judges figures by a budget. Reports, the rule and the metrics of the window share it.

use std::time::Duration;

use glovebox_abi::manifest::{Budget, BudgetKind};
use glovebox_abi::units::{show_duration, show_share, show_size};

/// Calls without which a percentile says nothing.
pub const MIN_CALLS: u64 = 100;
/// Time without which a share of it says nothing.
pub const MIN_SPAN: Duration = Duration::from_secs(1);

/// The measured figures of one generation of a plugin.
#[derive(Debug, Clone, Default)]
pub struct BudgetFigures {
    /// Calls that were made and are over.
    pub calls: u64,
    /// Half of the calls were no slower.
    pub p50: Duration,
    /// 99 of 100 calls were no slower.
    pub p99: Duration,
    /// The most bytes of memory after a call, where the tier can tell.
    pub memory: Option<u64>,
    /// Time of all calls inside the plugin, and in carrying frames.
    pub busy: Duration,
    /// From the first input to the last end.
    pub span: Duration,
    /// Copies that shared the work, from 1.
    pub copies: u64,
    /// True if inputs came as fast as possible.
    pub unpaced: bool,
    /// How long the last load took, if there was one.
    pub load_time: Option<Duration>,
}

/// The verdict about one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetVerdict {
    /// The kind of budget.
    pub kind: BudgetKind,
    /// The budget, with its unit.
    pub allowed: String,
    /// Whether it is kept.
    pub standing: Standing,
}

/// Whether a budget is kept; measured values come with their unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is; the measured value.
    Kept(String),
    /// It is not; the measured value.
    Broken(String),
    /// Nobody can say; why.
    NotJudged(String),
}

/// One verdict for each budget that there is.
pub fn verdicts(budget: &Budget, figures: &BudgetFigures) -> Vec<BudgetVerdict> {
    let time = |allowed: Option<Duration>, found: Duration| {
        let judge = move |allowed| of(found <= allowed, show_duration(found));
        allowed.map(judge)
    };
    let percentile = |allowed: Option<Duration>, found| match time(allowed, found)? {
        _ if figures.calls < MIN_CALLS => Some(Standing::NotJudged(format!(
            "{} calls are too few, {MIN_CALLS} are needed",
            figures.calls
        ))),
        standing => Some(standing),
    };
    let memory = budget.memory.map(|allowed| match figures.memory {
        Some(found) => of(found <= allowed, show_size(found)),
        None => Standing::NotJudged("this tier cannot tell its memory".to_owned()),
    });
    let load_time = budget.load_time.map(|allowed| match figures.load_time {
        Some(found) => of(found <= allowed, show_duration(found)),
        None => Standing::NotJudged("the run has no load in it".to_owned()),
    });
    let standings = [
        (BudgetKind::P50, percentile(budget.p50, figures.p50)),
        (BudgetKind::P99, percentile(budget.p99, figures.p99)),
        (BudgetKind::Memory, memory),
        (BudgetKind::Cpu, budget.cpu.map(|allowed| cpu(allowed, figures))),
        (BudgetKind::LoadTime, load_time),
    ];
    let verdict = |(kind, standing): (BudgetKind, Option<Standing>)| {
        Some(BudgetVerdict { kind, allowed: budget.show(kind)?, standing: standing? })
    };
    standings.into_iter().filter_map(verdict).collect()
}

/// The share of the time between the first input and the last end that a copy spent in calls, host
/// services excluded. It is time on the clock: a plugin that sleeps counts as working.
fn cpu(allowed: f64, figures: &BudgetFigures) -> Standing {
    if figures.unpaced {
        let reason = "inputs came as fast as possible; replay with `--speed real`";
        return Standing::NotJudged(reason.to_owned());
    }
    if figures.span < MIN_SPAN {
        let (span, least) = (show_duration(figures.span), show_duration(MIN_SPAN));
        return Standing::NotJudged(format!("{span} are too short, {least} are needed"));
    }
    let share = figures.busy.as_secs_f64() / figures.span.as_secs_f64();
    let share = share / figures.copies.max(1) as f64;
    of(share <= allowed, show_share(share))
}

fn of(kept: bool, found: String) -> Standing {
    if kept { Standing::Kept(found) } else { Standing::Broken(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_kept_broken_or_not_judged() {
        fn check(budget: &str, change: impl FnOnce(&mut BudgetFigures), expected: &str) {
            let budget = Budget::parse(budget).unwrap_or_else(|error| panic!("{error}"));
            let mut figures = BudgetFigures {
                calls: 100,
                p50: Duration::from_micros(100),
                p99: Duration::from_millis(1),
                memory: Some(1 << 20),
                busy: Duration::from_secs(1),
                span: Duration::from_secs(4),
                copies: 1,
                unpaced: false,
                load_time: Some(Duration::from_millis(5)),
            };
            change(&mut figures);
            let all = verdicts(&budget, &figures).into_iter();
            let all = all.map(|verdict| format!("{}: {:?}", verdict.kind, verdict.standing));
            assert_eq!(all.collect::<Vec<_>>().join(", "), expected);
        }
        check("", |_| {}, "");
        check("p50 = \"100us\"", |_| {}, "p50: Kept(\"100 µs\")");
        check("p50 = \"99us\"", |_| {}, "p50: Broken(\"100 µs\")");
        check("p99 = \"1 ms\"", |_| {}, "p99: Kept(\"1 ms\")");
        check("p99 = \"999us\"", |_| {}, "p99: Broken(\"1 ms\")");
        check(
            "p99 = \"1 us\"",
            |figures| figures.calls = 99,
            "p99: NotJudged(\"99 calls are too few, 100 are needed\")",
        );
        check("memory = \"1 MiB\"", |_| {}, "memory: Kept(\"1 MiB\")");
        check("memory = 1048575", |_| {}, "memory: Broken(\"1 MiB\")");
        check(
            "memory = 1",
            |figures| figures.memory = None,
            "memory: NotJudged(\"this tier cannot tell its memory\")",
        );
        check("cpu = 0.25", |_| {}, "cpu: Kept(\"25 %\")");
        check("cpu = 0.2", |_| {}, "cpu: Broken(\"25 %\")");
        check("cpu = 0.2", |figures| figures.copies = 2, "cpu: Kept(\"12.5 %\")");
        check(
            "cpu = 0.2",
            |figures| figures.span = Duration::from_millis(900),
            "cpu: NotJudged(\"900 ms are too short, 1 s are needed\")",
        );
        check(
            "cpu = 0.2",
            |figures| figures.unpaced = true,
            "cpu: NotJudged(\"inputs came as fast as possible; replay with `--speed real`\")",
        );
        check("load-time = \"5 ms\"", |_| {}, "load-time: Kept(\"5 ms\")");
        check("load-time = \"4 ms\"", |_| {}, "load-time: Broken(\"5 ms\")");
        check(
            "load-time = \"4 ms\"",
            |figures| figures.load_time = None,
            "load-time: NotJudged(\"the run has no load in it\")",
        );
    }
}
