//! Parts of sentences that the window and the command line share.

/// A number and a noun.
pub(crate) fn count(number: impl Into<u64>, one: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// A number of things, for a sentence.
pub(crate) fn count_of(number: usize, one: &str) -> String {
    count(number as u64, one)
}
