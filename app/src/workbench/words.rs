//! Parts of sentences that the window and the command line share.

use std::path::Path;

/// A number and a noun.
pub(crate) fn count(number: impl Into<u64>, one: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// An error and its causes. Those that it says itself are not said again.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

/// A number of things, for a sentence.
pub(crate) fn count_of(number: usize, one: &str) -> String {
    count(number as u64, one)
}

/// The last part of a path, for a sentence.
pub(crate) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_said_once() {
        fn check(error: anyhow::Error, expected: &str) {
            assert_eq!(with_causes(&error), expected);
        }
        let full = || io::Error::other("the disk is full");
        let problem = |source| glovebox_files::OutputProblem::Io { source, path: "a".into() };
        check(full().into(), "the disk is full");
        check(problem(full()).into(), "cannot write: the disk is full; write elsewhere: a");
        let inner: Result<(), _> = Err(problem(full()));
        let outer = "save: cannot write: the disk is full; write elsewhere: a";
        check(inner.context("save").unwrap_err(), outer);
    }
}
