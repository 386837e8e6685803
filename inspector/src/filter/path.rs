use std::fmt;

/// The way from the outside of a header or payload to one value in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(pub Vec<Step>);

/// A key of a map or the number of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// As a text.
    pub name: String,
    /// As a number, if it is one: an item of a list, or a key that is an integer.
    pub number: Option<i64>,
}

impl Step {
    pub(super) fn new(name: impl Into<String>) -> Step {
        let name = name.into();
        Step { number: name.parse().ok(), name }
    }

    /// The number as the position of an item, from 0.
    pub(super) fn index(&self) -> Option<u64> {
        self.number.and_then(|number| u64::try_from(number).ok())
    }
}

impl fmt::Display for Path {
    /// As it stands in a filter, behind the field: `.items[0].price`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || "-_/@+*$".contains(c);
        for Step { name, number } in &self.0 {
            if number.is_some() && name.bytes().all(|byte| byte.is_ascii_digit()) {
                write!(formatter, "[{name}]")?;
            } else if !name.is_empty() && name.chars().all(plain) {
                write!(formatter, ".{name}")?;
            } else {
                write!(formatter, "[{}]", Quoted(name))?;
            }
        }
        Ok(())
    }
}

/// A text in quotes, with `\` before quotes and backslashes.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
