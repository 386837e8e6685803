//! Ceilings: the most that the host gives, for every request.

use std::time::Duration;

use glovebox_abi::manifest::{
    LimitChanges, LimitError, LimitKind, Limits, ManifestError, Tier, line_of,
};
use glovebox_abi::units::parse_duration;
use glovebox_events::Outcome;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// The most that a plugin of a host gets, whatever its manifest, a workspace or a person asks for.
///
/// The lower of both is in effect: a plugin that asks for more is loaded all the same, and its
/// status says what it asked for. A host begins with [`Ceilings::default`]; `[ceilings]` in the
/// policy lies over them.
///
/// | limit | `wasm` and all others | `core` |
/// |---|---|---|
/// | `memory` | 1 GiB | none |
/// | `table` | 1,000,000 elements | none |
/// | `resources` | 100,000 handles | none |
/// | `call-deadline` | 30 s | none |
/// | `output-bytes` | 64 MiB | none |
/// | `output-frames` | 100,000 | none |
/// | `host-calls` | 1,000,000 | none |
/// | `host-call-bytes` | 32 MiB | none |
/// | `carried-bytes` | 1 GiB | none |
/// | `log-bytes` | 1 MiB | none |
/// | `kv-bytes` | 32 MiB | none |
/// | `file-bytes` | 1 GiB | none |
/// | `queue` | 100,000 frames | none |
/// | `queue-bytes` | 1 GiB | none |
/// | `fuel`, `rate`, `burst` | none | none |
///
/// A ceiling for `fuel` holds for plugins whose work is counted: those that ask for a limit on it,
/// and those that must repeat. `memory`, `table`, `resources`, `file-bytes` and `call-deadline` hold where
/// the tier can stop a plugin, which the status says of each limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceilings {
    /// Those of the limits, where a tier has some.
    tiers: Vec<(Tier, LimitChanges)>,
    /// How long a step of a plugin's life may take: `start-deadline` and `stop-deadline` in the
    /// section `[lifecycle]` of its manifest; 60 s unless told.
    pub step_deadline: Duration,
    /// Copies of one instance, `instances` in the section `[runtime]`; 256 unless told.
    pub copies: u32,
    /// Calls that one call from outside may cause in all plugins together, by frames that are
    /// emitted for it, for those frames, and so on; 10,000 unless told. Further frames are dropped,
    /// counted and said.
    pub caused_calls: u64,
    /// Failures in a row after which a plugin is stopped, `breaker` in the section `[lifecycle]` of its
    /// manifest, also if that says `restart = "always"`; 100 unless told. Core plugins have none.
    pub breaker: u32,
}

/// A ceiling below which nothing runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CeilingError {
    /// The ceiling of a limit.
    #[error("the ceiling for the tier {}: {error}", tier.name())]
    Limit {
        /// Of which tier.
        tier: Tier,
        /// Which limit, and what is wrong with it.
        error: LimitError,
    },
    /// The one for steps of a plugin's life.
    #[error("the ceiling for `step-deadline` cannot be 0 s; write a longer one")]
    StepDeadline,
    /// The one for copies.
    #[error("the ceiling for `copies` cannot be 0; write 1 or more")]
    Copies,
    /// The one for failures in a row.
    #[error("the ceiling for `breaker` cannot be 0; write 1 or more")]
    Breaker,
}

const TIERS: [Tier; 5] = [Tier::Core, Tier::Wasm, Tier::Native, Tier::Container, Tier::Remote];

impl Default for Ceilings {
    fn default() -> Self {
        let limits = LimitChanges {
            memory: Some(1 << 30),
            table: Some(1_000_000),
            resources: Some(100_000),
            call_deadline: Some(Duration::from_secs(30)),
            fuel: None,
            output_bytes: Some(64 << 20),
            output_frames: Some(100_000),
            host_calls: Some(1_000_000),
            host_call_bytes: Some(32 << 20),
            carried_bytes: Some(1 << 30),
            log_bytes: Some(1 << 20),
            kv_bytes: Some(32 << 20),
            file_bytes: Some(1 << 30),
            queue: Some(100_000),
            queue_bytes: Some(1 << 30),
            rate: None,
            burst: None,
        };
        // Plugins built into the application are the application's own business.
        let tiers = TIERS.into_iter().filter(|tier| *tier != Tier::Core);
        Ceilings {
            tiers: tiers.map(|tier| (tier, limits.clone())).collect(),
            step_deadline: Duration::from_secs(60),
            copies: 256,
            caused_calls: 10_000,
            breaker: 100,
        }
    }
}

impl Ceilings {
    /// The ceilings of the limits in one tier; what is absent has none.
    pub fn of(&self, tier: Tier) -> LimitChanges {
        let own = self.tiers.iter().find(|(known, _)| *known == tier);
        own.map(|(_, limits)| limits.clone()).unwrap_or_default()
    }

    /// True if a call ended because it came to one of these ceilings.
    pub(crate) fn stops(&self, tier: Tier, outcome: &Outcome) -> bool {
        match outcome {
            _ if outcome.is_made_up() => false,
            Outcome::LimitExceeded { limit, allowed, .. } => {
                self.of(tier).value(*limit) == Some(*allowed)
            }
            Outcome::TimedOut { deadline, .. } => *deadline == self.step_deadline,
            _ => false,
        }
    }

    /// These ceilings with others for one tier; what `changes` lack stays.
    #[must_use]
    pub fn with(mut self, tier: Tier, changes: &LimitChanges) -> Ceilings {
        let limits = changes.or(&self.of(tier));
        self.tiers.retain(|(known, _)| *known != tier);
        self.tiers.push((tier, limits));
        self
    }

    /// Refuses ceilings below which nothing runs: of no time, no memory, no queue, or no copy.
    pub(crate) fn check(&self) -> Result<(), CeilingError> {
        for (tier, limits) in &self.tiers {
            limits.check().map_err(|error| CeilingError::Limit { tier: *tier, error })?;
        }
        if self.step_deadline.is_zero() {
            return Err(CeilingError::StepDeadline);
        }
        if self.copies == 0 {
            return Err(CeilingError::Copies);
        }
        if self.breaker == 0 {
            return Err(CeilingError::Breaker);
        }
        Ok(())
    }

    /// The lower of both.
    pub(super) fn least(&self, others: &Ceilings) -> Ceilings {
        let both = |tier| (tier, self.of(tier).least(&others.of(tier)));
        Ceilings {
            tiers: TIERS.into_iter().map(both).collect(),
            step_deadline: self.step_deadline.min(others.step_deadline),
            copies: self.copies.min(others.copies),
            caused_calls: self.caused_calls.min(others.caused_calls),
            breaker: self.breaker.min(others.breaker),
        }
    }

    /// The limits in effect: the lower of these and the ceilings.
    pub(crate) fn lower(&self, tier: Tier, asked: &Limits) -> Limits {
        self.of(tier).lower(asked)
    }
}

/// `[ceilings]` of a policy: what is absent stays as the host has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CeilingRules {
    all: LimitChanges,
    tiers: Vec<(Tier, LimitChanges)>,
    step_deadline: Option<Duration>,
    copies: Option<u32>,
    caused_calls: Option<u64>,
    breaker: Option<u32>,
}

/// The keys of `[ceilings]` that are no limits.
const OWN_KEYS: [&str; 4] = ["step-deadline", "copies", "caused-calls", "breaker"];

impl CeilingRules {
    pub(super) fn over(&self, ceilings: &Ceilings) -> Ceilings {
        let mut found = ceilings.clone();
        for tier in TIERS {
            let own = self.tiers.iter().find(|(known, _)| *known == tier);
            let own = own.map(|(_, limits)| limits.clone()).unwrap_or_default();
            let changes = own.or(&self.all);
            if changes != LimitChanges::default() {
                found = found.with(tier, &changes);
            }
        }
        found.step_deadline = self.step_deadline.unwrap_or(found.step_deadline);
        found.copies = self.copies.unwrap_or(found.copies);
        found.caused_calls = self.caused_calls.unwrap_or(found.caused_calls);
        found.breaker = self.breaker.unwrap_or(found.breaker);
        found
    }

    pub(super) fn read(table: &toml::Table) -> Result<CeilingRules, ManifestError> {
        let mut rules = CeilingRules::default();
        let mut limits = toml::Table::new();
        for (key, value) in table {
            let name = format!("ceilings.{key}");
            let wrong = |reason: &str| ManifestError::Value {
                key: name.clone(),
                reason: reason.to_owned(),
            };
            let number = |value: &Value| match value.as_integer() {
                Some(number) if number > 0 => Ok(number),
                _ => Err(wrong("write a number from 1")),
            };
            let tier = TIERS.into_iter().find(|tier| tier.name() == key);
            match (key.as_str(), value) {
                (_, Value::Table(own)) => {
                    // `check` has refused all others.
                    let Some(tier) = tier else { continue };
                    rules.tiers.push((tier, read_limits(own, &name)?));
                }
                (_, _) if tier.is_some() => {
                    return Err(wrong(&format!("write a section [{name}]")));
                }
                ("step-deadline", value) => {
                    let text = value.as_str().ok_or_else(|| wrong("write for example \"60 s\""))?;
                    let time = parse_duration(text).map_err(|error| wrong(&error.to_string()))?;
                    if time.is_zero() {
                        return Err(wrong("must be longer than 0"));
                    }
                    rules.step_deadline = Some(time);
                }
                ("copies", value) => {
                    let copies = u32::try_from(number(value)?);
                    rules.copies = Some(copies.map_err(|_| wrong("that is out of range"))?);
                }
                ("breaker", value) => {
                    let breaker = u32::try_from(number(value)?);
                    rules.breaker = Some(breaker.map_err(|_| wrong("that is out of range"))?);
                }
                ("caused-calls", value) => rules.caused_calls = Some(number(value)?.unsigned_abs()),
                (key, value) => {
                    limits.insert(key.to_owned(), value.clone());
                }
            }
        }
        rules.all = read_limits(&limits, "ceilings")?;
        Ok(rules)
    }
}

/// The limits of a section, which errors name instead of `limits`.
fn read_limits(table: &toml::Table, section: &str) -> Result<LimitChanges, ManifestError> {
    LimitChanges::parse(table).map_err(|error| match error {
        ManifestError::Value { key, reason } => {
            let key = key.strip_prefix("limits").map(|rest| format!("{section}{rest}"));
            ManifestError::Value { key: key.unwrap_or_else(|| section.to_owned()), reason }
        }
        error => error,
    })
}

/// Finds unknown keys with their lines.
pub(super) fn check(text: &str, table: &DeTable<'_>) -> Result<(), ManifestError> {
    let unknown =
        |key: &toml::Spanned<std::borrow::Cow<'_, str>>, section: &str, known: &[&str]| {
            let line = Some(line_of(text, key.span().start));
            ManifestError::unknown(key.get_ref(), section, line, known.iter().copied())
        };
    let mut known = LimitChanges::KEYS.to_vec();
    known.extend(OWN_KEYS);
    known.extend(TIERS.map(Tier::name));
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !known.contains(&name) {
            return Err(unknown(key, "ceilings", &known));
        }
        if let (DeValue::Table(own), Some(_)) =
            (value.get_ref(), TIERS.iter().find(|tier| tier.name() == name))
        {
            for key in own.keys() {
                if !LimitChanges::KEYS.contains(&key.get_ref().as_ref()) {
                    let section = format!("ceilings.{name}");
                    return Err(unknown(key, &section, LimitChanges::KEYS));
                }
            }
        }
    }
    Ok(())
}

/// Says of each limit that was lowered what was asked for.
pub(crate) fn lowered(asked: &Limits, effective: &Limits) -> Vec<String> {
    let lowered = LimitKind::ALL.into_iter().filter_map(|limit| {
        let (asked, effective) = (asked.value(limit), effective.value(limit));
        let show = |value: Option<u64>| {
            value.map_or_else(|| "no limit".to_owned(), |value| limit.show(value))
        };
        (asked != effective).then(|| {
            let (asked, effective) = (show(asked), show(effective));
            format!(
                "{limit} is {effective}: {asked} was asked for, and that is the ceiling of the host"
            )
        })
    });
    lowered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    #[test]
    fn what_is_in_effect_is_the_lower_of_both() {
        fn check(policy: &str, tier: Tier, asked: Limits, expected: Limits) {
            let policy = Policy::parse(policy).expect("it is a policy");
            let ceilings = policy.ceilings(&Ceilings::default());
            assert_eq!(ceilings.lower(tier, &asked), expected, "{policy:?}");
        }
        let limits = Limits::default;
        let day = Limits { call_deadline: Duration::from_secs(86_400), ..limits() };
        let half_minute = Limits { call_deadline: Duration::from_secs(30), ..limits() };
        check("", Tier::Wasm, limits(), limits());
        check("", Tier::Wasm, day.clone(), half_minute.clone());
        check("", Tier::Native, day.clone(), half_minute);
        check("", Tier::Core, day.clone(), day.clone());
        let hour = Limits { call_deadline: Duration::from_secs(3600), ..limits() };
        check("[ceilings]\ncall-deadline = '3600 s'", Tier::Wasm, day.clone(), hour.clone());
        check("[ceilings]\ncall-deadline = '3600 s'", Tier::Core, day.clone(), hour.clone());
        let both = "[ceilings]\ncall-deadline = '1 ms'\n[ceilings.wasm]\ncall-deadline = '3600 s'";
        check(both, Tier::Wasm, day.clone(), hour);
        let brief = Limits { call_deadline: Duration::from_millis(1), ..limits() };
        check(both, Tier::Native, day, brief);
        // Lower than what manifests begin with.
        let low = "[ceilings]\nmemory = '1 MiB'\nqueue = 7\nfuel = 9\nrate = 5";
        let expected = Limits {
            memory: 1 << 20,
            queue: 7,
            fuel: Some(9),
            rate: Some(5),
            burst: 5,
            ..limits()
        };
        check(low, Tier::Wasm, limits(), expected);
        let asked = Limits { rate: Some(3), burst: 30, ..limits() };
        let expected = Limits {
            memory: 1 << 20,
            queue: 7,
            fuel: Some(9),
            rate: Some(3),
            burst: 5,
            ..limits()
        };
        check(low, Tier::Wasm, asked, expected);
    }

    /// A policy that lies beside a plugin cannot raise what the plugin gets.
    #[test]
    fn a_policy_that_nobody_named_only_lowers() {
        fn check(text: &str, named: bool, expected: (Option<u64>, u64, u32, u32)) {
            let mut policy = Policy::parse(text).expect("it is a policy");
            if !named {
                policy = policy.found();
            }
            let found = policy.ceilings(&Ceilings::default());
            let memory = found.of(Tier::Wasm).memory;
            let found = (memory, found.caused_calls, found.copies, found.breaker);
            assert_eq!(found, expected, "{text}");
        }
        let more =
            "[ceilings]\nmemory = '2 GiB'\ncaused-calls = 1000000\ncopies = 1000\nbreaker = 1000";
        check(more, true, (Some(2 << 30), 1_000_000, 1000, 1000));
        check(more, false, (Some(1 << 30), 10_000, 256, 100));
        let less = "[ceilings.wasm]\nmemory = '1 MiB'\n[ceilings]\ncaused-calls = 5\ncopies = 2\nbreaker = 2";
        check(less, true, (Some(1 << 20), 5, 2, 2));
        check(less, false, (Some(1 << 20), 5, 2, 2));
        // Where the host has no ceiling, there is one afterwards.
        let core = Policy::parse("[ceilings]\nmemory = '1 MiB'").expect("it is a policy").found();
        assert_eq!(core.ceilings(&Ceilings::default()).of(Tier::Core).memory, Some(1 << 20));
    }

    #[test]
    fn everything_that_a_manifest_can_ask_for_has_a_ceiling() {
        let most = Limits {
            memory: u64::MAX,
            table: u64::MAX,
            resources: u64::MAX,
            call_deadline: Duration::MAX,
            fuel: None,
            output_bytes: u64::MAX,
            output_frames: u64::MAX,
            host_calls: u64::MAX,
            host_call_bytes: u64::MAX,
            carried_bytes: u64::MAX,
            log_bytes: u64::MAX,
            kv_bytes: u64::MAX,
            file_bytes: u64::MAX,
            queue: u32::MAX,
            queue_bytes: u64::MAX,
            rate: None,
            burst: u32::MAX,
        };
        let effective = Ceilings::default().lower(Tier::Wasm, &most);
        let said = lowered(&most, &effective).join("\n");
        for limit in LimitKind::ALL {
            let may_be_any = matches!(limit, LimitKind::Fuel | LimitKind::Rate);
            assert_eq!(said.contains(limit.name()), !may_be_any, "{limit} in {said}");
        }
        assert!(said.contains("call-deadline is 30 s"), "{said}");
        assert!(lowered(&effective, &effective).is_empty());
    }

    #[test]
    fn bad_ceilings_say_what_is_wrong() {
        fn check(text: &str, expected: &str) {
            let error = Policy::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("[ceilings]\nmemroy = 1", "in [ceilings] on line 2; did you mean `memory`?");
        check("[ceilings.wasm]\nqueu = 1", "in [ceilings.wasm] on line 2; did you mean `queue`?");
        check("[ceilings.wsm]\nqueue = 1", "did you mean `wasm`?");
        check("[ceilings]\nwasm = 1", "write a section [ceilings.wasm]");
        check("[ceilings]\nmemory = '3 GiB'", "`ceilings.memory`: 3 GiB is out of range");
        check(
            "[ceilings.wasm]\ncall-deadline = '0 s'",
            "`ceilings.wasm.call-deadline`: 0 ns is out",
        );
        check("[ceilings]\nbreaker = 0", "`ceilings.breaker`: write a number from 1");
        check("[ceilings]\ncopies = 0", "`ceilings.copies`: write a number from 1");
        check("[ceilings]\ncaused-calls = 'many'", "`ceilings.caused-calls`: write a number");
        check("[ceilings]\nstep-deadline = 3", "`ceilings.step-deadline`: write for example");
        check("ceilings = 1", "write a section [ceilings]");
    }
}
