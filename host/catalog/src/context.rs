//! The contexts of an intent: circumstances that matter besides a plugin's task, each a short list
//! of criteria.

use std::time::Duration;

use glovebox_abi::manifest::Tier;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_abi::{Manifest, Permission};

use super::Entry;

/// Points that the criteria of one context give together.
pub(super) const POINTS: f64 = 50.0;

/// A circumstance that matters besides a plugin's task. See [`Intent`](super::Intent) for what each
/// reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntentContext {
    /// Short calls.
    HighPerformance,
    /// Few bytes.
    LowMemory,
    /// Few permissions.
    Privacy,
    /// Few surprises.
    Reliability,
}

impl IntentContext {
    /// All of them with their names and the words they are recognized by, in order.
    pub const ALL: [(IntentContext, &'static str, &'static [&'static str]); 4] = [
        (
            IntentContext::HighPerformance,
            "high performance",
            &["performance", "latency", "fast", "speed", "throughput", "real-time", "realtime"],
        ),
        (IntentContext::LowMemory, "low memory", &["memory", "small", "embedded", "constrained"]),
        (
            IntentContext::Privacy,
            "privacy",
            &["privacy", "private", "permission", "permissions", "privilege", "security", "secure"],
        ),
        (
            IntentContext::Reliability,
            "reliability",
            &["reliability", "reliable", "stable", "stability", "robust", "production"],
        ),
    ];

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            IntentContext::HighPerformance => "high performance",
            IntentContext::LowMemory => "low memory",
            IntentContext::Privacy => "privacy",
            IntentContext::Reliability => "reliability",
        }
    }

    /// The contexts that a text speaks of, each once, in the order of [`ALL`](Self::ALL): `high
    /// performance`, or `fast, with least permissions`.
    pub fn find_in(text: &str) -> Vec<IntentContext> {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
        let spoken = |known: &[&str]| known.iter().any(|known| words.contains(known));
        let found = Self::ALL.iter().filter(|(_, _, known)| spoken(known));
        found.map(|(context, ..)| *context).collect()
    }

    /// The points of the entry for each criterion.
    pub(super) fn judge(self, entry: &Entry) -> Vec<Judged> {
        let manifest = &*entry.manifest;
        let budget = &manifest.budget;
        match self {
            IntentContext::HighPerformance => vec![
                latency("p99", budget.p99, 30.0, Duration::from_micros(10)),
                latency("p50", budget.p50, 10.0, Duration::from_micros(1)),
                cpu(budget.cpu, 10.0),
            ],
            IntentContext::LowMemory => {
                let limit = manifest.limits.memory;
                let about = format!("may take {} of memory at most", show_size(limit));
                let declared = match budget.memory {
                    Some(memory) => Judged {
                        points: memory_share(memory) * 20.0,
                        of: 20.0,
                        words: format!("declares a memory budget of {}", show_size(memory)),
                    },
                    None => undeclared("memory", 20.0),
                };
                vec![
                    Judged { points: memory_share(limit) * 30.0, of: 30.0, words: about },
                    declared,
                ]
            }
            IntentContext::Privacy => vec![permissions(manifest, 30.0), sandbox(entry, 20.0)],
            IntentContext::Reliability => {
                let version = &manifest.plugin.version;
                let is_released = version.major > 0 && version.pre.is_empty();
                let state = match (manifest.state.persist, manifest.state.version) {
                    (true, _) => (1.0, "its state is kept on disk and survives a crash"),
                    (false, Some(_)) => (0.5, "its state survives a reload, but no crash"),
                    (false, None) => (0.0, "declares no [state]"),
                };
                let needs = manifest.dependencies.len();
                vec![
                    Judged::yes_or_no(
                        is_released,
                        15.0,
                        &format!("version {version} is a release"),
                        &format!("version {version} is no release from 1.0.0 on"),
                    ),
                    sandbox(entry, 15.0),
                    Judged { points: state.0 * 10.0, of: 10.0, words: state.1.to_owned() },
                    Judged::yes_or_no(
                        needs == 0,
                        10.0,
                        "needs no other plugin",
                        &format!(
                            "needs {needs} other {}",
                            if needs == 1 { "plugin" } else { "plugins" }
                        ),
                    ),
                ]
            }
        }
    }
}

/// The points of an entry for one criterion, and the reason.
pub(super) struct Judged {
    pub(super) points: f64,
    pub(super) of: f64,
    pub(super) words: String,
}

impl Judged {
    fn yes_or_no(holds: bool, of: f64, yes: &str, no: &str) -> Judged {
        let words = if holds { yes } else { no }.to_owned();
        Judged { points: if holds { of } else { 0.0 }, of, words }
    }
}

fn undeclared(key: &str, of: f64) -> Judged {
    Judged { points: 0.0, of, words: format!("declares no {key} under [budget]") }
}

/// How many powers of ten above the best value a time may be before it is worth nothing.
const DECADES: f64 = 4.0;

fn latency(key: &str, declared: Option<Duration>, of: f64, best: Duration) -> Judged {
    let Some(declared) = declared else {
        return undeclared(key, of);
    };
    let above = (declared.as_secs_f64() / best.as_secs_f64()).max(1.0).log10();
    let words = format!("declares a {key} of {}", show_duration(declared));
    Judged { points: of * (1.0 - above / DECADES).max(0.0), of, words }
}

fn cpu(declared: Option<f64>, of: f64) -> Judged {
    let Some(declared) = declared else {
        return undeclared("cpu", of);
    };
    let words = format!("declares {:.0} % of a core", declared * 100.0);
    Judged { points: of * (1.0 - declared.clamp(0.0, 1.0)), of, words }
}

/// 1 up to 1 MiB, 0 from 1 GiB on, evenly per doubling.
fn memory_share(bytes: u64) -> f64 {
    let doublings = (bytes as f64 / (1 << 20) as f64).max(1.0).log2();
    (1.0 - doublings / 10.0).max(0.0)
}

/// A third of the points goes with each permission that can matter to anyone else.
fn permissions(manifest: &Manifest, of: f64) -> Judged {
    let asked = Permission::ALL.iter().map(|(permission, ..)| *permission);
    let asked = asked.filter(|one| !one.is_harmless() && manifest.asks_for(*one));
    let asked: Vec<&str> = asked.map(Permission::name).collect();
    let words = match asked.as_slice() {
        [] => "asks for no permission that matters to others".to_owned(),
        names => format!("asks for {}", names.join(", ")),
    };
    Judged { points: of * (1.0 - asked.len() as f64 / 3.0).max(0.0), of, words }
}

fn sandbox(entry: &Entry, of: f64) -> Judged {
    let tier = entry.manifest.runtime.tier;
    let is_boxed = !entry.is_native() || tier == Some(Tier::Container);
    Judged::yes_or_no(is_boxed, of, "runs in a sandbox", "is machine code, outside any sandbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_recognized() {
        fn check(text: &str, expected: &[IntentContext]) {
            assert_eq!(IntentContext::find_in(text), expected, "{text}");
        }
        use IntentContext::{HighPerformance, LowMemory, Privacy, Reliability};
        for (context, name, _) in IntentContext::ALL {
            assert_eq!(context.name(), name);
            check(name, &[context]);
        }
        check("LOW LATENCY", &[HighPerformance]);
        check("real-time", &[HighPerformance]);
        check("least permissions, low memory", &[LowMemory, Privacy]);
        check("a production system", &[Reliability]);
        check("breakfast", &[]);
        check("", &[]);
    }

    #[test]
    fn memory_counts_by_doublings() {
        fn check(bytes: u64, expected: f64) {
            assert!((memory_share(bytes) - expected).abs() < 1e-9, "{bytes}");
        }
        check(0, 1.0);
        check(1 << 20, 1.0);
        check(32 << 20, 0.5);
        check(1 << 30, 0.0);
        check(u64::MAX, 0.0);
    }
}
