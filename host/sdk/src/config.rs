use serde::de::DeserializeOwned;

use crate::Failure;

/// Reads a plugin's configuration, the JSON text that `initialize` gets.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(default)]
/// struct Settings {
///     limit: u32,
/// }
///
/// impl Default for Settings {
///     fn default() -> Settings {
///         Settings { limit: 10 }
///     }
/// }
///
/// let settings: Settings = glovebox_sdk::config("{}")?;
/// assert_eq!(settings.limit, 10);
/// # Ok::<(), glovebox_sdk::Failure>(())
/// ```
///
/// # Errors
///
/// [`Failure::INVALID`] with the place and the reason if the text is not JSON of this type.
pub fn config<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    // A host without any configuration may send nothing at all.
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text)
        .map_err(|error| Failure::invalid(format!("the configuration makes no sense: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read_or_explained() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            #[serde(default)]
            limit: u32,
        }
        fn check(text: &str, expected: &str) {
            let shown = match config::<Settings>(text) {
                Ok(settings) => format!("limit {}", settings.limit),
                Err(failure) => failure.to_string(),
            };
            assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
        }
        check("", "limit 0");
        check("{}", "limit 0");
        check(r#"{"limit": 7}"#, "limit 7");
        check(r#"{"limit": "x"}"#, "makes no sense: invalid type");
        check(r#"{"limt": 7}"#, "unknown field `limt`");
        check("{", "line 1 column 1");
    }
}
