//! `[budget]`: the figures that a plugin should keep to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{Size, duration, size, value};
use super::{ManifestError, keys, line_of};
use crate::units::{parse_share, show_duration, show_share, show_size};

/// Soft limits: breaking one is a finding, never a stop.
///
/// They stand under `[budget]` in `plugin.toml`, in the attribute `#[budget]` of the SDK, or in
/// both, where they must not contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Budget {
    /// Half of all calls should be no slower; longer than 0.
    pub p50: Option<Duration>,
    /// 99 of 100 calls should be no slower; longer than 0 and no less than `p50`.
    pub p99: Option<Duration>,
    /// Bytes of memory that the plugin should not exceed after any call, from 1.
    pub memory: Option<u64>,
    /// Share of the time that the plugin should at most work, over 0 up to 1, which is all the time
    /// of one core.
    pub cpu: Option<f64>,
    /// How long loading should take at most; longer than 0.
    pub load_time: Option<Duration>,
}

/// The budgets by name, as findings show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetKind {
    /// [`Budget::p50`].
    P50,
    /// [`Budget::p99`].
    P99,
    /// [`Budget::memory`].
    Memory,
    /// [`Budget::cpu`].
    Cpu,
    /// [`Budget::load_time`].
    LoadTime,
}

impl BudgetKind {
    /// All of them, in the order of the manifest's documentation.
    pub const ALL: [BudgetKind; 5] = [
        BudgetKind::P50,
        BudgetKind::P99,
        BudgetKind::Memory,
        BudgetKind::Cpu,
        BudgetKind::LoadTime,
    ];

    /// The key in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            BudgetKind::P50 => "p50",
            BudgetKind::P99 => "p99",
            BudgetKind::Memory => "memory",
            BudgetKind::Cpu => "cpu",
            BudgetKind::LoadTime => "load-time",
        }
    }
}

impl fmt::Display for BudgetKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Budget {
    /// Reads lines as they stand under `[budget]` in a manifest, such as `p99 = "500us"`.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown key, or a value of the wrong unit or range.
    pub fn parse(text: &str) -> Result<Budget, ManifestError> {
        let from_toml = |error| ManifestError::from_toml(text, &error);
        let table = toml::de::DeTable::parse(text).map_err(from_toml)?;
        for key in table.get_ref().keys() {
            let line = Some(line_of(text, key.span().start));
            let key = key.get_ref().as_ref();
            if !keys::BUDGET.contains(&key) {
                let known = keys::BUDGET.iter().copied();
                return Err(ManifestError::unknown(key, "budget", line, known));
            }
        }
        toml::from_str::<RawBudget>(text).map_err(from_toml)?.read()
    }

    /// The budget of a manifest together with that of the plugin's source.
    ///
    /// # Errors
    ///
    /// If both say something about the same key, and not the same, or if they make no sense
    /// together.
    pub fn merged(self, attribute: Budget) -> Result<Budget, ManifestError> {
        use BudgetKind::{Cpu, LoadTime, Memory, P50, P99};
        let merged = Budget {
            p50: either(P50, self.p50, attribute.p50, show_duration)?,
            p99: either(P99, self.p99, attribute.p99, show_duration)?,
            memory: either(Memory, self.memory, attribute.memory, show_size)?,
            cpu: either(Cpu, self.cpu, attribute.cpu, show_share)?,
            load_time: either(LoadTime, self.load_time, attribute.load_time, show_duration)?,
        };
        merged.checked()
    }

    /// True if there is none at all.
    pub fn is_empty(&self) -> bool {
        *self == Budget::default()
    }

    /// The lines that [`parse`](Self::parse) reads as this budget.
    pub fn to_toml(&self) -> String {
        let duration = |time: Duration| format!("\"{} ns\"", time.as_nanos());
        let lines = [
            (BudgetKind::P50, self.p50.map(duration)),
            (BudgetKind::P99, self.p99.map(duration)),
            (BudgetKind::Memory, self.memory.map(|bytes| bytes.to_string())),
            (BudgetKind::Cpu, self.cpu.map(|share| share.to_string())),
            (BudgetKind::LoadTime, self.load_time.map(duration)),
        ];
        let lines = lines.into_iter().filter_map(|(kind, text)| Some((kind, text?)));
        lines.map(|(kind, text)| format!("{kind} = {text}\n")).collect()
    }

    /// The value of one budget with its unit; `None` if there is none.
    pub fn show(&self, kind: BudgetKind) -> Option<String> {
        match kind {
            BudgetKind::P50 => self.p50.map(show_duration),
            BudgetKind::P99 => self.p99.map(show_duration),
            BudgetKind::Memory => self.memory.map(show_size),
            BudgetKind::Cpu => self.cpu.map(show_share),
            BudgetKind::LoadTime => self.load_time.map(show_duration),
        }
    }

    /// Each on its own, then together.
    fn checked(self) -> Result<Budget, ManifestError> {
        let times = [
            (BudgetKind::P50, self.p50),
            (BudgetKind::P99, self.p99),
            (BudgetKind::LoadTime, self.load_time),
        ];
        for (kind, time) in times {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(wrong(kind, "must be longer than 0".to_owned()));
            }
        }
        if self.memory == Some(0) {
            return Err(wrong(BudgetKind::Memory, "must be more than 0 bytes".to_owned()));
        }
        if let (Some(p50), Some(p99)) = (self.p50, self.p99)
            && p50 > p99
        {
            let (p50, p99) = (show_duration(p50), show_duration(p99));
            let reason = format!("{p50} is more than the `p99` of {p99}; write no more than that");
            return Err(wrong(BudgetKind::P50, reason));
        }
        if let Some(share) = self.cpu
            && !(share > 0.0 && share <= 1.0)
        {
            let reason = format!("{share} is out of range; write over 0 up to 1, or \"20%\"");
            return Err(wrong(BudgetKind::Cpu, reason));
        }
        Ok(self)
    }
}

fn either<T: PartialEq + Copy>(
    kind: BudgetKind,
    manifest: Option<T>,
    attribute: Option<T>,
    show: impl Fn(T) -> String,
) -> Result<Option<T>, ManifestError> {
    match (manifest, attribute) {
        (Some(manifest), Some(attribute)) if manifest != attribute => {
            Err(ManifestError::Contradiction {
                key: format!("budget.{kind}"),
                manifest: show(manifest),
                attribute: show(attribute),
            })
        }
        (manifest, attribute) => Ok(manifest.or(attribute)),
    }
}

fn wrong(kind: BudgetKind, reason: String) -> ManifestError {
    value(&format!("budget.{kind}"), reason)
}

/// A share as a number from 0 to 1, or a text in percent.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 to 1, or a text such as \"20%\"")]
enum Share {
    Number(f64),
    Percent(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct RawBudget {
    p50: Option<String>,
    p99: Option<String>,
    memory: Option<Size>,
    cpu: Option<Share>,
    load_time: Option<String>,
}

impl RawBudget {
    pub(super) fn read(self) -> Result<Budget, ManifestError> {
        let budget = Budget {
            p50: duration("budget.p50", self.p50)?,
            p99: duration("budget.p99", self.p99)?,
            memory: size("budget.memory", self.memory)?,
            cpu: self.cpu.map(share).transpose()?,
            load_time: duration("budget.load-time", self.load_time)?,
        };
        budget.checked()
    }
}

fn share(share: Share) -> Result<f64, ManifestError> {
    match share {
        Share::Number(number) => Ok(number),
        Share::Percent(text) => {
            parse_share(&text).map_err(|error| wrong(BudgetKind::Cpu, error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(text: &str) -> Budget {
        Budget::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn budgets_are_read_with_their_units() {
        fn check(text: &str, expected: &[(BudgetKind, &str)]) {
            let budget = budget(text);
            for kind in BudgetKind::ALL {
                let wanted = expected.iter().find(|(name, _)| *name == kind);
                assert_eq!(budget.show(kind).as_deref(), wanted.map(|(_, shown)| *shown), "{text}");
            }
            assert_eq!(Budget::parse(&budget.to_toml()), Ok(budget), "{text}");
            assert_eq!(budget.is_empty(), expected.is_empty(), "{text}");
        }
        use BudgetKind::{Cpu, LoadTime, Memory, P50, P99};
        check("", &[]);
        check("p50 = \"80us\"\np99 = \"1.5 ms\"", &[(P50, "80 µs"), (P99, "1.5 ms")]);
        check("memory = \"8 MiB\"", &[(Memory, "8 MiB")]);
        check("memory = 2048", &[(Memory, "2 KiB")]);
        check("cpu = 0.2", &[(Cpu, "20 %")]);
        check("cpu = \"2.5 %\"", &[(Cpu, "2.5 %")]);
        check("cpu = 1", &[(Cpu, "100 %")]);
        check("load-time = \"2 s\"", &[(LoadTime, "2 s")]);
    }

    #[test]
    fn bad_budgets_say_what_is_wrong() {
        fn check(text: &str, expected: &str) {
            let error = Budget::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("p95 = \"1 ms\"", "unknown key `p95` in [budget] on line 1; did you mean `p99`?");
        check("\nload_time = \"1 s\"", "on line 2; did you mean `load-time`?");
        check("p99 = \"500\"", "`budget.p99`: `500` is not a duration; write for example");
        check("p99 = 500", "line 1");
        check("p99 = \"0 ms\"", "`budget.p99`: must be longer than 0");
        check("p50 = \"2 ms\"\np99 = \"1 ms\"", "2 ms is more than the `p99` of 1 ms");
        check("memory = \"8 ms\"", "`budget.memory`: `8 ms` is not a size");
        check("memory = 0", "more than 0 bytes");
        check("cpu = 1.5", "`budget.cpu`: 1.5 is out of range");
        check("cpu = \"-1 %\"", "out of range");
        check("cpu = nan", "out of range");
        check("cpu = \"much\"", "`much` is not a share");
        check("load-time = \"0 s\"", "`budget.load-time`: must be longer");
    }

    #[test]
    fn the_source_and_the_manifest_must_agree() {
        fn check(manifest: &str, attribute: &str, expected: Result<&str, &str>) {
            let merged = budget(manifest).merged(budget(attribute));
            match (merged, expected) {
                (Ok(merged), Ok(expected)) => assert_eq!(merged, budget(expected)),
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
                }
                (found, _) => panic!("{found:?} is not {expected:?}"),
            }
        }
        check("", "p99 = \"1 ms\"", Ok("p99 = \"1 ms\""));
        check("cpu = 0.5", "p99 = \"1 ms\"", Ok("cpu = 0.5\np99 = \"1 ms\""));
        check("p99 = \"1 ms\"", "p99 = \"1000us\"", Ok("p99 = \"1 ms\""));
        check(
            "p99 = \"1 ms\"",
            "p99 = \"500us\"",
            Err("`budget.p99` is 500 µs in the attribute `#[budget]` of the source, but 1 ms in \
                 plugin.toml; remove one of the two"),
        );
        check("p50 = \"2 ms\"", "p99 = \"1 ms\"", Err("is more than the `p99` of 1 ms"));
    }
}
