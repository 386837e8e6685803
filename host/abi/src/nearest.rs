//! The known name that a word was meant to be, for the ends of error messages.

use crate::text::cut;

/// Bytes of a word that are compared: a word of a megabyte is no typing error, and comparing it would
/// take its time.
const COMPARED: usize = 100;

/// The known name that a word is the beginning of, or else the one that looks most like it, if one
/// does.
///
/// ```
/// use glovebox_abi::nearest::nearest;
///
/// let known = ["files", "network", "environment"];
/// assert_eq!(nearest("flies", known), Some("files"));
/// assert_eq!(nearest("env", known), Some("environment"));
/// assert_eq!(nearest("random", known), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = &*cut(word, COMPARED);
    let distance = |name: &str| match !word.is_empty() && name.starts_with(word) {
        true => 0,
        false => strsim::damerau_levenshtein(name, word),
    };
    let scored = known.into_iter().map(|name| (distance(name), name));
    let near = scored.min_by_key(|(distance, _)| *distance);
    let (_, name) = near.filter(|(distance, _)| *distance <= 1 + word.chars().count() / 3)?;
    Some(name)
}

/// The end of a message about a key that does not exist: the known one that looks most like it, or else all
/// of them, if they are few.
///
/// ```
/// use glovebox_abi::nearest::meant_or_known;
///
/// let known = ["fail", "stop"];
/// assert_eq!(meant_or_known("fial", &known), "; did you mean `fail`?");
/// assert_eq!(meant_or_known("crash", &known), "; there are fail, stop");
/// ```
pub fn meant_or_known(word: &str, known: &[&str]) -> String {
    /// More are found faster in the documentation.
    const FEW: usize = 24;
    let nearest = nearest(word, known.iter().copied());
    match (nearest, known.len()) {
        (None, 1..=FEW) => format!("; there are {}", known.join(", ")),
        (nearest, _) => did_you_mean(nearest),
    }
}

/// The end of a message about a word that nothing has as a name; empty if nothing is near.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}
