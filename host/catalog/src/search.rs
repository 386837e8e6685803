//! Text search: BM25 over the words of manifests, for words that may be cut short or misspelled.
//!
//! A typed word stands for the known words that are most like it ([`Likeness`]): if one is the same,
//! misspellings are not looked for. Each known word counts by its BM25 score times how alike the two
//! are, and the best counts for the typed word. It deliberately knows no synonyms and no language.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bm25::{
    Embedder, EmbedderBuilder, Embedding, Scorer, TokenEmbedder, TokenEmbedding, Tokenizer,
};
use glovebox_abi::Manifest;

use super::words::{Likeness, split, words_of};

/// How much a long text weighs less, from 0 to 1: descriptions are of one sentence, and one that
/// says more is not worse.
const LENGTH_WEIGHT: f32 = 0.3;

#[derive(Clone)]
pub(super) struct TextIndex {
    scorer: Arc<Scorer<usize, String>>,
    /// All words, with the places of the manifests that have them.
    words: BTreeMap<String, BTreeSet<usize>>,
}

impl fmt::Debug for TextIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TextIndex").field("words", &self.words.len()).finish()
    }
}

/// Words are told apart by themselves: hashes, which the library would take, can collide.
struct ByWord;

impl TokenEmbedder for ByWord {
    type EmbeddingSpace = String;

    fn embed(token: &str) -> String {
        token.to_owned()
    }
}

/// The texts that the library sees are words with spaces between them.
#[derive(Default)]
struct AtSpaces;

impl Tokenizer for AtSpaces {
    fn tokenize(&self, text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

impl TextIndex {
    pub(super) fn of(manifests: &[&Manifest]) -> TextIndex {
        let mut words: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let mut texts = Vec::with_capacity(manifests.len());
        for (place, manifest) in manifests.iter().enumerate() {
            let mut text = String::new();
            for (field, word) in words_of(manifest) {
                for _ in 0..field.weight() {
                    text.push_str(&word);
                    text.push(' ');
                }
                words.entry(word).or_default().insert(place);
            }
            texts.push(text);
        }
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let builder = EmbedderBuilder::<ByWord, AtSpaces>::with_tokenizer_and_fit_to_corpus(
            AtSpaces, &borrowed,
        );
        let embedder: Embedder<ByWord, AtSpaces> = builder.b(LENGTH_WEIGHT).build();
        let mut scorer = Scorer::new();
        for (place, text) in texts.iter().enumerate() {
            scorer.upsert(&place, embedder.embed(text));
        }
        TextIndex { scorer: Arc::new(scorer), words }
    }

    /// The score of each place at which at least half of the words of the text are found; the
    /// scores are above 0. Places that are not there do not match.
    pub(super) fn scores(&self, text: &str) -> HashMap<usize, f64> {
        let typed: BTreeSet<String> = split(text).collect();
        let mut found: HashMap<usize, (usize, f64)> = HashMap::new();
        for word in &typed {
            for (place, score) in self.scores_of_word(word) {
                let so_far = found.entry(place).or_default();
                so_far.0 += 1;
                so_far.1 += score;
            }
        }
        let enough = typed.len().div_ceil(2);
        let found = found.into_iter().filter(|(_, (words, _))| *words >= enough);
        // A plugin that has all the words goes before one that has half of them more often.
        let share = |words: usize| words as f64 / typed.len() as f64;
        found.map(|(place, (words, score))| (place, score * share(words))).collect()
    }

    fn scores_of_word(&self, typed: &str) -> HashMap<usize, f64> {
        let alike = self.words.iter().filter_map(|(known, places)| {
            Likeness::of(typed, known).map(|likeness| (likeness, known, places))
        });
        let mut alike: Vec<_> = alike.collect();
        let best = alike.iter().map(|(likeness, ..)| *likeness).min();
        if best.is_some_and(|best| best < Likeness::OneTypo) {
            alike.retain(|(likeness, ..)| *likeness < Likeness::OneTypo);
        }
        let mut scores: HashMap<usize, f64> = HashMap::new();
        for (likeness, known, places) in alike {
            let query = Embedding(vec![TokenEmbedding { index: known.clone(), value: 1.0 }]);
            for place in places {
                let score = self.scorer.score(place, &query).unwrap_or_default();
                let score = f64::from(score) * likeness.quality();
                let best = scores.entry(*place).or_default();
                *best = best.max(score);
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGINS: [&str; 7] = [
        "id='redact';name='Redact';description='Removes e-mail addresses, card numbers and tokens from JSON and text';category='privacy';type='filter';capabilities=['redaction'];keywords=['pii','gdpr','secrets','mask']",
        "id='stats';name='Stats';description='Counts frames and bytes per kind and tells the percentiles of their sizes';category='observability';type='sink';capabilities=['count','percentiles','report']",
        "id='storage';name='Storage';description='Stores, retrieves, deletes and lists values under keys';category='storage';type='service';capabilities=['store','retrieve','delete','list']",
        "id='echo';name='Echo';description='Answers each frame with the same frame';category='tutorial';type='filter';capabilities=['echo']",
        "id='mail-filter';name='Mail filter';description='Sorts e-mail and counts spam';type='filter';capabilities=['spam-detection']",
        "id='json-schema';name='JSON schema check';description='Checks payloads against a schema and tells what does not fit';capabilities=['validation','json']",
        "id='report-pdf';name='PDF';description='Prints a document';capabilities=['report','print']",
    ];

    #[test]
    fn the_best_match_comes_first() {
        let manifests: Vec<Manifest> = PLUGINS
            .iter()
            .map(|about| Manifest::parse(&format!("[plugin]\n{}", about.replace(';', "\n"))))
            .collect::<Result<_, _>>()
            .unwrap();
        let index = TextIndex::of(&manifests.iter().collect::<Vec<_>>());
        let check = |text: &str, expected: &str| {
            let mut found: Vec<_> = index.scores(text).into_iter().collect();
            assert!(found.iter().all(|(_, score)| *score > 0.0), "{text}: {found:?}");
            found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let ids = found.iter().map(|(place, _)| manifests[*place].plugin.id.as_str());
            assert_eq!(ids.collect::<Vec<_>>().join(" "), expected, "{text}");
        };
        // Whole words, in any order and case; names before descriptions.
        check("redact", "redact");
        check("Card NUMBERS", "redact");
        check("numbers card", "redact");
        check("json", "json-schema redact");
        check("mail", "mail-filter redact");
        check("e-mail filter", "mail-filter redact");
        check("report", "report-pdf stats");
        check("frame", "echo stats");
        // Parts of words.
        check("observ", "stats");
        check("percent", "stats");
        check("valid", "json-schema");
        check("counting bytes", "stats mail-filter");
        check("stor", "storage");
        // Typing errors.
        check("redcat", "redact");
        check("redction", "redact");
        check("storgae", "storage");
        check("perecntiels", "stats");
        check("jsno shcema", "json-schema redact");
        // Half of the words must be there, and all are better.
        check("pii detection", "mail-filter redact");
        check("spam detection", "mail-filter");
        check("quantum pii flux", "");
        // Nothing.
        check("zeppelin", "");
        check("x", "");
        check("", "");
        check(" -- ", "");
    }
}
