//! Intents: the goals of a person, scored against the declarations of manifests.

use std::collections::BTreeSet;

use glovebox_abi::Manifest;

use super::context::POINTS;
use super::words::{Field, Likeness, split, words_of};
use super::{Entry, IntentContext, Requirement};

/// A goal, the circumstances that matter for it, and the requirements that must hold in any case.
///
/// A plugin is a candidate if it fulfils all requirements and at least one word of `intent` is found
/// in its manifest (any plugin, if `intent` has no words). Its score is the sum of its
/// [reasons](Candidate::reasons): up to 50 points for the words, shared evenly among them, and up to
/// 50 for the contexts, shared evenly too.
///
/// | what | points | how many of them |
/// |---|---|---|
/// | each word of `intent` | 50 / words | all if the manifest has the word; 0.8 if it has one that begins so; 0.7 of one stem or with one letter wrong; 0.5 if it lies within one or two letters are wrong |
/// | **high performance** | 30 | declared `p99`: all up to 10 µs, none from 100 ms on, evenly per power of ten |
/// | | 10 | declared `p50`: all up to 1 µs, none from 10 ms on |
/// | | 10 | declared `cpu`: what it leaves of a core |
/// | **low memory** | 30 | the limit `memory`: all up to 1 MiB, none from 1 GiB on, evenly per doubling |
/// | | 20 | declared `memory`: the same |
/// | **privacy** | 30 | permissions that can matter to others: not `log`, `metric`, `config` or `receive`: a third less for each |
/// | | 20 | runs in a sandbox |
/// | **reliability** | 15 | version 1.0.0 or later, and no pre-release |
/// | | 15 | runs in a sandbox |
/// | | 10 | `[state]`: all if it is kept on disk, half if it only has a version |
/// | | 10 | needs no other plugin |
///
/// Missing declarations give no points, and the reasons say so. Declarations are the author's:
/// `glovebox bench` measures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intent {
    /// The goal, in a few words: `data processing`.
    pub intent: String,
    /// The circumstances; [`IntentContext::find_in`] reads them from a text.
    pub contexts: Vec<IntentContext>,
    /// The requirements that must hold.
    pub requirements: Vec<Requirement>,
}

/// The assessment of an intent.
#[derive(Debug, Clone)]
pub struct Assessment<'catalog> {
    /// The plugins that serve it, the best first; equal ones by id and newest version.
    pub candidates: Vec<Candidate<'catalog>>,
    /// Plugins that match its words, but not its requirements.
    pub excluded: Vec<Excluded<'catalog>>,
}

/// A plugin that serves an intent.
#[derive(Debug, Clone)]
pub struct Candidate<'catalog> {
    /// The plugin.
    pub entry: &'catalog Entry,
    /// From 0 to 100: the sum of the points of all reasons.
    pub score: f64,
    /// Why, the weightiest first within words and within each context.
    pub reasons: Vec<Reason>,
}

/// One of the reasons for a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// In words.
    pub words: String,
    /// The points it gives.
    pub points: f64,
    /// The points it could have given.
    pub of: f64,
}

/// A plugin that a requirement keeps out.
#[derive(Debug, Clone)]
pub struct Excluded<'catalog> {
    /// The plugin.
    pub entry: &'catalog Entry,
    /// Each requirement that it does not fulfil, and what it has instead.
    pub unmet: Vec<String>,
}

pub(super) fn assess<'catalog>(
    entries: impl IntoIterator<Item = &'catalog Entry>,
    intent: &Intent,
) -> Assessment<'catalog> {
    let typed: BTreeSet<String> = split(&intent.intent).collect();
    let contexts: BTreeSet<IntentContext> = intent.contexts.iter().copied().collect();
    let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
    for entry in entries {
        let Some(mut reasons) = word_reasons(&entry.manifest, &typed) else {
            continue;
        };
        let requirements = intent.requirements.iter();
        let unmet: Vec<String> =
            requirements.filter_map(|one| one.unmet_by(&entry.manifest)).collect();
        if !unmet.is_empty() {
            excluded.push(Excluded { entry, unmet });
            continue;
        }
        for context in &contexts {
            let share = 1.0 / contexts.len() as f64;
            let judged = context.judge(entry).into_iter().map(|judged| Reason {
                words: format!("{}: {}", context.name(), judged.words),
                points: judged.points * share,
                of: judged.of * share,
            });
            reasons.extend(judged);
        }
        // Not `sum`, of which nothing is -0.
        let score = reasons.iter().fold(0.0, |sum, reason| sum + reason.points);
        candidates.push(Candidate { entry, score, reasons });
    }
    // Stable, and entries are in order.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    Assessment { candidates, excluded }
}

/// A reason for each word of the intent; `None` if there are words and none is found.
fn word_reasons(manifest: &Manifest, typed: &BTreeSet<String>) -> Option<Vec<Reason>> {
    let known = words_of(manifest);
    let of = POINTS / typed.len().max(1) as f64;
    let mut any = typed.is_empty();
    let reasons = typed.iter().map(|typed| {
        let alike = known.iter().filter_map(|(field, known)| {
            Likeness::of(typed, known).map(|likeness| (likeness, *field, known))
        });
        match alike.min_by_key(|(likeness, field, _)| (*likeness, *field)) {
            None => Reason { words: format!("`{typed}` is nowhere in it"), points: 0.0, of },
            Some((likeness, field, known)) => {
                any = true;
                let words = in_words(typed, likeness, field, known);
                Reason { words, points: of * likeness.quality(), of }
            }
        }
    });
    let mut reasons: Vec<Reason> = reasons.collect();
    reasons.sort_by(|a, b| b.points.total_cmp(&a.points));
    any.then_some(reasons)
}

fn in_words(typed: &str, likeness: Likeness, field: Field, known: &str) -> String {
    let field = field.describe();
    match likeness {
        Likeness::Same => format!("`{typed}` is in its {field}"),
        Likeness::Begins => format!("`{typed}` begins `{known}` in its {field}"),
        Likeness::Stem => format!("`{typed}` has the stem of `{known}` in its {field}"),
        Likeness::Within => format!("`{typed}` is part of `{known}` in its {field}"),
        Likeness::OneTypo | Likeness::TwoTypos => {
            format!("`{typed}` is nearly `{known}` in its {field}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry;
    use super::*;

    fn entries() -> Vec<Entry> {
        [
            "[plugin]
            id = 'archive'
            version = '3.1.0'
            description = 'Keeps frames for years'
            [permissions]
            kv = true
            emit = true
            [state]
            version = 1",
            "[plugin]
            id = 'batch'
            version = '1.0.0'
            name = 'Data processing in batches'
            [limits]
            memory = '512 MiB'
            [budget]
            p99 = '100 ms'
            p50 = '10 ms'",
            "[plugin]
            id = 'quick'
            version = '0.9.0'
            name = 'Quick data processor'
            [limits]
            memory = '2 MiB'
            [budget]
            p99 = '100 us'
            cpu = 0.5",
        ]
        .map(entry)
        .into()
    }

    fn intent(text: &str, context: &str, requirements: &[&str]) -> Intent {
        Intent {
            intent: text.to_owned(),
            contexts: IntentContext::find_in(context),
            requirements: requirements.iter().map(|one| one.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_context_decides_between_plugins_that_do_the_same() {
        fn check(intent: Intent, expected: &str) {
            let entries = entries();
            let assessment = assess(&entries, &intent);
            let candidates = assessment.candidates.iter();
            let candidates = candidates.map(|one| format!("{} {:.1}", one.entry.id(), one.score));
            let excluded = assessment.excluded.iter();
            let excluded =
                excluded.map(|one| format!("{}: {}", one.entry.id(), one.unmet.join("; ")));
            let shown: Vec<String> = candidates.chain(excluded).collect();
            assert_eq!(shown.join(", "), expected, "{intent:?}");
            for candidate in &assessment.candidates {
                let sum: f64 = candidate.reasons.iter().map(|reason| reason.points).sum();
                assert!((sum - candidate.score).abs() < 1e-9 && (0.0..=100.0).contains(&sum));
                let of: f64 = candidate.reasons.iter().map(|reason| reason.of).sum();
                let parts = usize::from(!intent.intent.is_empty())
                    + usize::from(!intent.contexts.is_empty());
                assert!((of - POINTS * parts as f64).abs() < 1e-9, "{of}");
            }
        }
        check(intent("data processing", "", &[]), "batch 50.0, quick 42.5");
        check(intent("data processing", "high performance", &[]), "quick 70.0, batch 50.0");
        check(intent("data processing", "low memory", &[]), "quick 69.5, batch 53.0");
        check(intent("data processing", "reliability", &[]), "batch 90.0, quick 67.5");
        check(
            intent("data processing", "high performance, low memory", &[]),
            "quick 69.8, batch 51.5",
        );
        check(intent("", "privacy", &[]), "batch 50.0, quick 50.0, archive 30.0");
        check(
            intent("data processing", "reliability", &["p99<=1ms"]),
            "quick 67.5, batch: p99<=1 ms is required, and it declares 100 ms",
        );
        check(
            intent("", "", &["permission:-kv", "memory<=16MiB"]),
            "quick 0.0, archive: permission:-kv is required, and it asks for `kv`; memory<=16 MiB \
             is required, and it may take 64 MiB, batch: memory<=16 MiB is required, and it may \
             take 512 MiB",
        );
        check(intent("zeppelin", "high performance", &[]), "");
    }

    #[test]
    fn a_score_says_why() {
        let entries = entries();
        let assessment = assess(&entries, &intent("dta process", "high performance", &[]));
        let reasons = assessment.candidates[0]
            .reasons
            .iter()
            .map(|reason| format!("{} +{:.1} of {:.0}", reason.words, reason.points, reason.of));
        assert_eq!(
            reasons.collect::<Vec<_>>(),
            [
                "`process` begins `processor` in its name +20.0 of 25",
                "`dta` is nowhere in it +0.0 of 25",
                "high performance: declares a p99 of 100 µs +22.5 of 30",
                "high performance: declares no p50 under [budget] +0.0 of 10",
                "high performance: declares 50 % of a core +5.0 of 10",
            ]
        );
    }
}
