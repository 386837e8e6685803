//! The words of a manifest, and how a word that somebody typed is like one of them.

use glovebox_abi::Manifest;

/// Where in a manifest a word stands. Earlier ones say more about a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Name,
    Id,
    Capability,
    Keyword,
    Type,
    Category,
    Description,
}

impl Field {
    /// How many times a word counts here, by the place in the manifest.
    pub(super) fn weight(self) -> usize {
        match self {
            Field::Name | Field::Id | Field::Capability => 3,
            Field::Keyword => 2,
            Field::Type | Field::Category | Field::Description => 1,
        }
    }

    /// For a sentence: "… in its name".
    pub(super) fn describe(self) -> &'static str {
        match self {
            Field::Name => "name",
            Field::Id => "id",
            Field::Capability => "capabilities",
            Field::Keyword => "keywords",
            Field::Type => "type",
            Field::Category => "category",
            Field::Description => "description",
        }
    }
}

/// The words of a manifest with where each stands. The name is left out where it repeats the id.
pub(super) fn words_of(manifest: &Manifest) -> Vec<(Field, String)> {
    let about = &manifest.plugin;
    let mut words = Vec::new();
    let mut add = |field, text: &str| words.extend(split(text).map(|word| (field, word)));
    add(Field::Name, &about.name);
    if !split(&about.id).eq(split(&about.name)) {
        add(Field::Id, &about.id);
    }
    about.capabilities.iter().for_each(|text| add(Field::Capability, text));
    about.keywords.iter().for_each(|text| add(Field::Keyword, text));
    add(Field::Type, &about.plugin_type);
    add(Field::Category, &about.category);
    add(Field::Description, &about.description);
    words
}

/// The words of a text, in lower case: letters and digits, whatever stands between them.
pub(super) fn split(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}

/// How a typed word is like a known one; the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// The same.
    Same,
    /// The known word begins with the typed one: `obser` and `observability`.
    Begins,
    /// They differ only at the end: `processing` and `processor`.
    Stem,
    /// The typed word lies within the known one: `script` and `transcript`.
    Within,
    /// One letter is wrong, missing, too many, or swapped with the next.
    OneTypo,
    /// Two of these, in a long word.
    TwoTypos,
}

/// The shortest word that counts when it only begins a known one.
const MIN_BEGINNING: usize = 2;
/// The shortest word that counts inside a known one.
const MIN_WITHIN: usize = 4;
/// The letters that two words of one stem must share, and how many each may have after them.
const MIN_STEM: usize = 5;
const MAX_ENDING: usize = 3;
/// The shortest words in which one and two letters may be wrong.
const MIN_ONE_TYPO: usize = 4;
const MIN_TWO_TYPOS: usize = 8;

impl Likeness {
    /// How much of a match it is, from 0 to 1.
    pub(super) fn quality(self) -> f64 {
        match self {
            Likeness::Same => 1.0,
            Likeness::Begins => 0.8,
            Likeness::Stem | Likeness::OneTypo => 0.7,
            Likeness::Within | Likeness::TwoTypos => 0.5,
        }
    }

    /// `None` if the words are not alike. Both are in lower case.
    pub(super) fn of(typed: &str, known: &str) -> Option<Likeness> {
        let length = typed.chars().count();
        if typed == known {
            Some(Likeness::Same)
        } else if length >= MIN_BEGINNING && known.starts_with(typed) {
            Some(Likeness::Begins)
        } else if is_one_stem(typed, known) {
            Some(Likeness::Stem)
        } else if length >= MIN_WITHIN && known.contains(typed) {
            Some(Likeness::Within)
        } else if length >= MIN_ONE_TYPO {
            // Longer or shorter by more letters than may be wrong: no need to compare them.
            let other = known.chars().count();
            let allowed = if length >= MIN_TWO_TYPOS { 2 } else { 1 };
            if length.abs_diff(other) > allowed {
                return None;
            }
            match strsim::osa_distance(typed, known) {
                1 => Some(Likeness::OneTypo),
                2 if allowed == 2 => Some(Likeness::TwoTypos),
                _ => None,
            }
        } else {
            None
        }
    }
}

fn is_one_stem(typed: &str, known: &str) -> bool {
    let shared = typed.chars().zip(known.chars()).take_while(|(a, b)| a == b).count();
    let ending = |word: &str| word.chars().count() - shared;
    shared >= MIN_STEM && ending(typed) <= MAX_ENDING && ending(known) <= MAX_ENDING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_alike() {
        fn check(typed: &str, known: &str, expected: Option<Likeness>) {
            assert_eq!(Likeness::of(typed, known), expected, "{typed} and {known}");
        }
        check("redact", "redact", Some(Likeness::Same));
        check("re", "redact", Some(Likeness::Begins));
        check("r", "redact", None);
        check("processing", "processor", Some(Likeness::Stem));
        check("percentiles", "percentile", Some(Likeness::Stem));
        check("script", "transcript", Some(Likeness::Within));
        check("act", "redact", None);
        check("redcat", "redact", Some(Likeness::OneTypo));
        check("redat", "redact", Some(Likeness::OneTypo));
        check("rdeatc", "redact", None);
        check("cat", "act", None);
        check("obsrevabilty", "observability", Some(Likeness::TwoTypos));
        check("stats", "store", None);
    }
}
