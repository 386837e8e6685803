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
    /// True if the pattern matches this path or something above it.
    pub fn matches(&self, path: &str) -> bool {
        let mut found = path.split('/').skip(1);
        self.0.iter().all(|wanted| {
            let segment = found.next();
            segment.is_some_and(|segment| wanted == "*" || wanted == segment)
        })
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('/') {
            Some(path) if !path.is_empty() => {
                Ok(PathPattern(path.split('/').map(str::to_owned).collect()))
            }
            _ => Err(PathPatternError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        fn check(pattern: &str, path: &str, expected: bool) {
            let parsed: PathPattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.matches(path), expected, "{pattern} {path}");
        }
        check("/payload/user", "/payload/user", true);
        check("/payload/user", "/payload/user/id", true);
        check("/payload/user", "/payload", false);
        check("/payload/user", "/payload/users", false);
        check("/payload/*/time", "/payload/3/time", true);
        check("/payload/*/time", "/payload/3/date", false);
        check("/payload/*/time", "/payload/a/b/time", false);
        check("/*/id", "/header/id", true);
        assert!("payload".parse::<PathPattern>().is_err());
        assert!("/".parse::<PathPattern>().is_err());
    }
}
