use std::str::FromStr;

/// Matches paths such as `/payload/user/email`; a segment `*` matches any one segment, and a
/// pattern matches everything below it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(Vec<String>);

/// A text that is no path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path; start it with `/`, e.g. \"/header/id\" or \"/payload/*/time\"")]
pub struct PathPatternError(pub String);

impl PathPattern {
    /// True if the pattern matches this path.
    pub fn matches(&self, path: &str) -> bool {
        todo!()
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        todo!()
    }
}
