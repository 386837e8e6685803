//! `[swap]` of a policy: what a new generation has to pass before and after it takes over.

use std::str::FromStr;
use std::time::Duration;

use glovebox_abi::manifest::{ManifestError, line_of};
use glovebox_abi::units::parse_duration;
use glovebox_abi::{Frame, Header, Kind};
use serde::Deserialize;
use serde::de::Error as _;
use toml::de::{DeTable, DeValue};

/// The most generations that are kept.
const MAX_KEEP: u32 = 64;
/// The most frames that are kept to be probes.
const MAX_LAST: u32 = 256;

/// The tests that a new generation has to pass before and after it takes over from the one that runs.
///
/// | key of `[swap]` | unless told |
/// |---|---|
/// | `older = "run"`, `"ask"` or `"refuse"` | `"ask"` |
/// | `keep`, generations to go back to, from 1 to 64 | 3 |
/// | `drain-deadline` | `"60 s"` |
/// | `[[swap.probes]]` with `plugin`, `name`, `payload`, `kind`, `answers` | none |
/// | `probe-last`, frames from 0 to 256 | 0 |
/// | `same-answers` | `false` |
/// | `probation`, how long it lasts; `probation-calls`, `probation-errors`, `probation-slower` | none; 20, 0.1, 4 |
/// | `candidate-differences`, a share from 0 to 1; `candidate-promote`, a number of calls | none; none |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SwapRules {
    /// The fate of a version that is older than the one that runs.
    pub older: OlderVersion,
    /// How many generations are kept to go back to.
    pub keep: u32,
    /// How long the calls under way are waited for before a swap is given up.
    pub drain_deadline: Duration,
    /// Frames that it must answer.
    pub probes: Vec<ProbeFrame>,
    /// How many of the last frames it must complete if the generation before did.
    pub probe_last: u32,
    /// True if it must also answer those with the same frames.
    pub same_answers: bool,
    /// How it is watched once it runs; `None` if it is not.
    pub probation: Option<Probation>,
    /// How a candidate is judged, which is tried beside the running one.
    pub candidate: CandidateRules,
}

/// How a candidate is judged. The first three are those of a probation, whether or not there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CandidateRules {
    /// Calls of it that must have ended before anything is decided.
    pub calls: u64,
    /// The share of its calls that may fail beyond the share of the serving generation, from 0 to 1.
    pub errors: f64,
    /// How many times longer half of its calls may take.
    pub slower: f64,
    /// The share of the calls of a shadow that may differ, from 0 to 1; `None` if all may.
    pub differences: Option<f64>,
    /// Calls after which one that is no worse takes over by itself; `None` if somebody has to say so.
    pub promote_after: Option<u64>,
}

impl CandidateRules {
    /// The rules by which its calls are compared with those of the serving generation.
    pub(crate) fn than_serving(&self) -> Probation {
        let CandidateRules { calls, errors, slower, .. } = *self;
        Probation { window: Duration::ZERO, calls, errors, slower }
    }
}

impl Default for CandidateRules {
    fn default() -> CandidateRules {
        let (differences, promote_after) = (None, None);
        CandidateRules { calls: 20, errors: 0.1, slower: 4.0, differences, promote_after }
    }
}

/// A frame that a new generation must answer before it takes over.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProbeFrame {
    /// Id of the plugin.
    pub plugin: String,
    /// The name of the probe, for people.
    pub name: String,
    /// The frame.
    pub frame: Frame,
    /// The payloads of the answer, exactly; `None` if any will do.
    pub answers: Option<Vec<String>>,
}

/// How a new generation is compared with the one before, which comes back if the new one is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Probation {
    /// How long it lasts.
    pub window: Duration,
    /// Calls that must have ended before anything is decided.
    pub calls: u64,
    /// The share of calls that may fail beyond the share of the generation before, from 0 to 1.
    pub errors: f64,
    /// How many times longer half of the calls may take.
    pub slower: f64,
}

/// The fate of a new generation whose version is older than the running one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OlderVersion {
    /// It takes over like any other.
    Run,
    /// It waits until somebody accepts it with [`Host::accept_older`](crate::Host::accept_older).
    #[default]
    Ask,
    /// It is refused.
    Refuse,
}

impl OlderVersion {
    /// All rules with their names in `policy.toml`.
    pub const ALL: [(OlderVersion, &'static str); 3] =
        [(OlderVersion::Run, "run"), (OlderVersion::Ask, "ask"), (OlderVersion::Refuse, "refuse")];
}

impl FromStr for OlderVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<OlderVersion, String> {
        let found = OlderVersion::ALL.iter().find(|(_, name)| *name == text);
        let wrong = || format!("`{text}` is no rule for older versions; use run, ask or refuse");
        found.map(|(rule, _)| *rule).ok_or_else(wrong)
    }
}

impl Default for SwapRules {
    fn default() -> SwapRules {
        SwapRules {
            older: OlderVersion::default(),
            keep: 3,
            drain_deadline: Duration::from_secs(60),
            probes: Vec::new(),
            probe_last: 0,
            same_answers: false,
            probation: None,
            candidate: CandidateRules::default(),
        }
    }
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    older: Option<Named<OlderVersion>>,
    keep: Option<Between<1, MAX_KEEP>>,
    drain_deadline: Option<Time>,
    #[serde(default)]
    probes: Vec<WrittenProbe>,
    probe_last: Option<Between<0, MAX_LAST>>,
    #[serde(default)]
    same_answers: bool,
    probation: Option<Time>,
    probation_calls: Option<Between<1, { u32::MAX }>>,
    probation_errors: Option<f64>,
    probation_slower: Option<f64>,
    candidate_differences: Option<f64>,
    candidate_promote: Option<Between<1, { u32::MAX }>>,
}

const KEYS: [&str; 12] = [
    "older",
    "keep",
    "drain-deadline",
    "probes",
    "probe-last",
    "same-answers",
    "probation",
    "probation-calls",
    "probation-errors",
    "probation-slower",
    "candidate-differences",
    "candidate-promote",
];

#[derive(Deserialize)]
struct WrittenProbe {
    plugin: String,
    name: String,
    payload: String,
    kind: Option<Named<Kind>>,
    answers: Option<Vec<String>>,
}

const PROBE_KEYS: [&str; 5] = ["plugin", "name", "payload", "kind", "answers"];

/// A word that names one of several things.
struct Named<T>(T);

impl<'de, T: FromStr<Err: std::fmt::Display>> Deserialize<'de> for Named<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Named<T>, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Named).map_err(D::Error::custom)
    }
}

/// A time that is not 0.
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let text = String::deserialize(from)?;
        match parse_duration(&text).map_err(D::Error::custom)? {
            Duration::ZERO => Err(D::Error::custom("must be longer than 0")),
            time => Ok(Time(time)),
        }
    }
}

/// A number from `MIN` to `MAX`.
struct Between<const MIN: u32, const MAX: u32>(u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Between<MIN, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(from)?;
        match u32::try_from(number) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Between(number)),
            _ => Err(D::Error::custom(format!("{number} is not from {MIN} to {MAX}"))),
        }
    }
}

/// The section of a file.
pub(super) fn read(text: &str) -> Result<SwapRules, ManifestError> {
    #[derive(Deserialize)]
    struct File {
        swap: Written,
    }
    let File { swap } =
        toml::from_str(text).map_err(|error| ManifestError::from_toml(text, &error))?;
    let within = |key: &str, number: Option<f64>, default, least: f64, most: f64| match number {
        None => Ok(default),
        Some(number) if (least..=most).contains(&number) => Ok(number),
        Some(number) => Err(ManifestError::Value {
            key: format!("swap.{key}"),
            reason: format!("{number} is not from {least} to {most}"),
        }),
    };
    let errors = within("probation-errors", swap.probation_errors, 0.1, 0.0, 1.0)?;
    let slower = within("probation-slower", swap.probation_slower, 4.0, 1.0, 1e6)?;
    let calls = swap.probation_calls.map_or(20, |calls| u64::from(calls.0));
    let differences = match swap.candidate_differences {
        None => None,
        share => Some(within("candidate-differences", share, 0.0, 0.0, 1.0)?),
    };
    let promote_after = swap.candidate_promote.map(|calls| u64::from(calls.0));
    let default = SwapRules::default();
    let probe = |probe: WrittenProbe| ProbeFrame {
        plugin: probe.plugin,
        name: probe.name,
        frame: Frame::new(
            probe.kind.map_or(Kind::DATA, |kind| kind.0),
            Header::empty(),
            probe.payload,
        ),
        answers: probe.answers,
    };
    Ok(SwapRules {
        older: swap.older.map_or(default.older, |older| older.0),
        keep: swap.keep.map_or(default.keep, |keep| keep.0),
        drain_deadline: swap.drain_deadline.map_or(default.drain_deadline, |time| time.0),
        probes: swap.probes.into_iter().map(probe).collect(),
        probe_last: swap.probe_last.map_or(default.probe_last, |last| last.0),
        same_answers: swap.same_answers,
        probation: swap.probation.map(|Time(window)| Probation { window, calls, errors, slower }),
        candidate: CandidateRules { calls, errors, slower, differences, promote_after },
    })
}

/// Finds unknown keys with their lines.
pub(super) fn check(text: &str, table: &DeTable<'_>) -> Result<(), ManifestError> {
    let known = |table: &DeTable<'_>, section: &str, known: &[&str]| {
        let unknown = table.keys().find(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown else { return Ok(()) };
        let line = Some(line_of(text, key.span().start));
        Err(ManifestError::unknown(key.get_ref(), section, line, known.iter().copied()))
    };
    known(table, "swap", &KEYS)?;
    let Some(DeValue::Array(probes)) = table.get("probes").map(|probes| probes.get_ref()) else {
        return Ok(());
    };
    for probe in probes.iter() {
        if let DeValue::Table(probe) = probe.get_ref() {
            known(probe, "swap.probes", &PROBE_KEYS)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn a_section_is_read_or_says_what_is_wrong() {
        let rules = |text: &str| Policy::parse(text).unwrap().swap();
        assert_eq!(rules(""), SwapRules::default());
        let all = r#"
            [swap]
            older = "refuse"
            keep = 5
            drain-deadline = "2 s"
            probe-last = 8
            same-answers = true
            probation = "1 min"
            probation-errors = 0
            candidate-differences = 0
            candidate-promote = 500
            [[swap.probes]]
            plugin = "redact"
            name = "an address"
            payload = "ada@example.org"
            answers = ["(mail)"]
        "#;
        let rules = rules(all);
        assert_eq!((rules.older, rules.keep, rules.probe_last), (OlderVersion::Refuse, 5, 8));
        assert_eq!(rules.drain_deadline, Duration::from_secs(2));
        let probation = rules.probation.unwrap();
        assert_eq!((probation.window, probation.calls), (Duration::from_secs(60), 20));
        assert_eq!((probation.errors, probation.slower), (0.0, 4.0));
        let candidate = CandidateRules {
            errors: 0.0,
            differences: Some(0.0),
            promote_after: Some(500),
            ..CandidateRules::default()
        };
        assert_eq!(rules.candidate, candidate);
        let [probe] = &rules.probes[..] else { panic!("one probe") };
        assert_eq!(probe.frame, Frame::data("ada@example.org"));
        assert_eq!(probe.answers.as_deref(), Some(&["(mail)".to_owned()][..]));

        fn check(line: &str, expected: &str) {
            let error = Policy::parse(&format!("[swap]\n{line}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
        check("older = \"perhaps\"", "use run, ask or refuse");
        check("oldr = \"run\"", "`older`");
        check("keep = 0", "0 is not from 1 to 64");
        check("probe-last = 257", "257 is not from 0 to 256");
        check("probation = \"0 s\"", "longer than 0");
        check("probation-errors = 1.5", "1.5 is not from 0 to 1");
        check("probation-slower = 0.5", "0.5 is not from 1 to");
        check("candidate-differences = 2", "2 is not from 0 to 1");
        check("candidate-promote = 0", "0 is not from 1 to");
        check("[[swap.probes]]\nplugn = \"a\"", "`plugin`");
        check("[[swap.probes]]\nplugin = \"a\"", "name");
    }

    #[test]
    fn a_policy_that_nobody_named_lets_no_older_version_run_unasked() {
        let policy = Policy::parse("[swap]\nolder = \"run\"").unwrap();
        assert_eq!(policy.clone().found().swap().older, OlderVersion::Ask);
        assert_eq!(policy.swap().older, OlderVersion::Run);
    }
}
