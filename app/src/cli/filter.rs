//! Filters on the command line: a bad one is shown with a mark under the place.

use glovebox_inspector::filter::Filter;

/// Reads the value of an argument.
pub(super) fn parse(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| {
        let pointed_at = error.pointed_at(text);
        let indented = pointed_at.lines().map(|line| format!("\n  {line}"));
        format!("{error}{}", indented.collect::<String>())
    })
}
