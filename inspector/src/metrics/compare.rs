use std::time::Duration;

use super::GenerationMetrics;

/// A figure that two selections can be compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// A number of things.
    Count(u64),
    /// A time.
    Time(Duration),
    /// A number of bytes.
    Bytes(u64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Figure::Count(number) | Figure::Bytes(number) => number as f64,
            Figure::Time(time) => time.as_secs_f64(),
        }
    }
}

/// One figure of two generations, plugins or runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// What it is.
    pub name: &'static str,
    /// In the first; `None` if nobody knows.
    pub before: Option<Figure>,
    /// In the second; `None` if nobody knows.
    pub after: Option<Figure>,
    /// True if a plugin is the better the less there is of it, such as of time, memory and errors;
    /// false if more of it may be as good.
    pub less_is_better: bool,
}

/// What a change of a figure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The second is better.
    Better,
    /// The first is better.
    Worse,
}

/// Changes below this part of the first are noise.
const NOTICED: f64 = 0.05;

impl Compared {
    /// The second as a multiple of the first; `None` if that says nothing.
    pub fn ratio(&self) -> Option<f64> {
        let before = self.before?.number();
        (before > 0.0).then_some(self.after?.number() / before)
    }

    /// What the change means; `None` for less than five percent, for figures that nobody knows,
    /// and for those that may be large or small.
    pub fn verdict(&self) -> Option<Verdict> {
        let (before, after) = (self.before?.number(), self.after?.number());
        let noticed = (after - before).abs() >= before * NOTICED && after != before;
        (self.less_is_better && noticed).then_some(match after < before {
            true => Verdict::Better,
            false => Verdict::Worse,
        })
    }
}

/// The figures of two selections beside each other. Times that are sums are those of one call on
/// average, so that runs of different length can be compared.
pub fn compare(before: &GenerationMetrics, after: &GenerationMetrics) -> Vec<Compared> {
    type Read = fn(&GenerationMetrics) -> Option<Figure>;
    let per_call = |total: fn(&GenerationMetrics) -> Option<Duration>| {
        move |one: &GenerationMetrics| {
            let calls = u32::try_from(one.calls).ok().filter(|calls| *calls > 0)?;
            Some(Figure::Time(total(one)? / calls))
        }
    };
    let latency = |read: fn(&super::LatencySummary) -> Duration| {
        move |one: &GenerationMetrics| {
            (one.latency.count > 0).then(|| Figure::Time(read(&one.latency)))
        }
    };
    let both = |name, read: &dyn Fn(&GenerationMetrics) -> Option<Figure>| Compared {
        name,
        before: read(before),
        after: read(after),
        less_is_better: true,
    };
    let count = |name, read: Read| both(name, &read);
    // How much there was to do says nothing about the plugin.
    let work = |name, read: Read| Compared { less_is_better: false, ..both(name, &read) };
    vec![
        work("calls", |one| Some(Figure::Count(one.calls))),
        count("errors", |one| Some(Figure::Count(one.errors()))),
        count("denied", |one| Some(Figure::Count(one.denials))),
        both("p50", &latency(|latency| latency.p50)),
        both("p90", &latency(|latency| latency.p90)),
        both("p99", &latency(|latency| latency.p99)),
        both("p99.9", &latency(|latency| latency.p99_9)),
        both("p99.99", &latency(|latency| latency.p99_99)),
        both("max", &latency(|latency| latency.max)),
        both("queue per call", &per_call(|one| Some(one.split.queue))),
        both("guest per call", &per_call(|one| Some(one.split.guest))),
        both("boundary per call", &per_call(|one| one.split.known_boundary())),
        both("host per call", &per_call(|one| Some(one.split.host))),
        count("memory peak", |one| one.memory_peak.map(Figure::Bytes)),
        work("bytes in", |one| Some(Figure::Bytes(one.bytes_in))),
        work("bytes out", |one| Some(Figure::Bytes(one.bytes_out))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{LatencySummary, Split};
    use super::*;

    fn figures(calls: u64, micros: u64, boundary: u64, memory: Option<u64>) -> GenerationMetrics {
        let time = Duration::from_micros(micros);
        GenerationMetrics {
            plugin: "echo".into(),
            generation: 1,
            frames_in: calls,
            frames_out: calls,
            bytes_in: 0,
            bytes_out: 0,
            calls,
            outcomes: [("completed", calls)].into(),
            host_calls: 0,
            denials: 0,
            restarts: 0,
            memory,
            memory_peak: memory,
            latency: LatencySummary { count: calls, p50: time, ..LatencySummary::default() },
            split: Split {
                guest: time * calls as u32,
                boundary: Duration::from_micros(boundary),
                ..Split::default()
            },
            range: None,
            load_time: None,
        }
    }

    #[test]
    fn figures_stand_beside_each_other() {
        let before = figures(10, 100, 0, Some(1000));
        let after = figures(40, 150, 80, None);
        let all = compare(&before, &after);
        let check = |name: &str, before, after, ratio: Option<f64>, verdict| {
            let found = all.iter().find(|one| one.name == name).unwrap();
            assert_eq!((found.before, found.after), (before, after), "{name}");
            assert_eq!((found.ratio(), found.verdict()), (ratio, verdict), "{name}");
        };
        let time = |micros| Some(Figure::Time(Duration::from_micros(micros)));
        check("calls", Some(Figure::Count(10)), Some(Figure::Count(40)), Some(4.0), None);
        check("errors", Some(Figure::Count(0)), Some(Figure::Count(0)), None, None);
        let half_more = Some(0.00015 / 0.0001);
        check("p50", time(100), time(150), half_more, Some(Verdict::Worse));
        check("guest per call", time(100), time(150), half_more, Some(Verdict::Worse));
        check("boundary per call", None, time(2), None, None);
        check("memory peak", Some(Figure::Bytes(1000)), None, None, None);
    }

    #[test]
    fn changes_are_judged() {
        fn check(before: u64, after: u64, less_is_better: bool, expected: Option<Verdict>) {
            let [before, after] = [before, after].map(|number| Some(Figure::Count(number)));
            let one = Compared { name: "errors", before, after, less_is_better };
            assert_eq!(one.verdict(), expected, "{before:?} {after:?}");
        }
        check(1000, 1049, true, None);
        check(1000, 1050, true, Some(Verdict::Worse));
        check(1000, 951, true, None);
        check(1000, 950, true, Some(Verdict::Better));
        check(0, 0, true, None);
        check(0, 1, true, Some(Verdict::Worse));
        check(1, 0, true, Some(Verdict::Better));
        check(1, 2, false, None);
    }
}
