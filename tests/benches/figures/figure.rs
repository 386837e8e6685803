//! Measuring in turns, and printing figures.

use std::fmt::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long one batch of calls should take.
const BATCH: Duration = Duration::from_millis(5);
/// How many batches of each side are measured.
const BATCHES: usize = 41;

/// Tells a process of this program to measure one group of figures and nothing else.
const ALONE: &str = "GLOVEBOX_FIGURES_ALONE";

/// Collects figures and prints them.
pub(crate) struct Figures {
    wanted: Option<String>,
    /// The group that this process measures, if it is not all.
    alone: Option<String>,
    rows: Vec<Row>,
    skipped: Vec<String>,
}

struct Row {
    name: String,
    value: f64,
    unit: String,
    baseline: f64,
    baseline_is: String,
    target: Target,
}

/// The target of a figure: a good ratio of its value to its baseline. A target is never a time: it would mean something
/// else on every machine.
#[derive(Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    fn ratio(&self) -> f64 {
        self.value / self.baseline
    }

    fn met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.ratio() <= most,
            Target::AtLeast(least) => self.ratio() >= least,
        }
    }
}

impl Row {
    /// Reads a line that another process printed.
    fn read(line: &str) -> Option<Row> {
        let mut words = line.strip_prefix("FIGURE ")?.split(' ');
        let name = words.next()?.to_owned();
        let mut word = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Row {
            name,
            value: word("value")?.parse().ok()?,
            unit: word("unit")?.to_owned(),
            baseline: word("baseline")?.parse().ok()?,
            baseline_is: word("baseline-is")?.to_owned(),
            target: word("ratio").and(word("target")).and_then(Target::read)?,
        })
    }
}

impl Target {
    fn read(text: &str) -> Option<Target> {
        let text = text.strip_suffix('x')?;
        match text.strip_prefix("<=") {
            Some(most) => most.parse().ok().map(Target::AtMost),
            None => text.strip_prefix(">=")?.parse().ok().map(Target::AtLeast),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, value, unit, baseline, baseline_is, target } = self;
        let ratio = self.ratio();
        write!(
            formatter,
            "FIGURE {name} value={value:.3} unit={unit} baseline={baseline:.3} \
             baseline-is={baseline_is} ratio={ratio:.3} target={target}"
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtMost(most) => write!(formatter, "<={most}x"),
            Target::AtLeast(least) => write!(formatter, ">={least}x"),
        }
    }
}

impl Figures {
    pub(crate) fn new(wanted: Option<String>) -> Figures {
        let alone = std::env::var(ALONE).ok();
        Figures { wanted, alone, rows: Vec::new(), skipped: Vec::new() }
    }

    /// Measures a group of figures.
    pub(crate) fn group(&mut self, run: fn(&mut Figures)) {
        if self.alone.is_none() {
            run(self);
        }
    }

    /// Measures a group of figures in a process of its own, because they are about the process: what
    /// was measured before must not count.
    pub(crate) fn group_alone(&mut self, group: &str, names: &[&str], run: fn(&mut Figures)) {
        match &self.alone {
            Some(alone) if alone == group => return run(self),
            Some(_) => return,
            None if !names.iter().any(|name| self.wants(name)) => return,
            None => {}
        }
        let program = std::env::current_exe().expect("a program knows where it is");
        let output = Command::new(program).args(&self.wanted).env(ALONE, group).output();
        let output = output.expect("this program runs a second time");
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{group}: {}\n{complained}", output.status);
        for line in said.lines() {
            println!("{line}");
            if let Some(skipped) = line.strip_prefix("SKIPPED ") {
                self.skipped.push(skipped.to_owned());
            } else {
                self.rows.extend(Row::read(line));
            }
        }
    }

    /// True if the person asked for this figure, or for all.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()))
    }

    /// Prints a figure; `target` is the largest good ratio of the value to the baseline, which has the
    /// same unit.
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

    /// The same where more is better; `target` is the smallest good ratio.
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
        let (name, unit, baseline_is) = (name.to_owned(), unit.to_owned(), baseline_is.to_owned());
        let row = Row { name, value, unit, baseline, baseline_is, target };
        println!("{row}");
        self.rows.push(row);
    }

    /// Says that a figure could not be measured here.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        println!("SKIPPED {name}: {why}");
        self.skipped.push(name.to_owned());
    }

    /// Prints the table and the count.
    pub(crate) fn finish(self) {
        if self.alone.is_some() {
            return;
        }
        let mut table = String::from("\n");
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for row in &self.rows {
            let Row { name, value, unit, baseline, baseline_is, target } = row;
            let (ratio, target) = (row.ratio(), target.to_string());
            let met = if row.met() { "met" } else { "MISSED" };
            let _ = writeln!(
                table,
                "{name:width$}  {ratio:>8.3} x  target {target:<8} {met:<7} \
                 {value:.2} {unit} of {baseline:.2} {baseline_is}"
            );
        }
        let met = self.rows.iter().filter(|row| row.met()).count();
        let missed = self.rows.len() - met;
        println!("{table}\n{met} targets met, {missed} missed, {} skipped", self.skipped.len());
    }
}

/// The medians of two functions in nanoseconds a call, measured batch by batch in turns. Both work on
/// this thread alone, and the time of other processes is not theirs.
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
    let milliseconds = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e3
    };
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        times.0.push(milliseconds(&mut measured));
        times.1.push(milliseconds(&mut baseline));
    }
    (median(times.0), median(times.1))
}

/// The same for work on this thread alone: the time of other processes is not theirs.
pub(crate) fn pair_once_here(
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
        let started = worked();
        (0..calls).for_each(|_| work());
        if worked() - started > BATCH || calls > 1 << 28 {
            return calls;
        }
        calls *= 2;
    }
}

fn batch(work: &mut impl FnMut(), calls: u32) -> f64 {
    let started = worked();
    (0..calls).for_each(|_| work());
    (worked() - started).as_nanos() as f64 / f64::from(calls)
}

/// The time of the processor that this thread has used, in the system too.
#[cfg(unix)]
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time since the first call, where the system does not tell the one of a thread.
#[cfg(not(unix))]
fn worked() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
