use std::time::Duration;

use glovebox_events::latency::LatencySummary;

use super::GenerationMetrics;

/// A figure that two selections can be compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// A number of things.
    Count(u64),
    /// A time.
    Time(Duration),
    /// A time of which only three digits are exact.
    About(Duration),
    /// A number of bytes.
    Bytes(u64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Figure::Count(number) | Figure::Bytes(number) => number as f64,
            Figure::Time(time) | Figure::About(time) => time.as_secs_f64(),
        }
    }
}

/// One figure of two generations, plugins or runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Its name.
    pub name: &'static str,
    /// In the first; `None` if nobody knows.
    pub before: Option<Figure>,
    /// In the second; `None` if nobody knows.
    pub after: Option<Figure>,
    /// The calls that it takes: of fewer it is not known.
    pub takes: u64,
}

/// The calls that p99.9 and p99.99 take: of fewer they are the slowest call, and nothing of their own.
pub const P99_9_TAKES: u64 = 1_000;
/// See [`P99_9_TAKES`].
pub const P99_99_TAKES: u64 = 10_000;

impl Compared {
    /// The second as a multiple of the first; `None` if that says nothing.
    pub fn ratio(&self) -> Option<f64> {
        let before = self.before?.number();
        (before > 0.0).then_some(self.after?.number() / before)
    }
}

/// The figures of two selections beside each other. Times that are sums are those of one call on
/// average, so that runs of different length can be compared. The meaning of a change is no figure:
/// [`GenerationMetrics::shift_since`] says it of latencies.
pub fn compare(before: &GenerationMetrics, after: &GenerationMetrics) -> Vec<Compared> {
    type Read = fn(&GenerationMetrics) -> Option<Figure>;
    let per_call = |total: fn(&GenerationMetrics) -> Option<Duration>| {
        move |one: &GenerationMetrics| {
            let calls = u32::try_from(one.calls).ok().filter(|calls| *calls > 0)?;
            Some(Figure::Time(total(one)? / calls))
        }
    };
    let both = |name, read: &dyn Fn(&GenerationMetrics) -> Option<Figure>| Compared {
        name,
        before: read(before),
        after: read(after),
        takes: 0,
    };
    let tail = |name, takes: u64, read: fn(&LatencySummary) -> Duration| {
        let read = |one: &GenerationMetrics| {
            let time = read(&one.latency);
            (one.latency.count >= takes).then_some(match one.latency.is_exact {
                true => Figure::Time(time),
                false => Figure::About(time),
            })
        };
        Compared { takes, ..both(name, &read) }
    };
    let latency = |name, read: fn(&LatencySummary) -> Duration| tail(name, 1, read);
    let count = |name, read: Read| both(name, &read);
    vec![
        count("calls", |one| Some(Figure::Count(one.calls))),
        count("errors", |one| Some(Figure::Count(one.errors()))),
        count("denied", |one| Some(Figure::Count(one.denials()))),
        count("injected", |one| Some(Figure::Count(one.injected()))),
        latency("p50", |latency| latency.p50),
        latency("p90", |latency| latency.p90),
        latency("p99", |latency| latency.p99),
        tail("p99.9", P99_9_TAKES, |latency| latency.p99_9),
        tail("p99.99", P99_99_TAKES, |latency| latency.p99_99),
        latency("max", |latency| latency.max),
        both("queue per call", &per_call(|one| Some(one.split.queue))),
        both("guest per call", &per_call(|one| Some(one.split.guest))),
        both("boundary per call", &per_call(|one| one.split.known_boundary())),
        both("host per call", &per_call(|one| Some(one.split.host))),
        count("memory peak", |one| one.memory_peak.map(Figure::Bytes)),
        count("bytes in", |one| Some(Figure::Bytes(one.bytes_in))),
        count("bytes out", |one| Some(Figure::Bytes(one.bytes_out))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Split;
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
            permissions: Default::default(),
            restarts: 0,
            memory,
            memory_peak: memory,
            latency: LatencySummary {
                count: calls,
                is_exact: memory.is_some(),
                p50: time,
                ..LatencySummary::default()
            },
            latencies: Default::default(),
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
        let check = |name: &str, before, after, ratio: Option<f64>| {
            let found = all.iter().find(|one| one.name == name).unwrap();
            assert_eq!((found.before, found.after), (before, after), "{name}");
            assert_eq!(found.ratio(), ratio, "{name}");
        };
        let time = |micros| Some(Figure::Time(Duration::from_micros(micros)));
        check("calls", Some(Figure::Count(10)), Some(Figure::Count(40)), Some(4.0));
        check("errors", Some(Figure::Count(0)), Some(Figure::Count(0)), None);
        let half_more = Some(0.00015 / 0.0001);
        let about = Some(Figure::About(Duration::from_micros(150)));
        check("p50", time(100), about, half_more);
        check("guest per call", time(100), time(150), half_more);
        check("boundary per call", None, time(2), None);
        check("memory peak", Some(Figure::Bytes(1000)), None, None);
    }

    #[test]
    fn few_calls_have_no_tail() {
        fn check(calls: u64, expected: [bool; 3]) {
            let all = compare(&figures(calls, 100, 0, None), &figures(0, 100, 0, None));
            let found = ["p99", "p99.9", "p99.99"]
                .map(|name| all.iter().find(|one| one.name == name).unwrap().before.is_some());
            assert_eq!(found, expected, "{calls}");
        }
        check(0, [false; 3]);
        check(999, [true, false, false]);
        check(1_000, [true, true, false]);
        check(9_999, [true, true, false]);
        check(10_000, [true; 3]);
    }
}
