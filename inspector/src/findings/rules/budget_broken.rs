use std::time::Duration;

use super::super::budget::{BudgetFigures, Standing, verdicts};
use super::super::record::{CallRecord, Record, Segment, Spot};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;
use glovebox_abi::manifest::{Budget, BudgetKind};

/// A budget of the manifest that is not kept.
pub(super) struct BudgetBroken;

impl Rule for BudgetBroken {
    fn id(&self) -> &'static str {
        "budget-broken"
    }

    fn severity(&self) -> Severity {
        Severity::Error
    }

    fn describe(&self) -> &'static str {
        "A generation exceeds what `[budget]` or the attribute `#[budget]` says: percentiles of the \
         latency from 100 calls on; memory after any call; `cpu` over at least 1 s of a run that \
         was not sent as fast as possible; the time of the last load."
    }

    fn remedy(&self) -> &'static str {
        "make the plugin do less, or raise the budget"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for ((owner, generation), calls) in record.generations() {
            let facts = record.facts_of(&owner);
            let Some(budget) = facts.map(|facts| facts.budget).filter(|one| !one.is_empty()) else {
                continue;
            };
            let segments: Vec<&Segment> = record
                .segments
                .iter()
                .filter(|segment| segment.owner == owner && segment.key.generation == generation)
                .collect();
            let load = record
                .loads
                .iter()
                .rfind(|load| load.owner == owner && load.generation == generation);
            let figures = BudgetFigures {
                load_time: load.map(|load| load.took),
                unpaced: record.unpaced,
                ..figures(&calls, &segments)
            };
            for verdict in verdicts(&budget, &figures) {
                let (kind, allowed) = (verdict.kind, verdict.allowed);
                match verdict.standing {
                    Standing::Kept(_) => {}
                    Standing::NotJudged(reason) => out.skip(&owner, format!("{kind}: {reason}")),
                    Standing::Broken(found) => {
                        let about = match (kind, load) {
                            (BudgetKind::P50 | BudgetKind::P99, _) => {
                                format!(" over {}", count(figures.calls as usize, "call"))
                            }
                            (BudgetKind::LoadTime, Some(load)) if load.cached => {
                                " from the cache".to_owned()
                            }
                            _ => String::new(),
                        };
                        let message = format!("{kind} is {found}{about}, the budget is {allowed}");
                        let spots = match (kind, load) {
                            (BudgetKind::LoadTime, Some(load)) => vec![load.spot],
                            _ => evidence(&calls, &budget, kind),
                        };
                        out.find(&owner, generation, message, spots);
                    }
                }
            }
        }
    }
}

/// The figures of the calls and segments of one generation.
fn figures(calls: &[&CallRecord], segments: &[&Segment]) -> BudgetFigures {
    let mut latencies: Vec<Duration> = calls.iter().filter_map(|call| call.latency()).collect();
    latencies.sort_unstable();
    let memory = calls.iter().filter_map(|call| call.end?.memory).max();
    // Runs come one after the other; the time between them is nobody's.
    let mut runs = std::collections::BTreeMap::<u32, (u64, u64)>::new();
    let mut instances = std::collections::BTreeSet::new();
    for segment in segments {
        instances.insert((segment.key.run, segment.key.instance));
        if let Some((first, last)) = segment.range {
            let run = runs.entry(segment.key.run).or_insert((first, last));
            *run = (run.0.min(first), run.1.max(last));
        }
    }
    let spans = runs.values().map(|(first, last)| last.saturating_sub(*first));
    BudgetFigures {
        calls: latencies.len() as u64,
        p50: percentile(&latencies, 50),
        p99: percentile(&latencies, 99),
        memory,
        busy: segments.iter().map(|segment| segment.busy).sum(),
        span: spans.map(Duration::from_nanos).sum(),
        copies: (instances.len() / runs.len().max(1)).max(1) as u64,
        ..BudgetFigures::default()
    }
}

/// The latency that so many of a hundred do not exceed; zero if there is none. The rule of the
/// nearest rank.
fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The calls that exceed the budget most.
fn evidence(calls: &[&CallRecord], budget: &Budget, kind: BudgetKind) -> Vec<Spot> {
    let over = |call: &&CallRecord| -> Option<u128> {
        let (found, allowed) = match kind {
            BudgetKind::P50 => (call.latency()?.as_nanos(), budget.p50?.as_nanos()),
            BudgetKind::P99 => (call.latency()?.as_nanos(), budget.p99?.as_nanos()),
            BudgetKind::Memory => (u128::from(call.end?.memory?), u128::from(budget.memory?)),
            // The calls that took most of the time.
            BudgetKind::Cpu => (call.latency()?.as_nanos(), 0),
            BudgetKind::LoadTime => return None,
        };
        (found > allowed).then_some(found)
    };
    let mut worst: Vec<_> =
        calls.iter().filter_map(|call| Some((over(call)?, call.input))).collect();
    worst.sort_by_key(|(over, _)| std::cmp::Reverse(*over));
    worst.into_iter().map(|(_, spot)| spot).take(Verdict::MAX_EVIDENCE).collect()
}
