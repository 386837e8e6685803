//! Measuring in turns, and printing figures.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

/// How long one batch of calls should take.
const BATCH: Duration = Duration::from_millis(5);
/// How many batches of each side are measured.
const BATCHES: usize = 41;

/// Collects figures and prints them.
pub(crate) struct Figures {
    wanted: Option<String>,
    rows: Vec<Row>,
    skipped: Vec<String>,
}

struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    baseline: f64,
    baseline_is: &'static str,
    target: Target,
}

/// What a good value is.
#[derive(Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    fn met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtMost(most) => write!(formatter, "<={most}"),
            Target::AtLeast(least) => write!(formatter, ">={least}"),
        }
    }
}

impl Figures {
    pub(crate) fn new(wanted: Option<String>) -> Figures {
        Figures { wanted, rows: Vec::new(), skipped: Vec::new() }
    }

    /// True if the person asked for this figure, or for all.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()))
    }

    /// Prints a figure; `target` is the largest good value.
    pub(crate) fn add(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        (baseline_is, baseline): (&'static str, f64),
        target: f64,
    ) {
        self.push(name, value, unit, (baseline_is, baseline), Target::AtMost(target));
    }

    /// Prints a figure; `target` is the smallest good value.
    pub(crate) fn add_at_least(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        baseline: (&'static str, f64),
        target: f64,
    ) {
        self.push(name, value, unit, baseline, Target::AtLeast(target));
    }

    fn push(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        (baseline_is, baseline): (&'static str, f64),
        target: Target,
    ) {
        println!(
            "FIGURE {name} value={value:.2} unit={unit} baseline={baseline:.2} \
             baseline-is={baseline_is} target={target}"
        );
        self.rows.push(Row { name: name.to_owned(), value, unit, baseline, baseline_is, target });
    }

    /// Says that a figure could not be measured here.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        println!("SKIPPED {name}: {why}");
        self.skipped.push(name.to_owned());
    }

    /// Prints the table and the count.
    pub(crate) fn finish(self) {
        let mut table = String::from("\n");
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for row in &self.rows {
            let Row { name, value, unit, baseline, baseline_is, target } = row;
            let target = target.to_string();
            let met = if row.met() { "met" } else { "MISSED" };
            let _ = writeln!(
                table,
                "{name:width$}  {value:>12.2} {unit:<5} target {target:<10} {met:<7} \
                 ({baseline_is} {baseline:.2})"
            );
        }
        let met = self.rows.iter().filter(|row| row.met()).count();
        let missed = self.rows.len() - met;
        println!("{table}\n{met} targets met, {missed} missed, {} skipped", self.skipped.len());
    }
}

/// The medians of two functions in nanoseconds a call, measured batch by batch in turns.
pub(crate) fn pair(mut measured: impl FnMut(), mut baseline: impl FnMut()) -> (f64, f64) {
    let (calls, base_calls) = (calls_a_batch(&mut measured), calls_a_batch(&mut baseline));
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        times.0.push(batch(&mut measured, calls));
        times.1.push(batch(&mut baseline, base_calls));
    }
    (median(times.0), median(times.1))
}

/// The medians of two functions in milliseconds, called `rounds` times in turns.
pub(crate) fn pair_once(
    rounds: usize,
    mut measured: impl FnMut(),
    mut baseline: impl FnMut(),
) -> (f64, f64) {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        times.0.push(batch(&mut measured, 1) / 1e6);
        times.1.push(batch(&mut baseline, 1) / 1e6);
    }
    (median(times.0), median(times.1))
}

fn calls_a_batch(work: &mut impl FnMut()) -> u32 {
    let mut calls = 1;
    loop {
        let started = Instant::now();
        (0..calls).for_each(|_| work());
        if started.elapsed() > BATCH || calls > 1 << 28 {
            return calls;
        }
        calls *= 2;
    }
}

fn batch(work: &mut impl FnMut(), calls: u32) -> f64 {
    let started = Instant::now();
    (0..calls).for_each(|_| work());
    started.elapsed().as_nanos() as f64 / f64::from(calls)
}

pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
