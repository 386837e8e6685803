//! Queries to a catalog, and the indexes that answer them.

use std::collections::BTreeMap;

use glovebox_abi::{Kind, Manifest};

use super::Entry;
use super::search::TextIndex;

/// The properties a plugin must have, and those it had better have. Everything that is set must
/// hold, except `optional`; a query with nothing set means every plugin.
///
/// Names are compared without regard to case. The best come first: those with the most of the
/// `optional` capabilities, of those the best match of `text`, and of those by id and newest version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// The type of plugin, e.g. `filter`.
    pub plugin_type: Option<String>,
    /// The category, e.g. `privacy`.
    pub category: Option<String>,
    /// An author as the manifest has it, or without the part in `<…>`.
    pub author: Option<String>,
    /// Capabilities that it must have.
    pub required: Vec<String>,
    /// Capabilities that rank it higher.
    pub optional: Vec<String>,
    /// A kind of frame that it must take.
    pub accepts: Option<Kind>,
    /// A kind of frame that it must say it gives.
    pub emits: Option<Kind>,
    /// Words to find in its name, id, capabilities, keywords, type, category and description; they
    /// may be cut short or misspelled, and half of them must be found.
    pub text: Option<String>,
}

/// A plugin that a query means.
#[derive(Debug, Clone)]
pub struct Hit<'catalog> {
    /// The plugin.
    pub entry: &'catalog Entry,
    /// Which of the optional capabilities it has.
    pub optional: Vec<String>,
    /// How well its text matches, above 0; only comparable within one query, and 0 without `text`.
    pub score: f64,
}

impl<'catalog> Hit<'catalog> {
    pub(super) fn new(entry: &'catalog Entry, ranked: Ranked) -> Hit<'catalog> {
        Hit { entry, optional: ranked.optional, score: ranked.score }
    }
}

/// A hit by its place among the manifests of an index.
pub(super) struct Ranked {
    pub(super) place: usize,
    pub(super) optional: Vec<String>,
    pub(super) score: f64,
}

/// Finds manifests by what they say, without looking at each.
#[derive(Debug, Clone)]
pub(super) struct Index {
    len: usize,
    /// Places in order, by attribute and lower-case name.
    by_name: BTreeMap<(Attribute, String), Vec<usize>>,
    accepts: BTreeMap<Kind, Vec<usize>>,
    emits: BTreeMap<Kind, Vec<usize>>,
    /// There if text is asked for.
    text: Option<TextIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attribute {
    Type,
    Category,
    Author,
    Capability,
}

impl Index {
    pub(super) fn of(manifests: &[&Manifest], with_text: bool) -> Index {
        let mut index = Index {
            len: manifests.len(),
            by_name: BTreeMap::new(),
            accepts: BTreeMap::new(),
            emits: BTreeMap::new(),
            text: with_text.then(|| TextIndex::of(manifests)),
        };
        for (place, manifest) in manifests.iter().enumerate() {
            let about = &manifest.plugin;
            index.add(Attribute::Type, &about.plugin_type, place);
            index.add(Attribute::Category, &about.category, place);
            for author in &about.authors {
                index.add(Attribute::Author, author, place);
                index.add(Attribute::Author, without_address(author), place);
            }
            for capability in &about.capabilities {
                index.add(Attribute::Capability, capability, place);
            }
            for (kinds, places) in [
                (&manifest.frames.accepts, &mut index.accepts),
                (&manifest.frames.emits, &mut index.emits),
            ] {
                for kind in kinds {
                    push_once(places.entry(*kind).or_default(), place);
                }
            }
        }
        index
    }

    fn add(&mut self, attribute: Attribute, name: &str, place: usize) {
        if !name.is_empty() {
            push_once(self.by_name.entry((attribute, name.to_lowercase())).or_default(), place);
        }
    }

    fn named(&self, attribute: Attribute, name: &str) -> &[usize] {
        let places = self.by_name.get(&(attribute, name.trim().to_lowercase()));
        places.map_or(&[], Vec::as_slice)
    }

    pub(super) fn find(&self, query: &Query) -> Vec<Ranked> {
        let of_kind = |places: &BTreeMap<Kind, Vec<usize>>, kind| {
            places.get(&kind).cloned().unwrap_or_default()
        };
        let single = [
            (Attribute::Type, &query.plugin_type),
            (Attribute::Category, &query.category),
            (Attribute::Author, &query.author),
        ];
        let single = single.iter().filter_map(|(attribute, name)| {
            name.as_ref().map(|name| self.named(*attribute, name).to_vec())
        });
        let required =
            query.required.iter().map(|name| self.named(Attribute::Capability, name).to_vec());
        let accepts = query.accepts.map(|kind| of_kind(&self.accepts, kind));
        let emits = query.emits.map(|kind| of_kind(&self.emits, kind));
        let conditions = single.chain(required).chain(accepts).chain(emits);
        let places = conditions.reduce(|some, more| common(&some, &more));
        let places = places.unwrap_or_else(|| (0..self.len).collect());

        let scores = query.text.as_ref().zip(self.text.as_ref());
        let scores = scores.map(|(text, index)| index.scores(text));
        let ranked = places.into_iter().filter_map(|place| {
            let score = match &scores {
                None => 0.0,
                Some(scores) => *scores.get(&place)?,
            };
            let has = |name: &&String| {
                self.named(Attribute::Capability, name).binary_search(&place).is_ok()
            };
            let optional = query.optional.iter().filter(has).cloned().collect();
            Some(Ranked { place, optional, score })
        });
        let mut ranked: Vec<Ranked> = ranked.collect();
        ranked.sort_by(|a, b| {
            let by_optional = b.optional.len().cmp(&a.optional.len());
            let by_score = b.score.total_cmp(&a.score);
            by_optional.then(by_score).then(a.place.cmp(&b.place))
        });
        ranked
    }
}

/// `Ann <ann@example.org>` is Ann.
fn without_address(author: &str) -> &str {
    author.split_once('<').map_or(author, |(name, _)| name).trim()
}

fn push_once(places: &mut Vec<usize>, place: usize) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}

/// The places that two lists in order have in common.
fn common(some: &[usize], more: &[usize]) -> Vec<usize> {
    some.iter().filter(|place| more.binary_search(place).is_ok()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(about: &str) -> Manifest {
        let (plugin, frames) = about.split_once('|').unwrap_or((about, ""));
        let text = format!("[plugin]\n{plugin}\n[frames]\n{frames}").replace(';', "\n");
        Manifest::parse(&text).unwrap()
    }

    #[test]
    fn queries_filter_and_rank() {
        let manifests = [
            manifest("id='a';type='filter';category='privacy';capabilities=['redaction','json']"),
            manifest("id='b';type='filter';authors=['Ann <a@b.c>'];capabilities=['redaction']"),
            manifest(
                "id='c';type='sink';category='Privacy';capabilities=['json','xml']|accepts=['0x61']",
            ),
            manifest(
                "id='d';authors=['Bob'];capabilities=['redaction','xml','json']|emits=['error']",
            ),
        ];
        let index = Index::of(&manifests.iter().collect::<Vec<_>>(), true);
        let check = |query: Query, expected: &str| {
            let found = index.find(&query).into_iter().map(|ranked| {
                let id = &manifests[ranked.place].plugin.id;
                if ranked.optional.is_empty() {
                    id.clone()
                } else {
                    format!("{id}+{}", ranked.optional.join("+"))
                }
            });
            assert_eq!(found.collect::<Vec<_>>().join(" "), expected, "{query:?}");
        };
        let some = |text: &str| Some(text.to_owned());
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let all = Query::default;
        check(all(), "a b c d");
        check(Query { plugin_type: some("Filter"), ..all() }, "a b");
        check(Query { category: some("privacy"), ..all() }, "a c");
        check(Query { author: some("ann"), ..all() }, "b");
        check(Query { author: some("Ann <a@b.c>"), ..all() }, "b");
        check(Query { required: names("redaction"), ..all() }, "a b d");
        check(Query { required: names("json redaction"), ..all() }, "a d");
        check(Query { required: names("redaction flight"), ..all() }, "");
        check(Query { accepts: Some(Kind(0x61)), ..all() }, "c");
        check(Query { emits: Some(Kind::ERROR), ..all() }, "d");
        check(Query { optional: names("xml json"), ..all() }, "c+xml+json d+xml+json a+json b");
        check(
            Query { required: names("redaction"), optional: names("xml json"), ..all() },
            "d+xml+json a+json b",
        );
        check(Query { plugin_type: some("filter"), required: names("json"), ..all() }, "a");
        check(Query { text: some("redaction"), optional: names("xml"), ..all() }, "d+xml b a");
        check(Query { text: some("redacton"), category: some("privacy"), ..all() }, "a");
        check(Query { text: some("zeppelin"), ..all() }, "");
    }
}
