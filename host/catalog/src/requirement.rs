//! Requirements that a plugin must fulfil to serve an intent at all.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use glovebox_abi::nearest::nearest;
use glovebox_abi::units::{parse_duration, parse_size, show_duration, show_size};
use glovebox_abi::{Kind, Manifest, Permission};

/// Something that a plugin must fulfil. As text:
///
/// | text | it holds if the manifest … |
/// |---|---|
/// | `redaction`, `capability:redaction` | names the capability |
/// | `type:filter`, `category:privacy` | names it |
/// | `accepts:data`, `emits:0x61` | names the kind of frame under `[frames]` |
/// | `permission:kv` | asks for the permission |
/// | `permission:-kv` | does not ask for it |
/// | `p50<=1ms`, `p99<=1ms` | declares this or less under `[budget]` |
/// | `memory<=16MiB` | has a `memory` of this or less under `[limits]` or `[budget]` |
/// | `deadline<=1s` | has a `call-deadline` of this or less under `[limits]` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// It has a capability.
    Capability(String),
    /// It is of a type.
    Type(String),
    /// It belongs into a category.
    Category(String),
    /// It takes frames of a kind.
    Accepts(Kind),
    /// It says that it gives frames of a kind.
    Emits(Kind),
    /// It asks for a permission.
    Asks(Permission),
    /// It does not ask for a permission.
    Lacks(Permission),
    /// Half of all calls are as fast, by its own declaration.
    MedianWithin(Duration),
    /// 99 of 100 calls are as fast, by its own declaration.
    TailWithin(Duration),
    /// It takes no more bytes of memory: by its limit, or by its declaration if that is less.
    MemoryWithin(u64),
    /// A call is stopped after this time.
    DeadlineWithin(Duration),
}

/// Why a text is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// There is nothing, or nothing after the `:`.
    #[error("`{text}` requires nothing; write for example {}", EXAMPLES)]
    Empty {
        /// The text.
        text: String,
    },
    /// The name before the `:` or `<=` cannot be required.
    #[error("`{subject}` cannot be required{}; write for example {}", did_you_mean(.nearest), EXAMPLES)]
    Unknown {
        /// The name.
        subject: String,
        /// The known name that looks most like it.
        nearest: Option<&'static str>,
    },
    /// The value after it makes no sense.
    #[error("`{text}`: {reason}")]
    Value {
        /// The text.
        text: String,
        /// Why, and what to write instead.
        reason: String,
    },
}

const EXAMPLES: &str =
    "`redaction`, `permission:-kv`, `accepts:data`, `p99<=1ms` or `memory<=16MiB`";
const NAMES: [&str; 6] = ["capability", "type", "category", "accepts", "emits", "permission"];
const FIGURES: [&str; 4] = ["p50", "p99", "memory", "deadline"];

fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", did you mean `{nearest}`?"))
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Requirement, RequirementError> {
        let text = text.trim();
        if let Some((figure, value)) = text.split_once("<=") {
            return Requirement::of_figure(text, figure.trim(), value.trim());
        }
        if let Some((figure, _)) = text.split_once(['<', '>', '=']) {
            let reason = format!("figures are compared with `<=`, as in `{}<=…`", figure.trim());
            return Err(RequirementError::Value { text: text.to_owned(), reason });
        }
        let (name, value) = text.split_once(':').unwrap_or(("capability", text));
        let (name, value) = (name.trim(), value.trim());
        if value.is_empty() {
            return Err(RequirementError::Empty { text: text.to_owned() });
        }
        let kind = || {
            value.parse::<Kind>().map_err(|error| RequirementError::Value {
                text: text.to_owned(),
                reason: error.to_string(),
            })
        };
        Ok(match name {
            "capability" => Requirement::Capability(value.to_owned()),
            "type" => Requirement::Type(value.to_owned()),
            "category" => Requirement::Category(value.to_owned()),
            "accepts" => Requirement::Accepts(kind()?),
            "emits" => Requirement::Emits(kind()?),
            "permission" => match value.strip_prefix('-') {
                Some(absent) => Requirement::Lacks(permission(text, absent)?),
                None => Requirement::Asks(permission(text, value)?),
            },
            _ => return Err(unknown(name, &NAMES)),
        })
    }
}

fn unknown(subject: &str, known: &[&'static str]) -> RequirementError {
    RequirementError::Unknown {
        subject: subject.to_owned(),
        nearest: nearest(subject, known.iter().copied()),
    }
}

fn permission(text: &str, name: &str) -> Result<Permission, RequirementError> {
    name.parse().map_err(|error: glovebox_abi::UnknownPermission| {
        let known = Permission::ALL.map(|(_, name, _)| name);
        let more = match nearest(name, known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        RequirementError::Value { text: text.to_owned(), reason: format!("{error}; {more}") }
    })
}

impl Requirement {
    fn of_figure(text: &str, figure: &str, value: &str) -> Result<Requirement, RequirementError> {
        let wrong = |error: glovebox_abi::units::UnitError| RequirementError::Value {
            text: text.to_owned(),
            reason: error.to_string(),
        };
        Ok(match figure {
            "p50" => Requirement::MedianWithin(parse_duration(value).map_err(wrong)?),
            "p99" => Requirement::TailWithin(parse_duration(value).map_err(wrong)?),
            "memory" => Requirement::MemoryWithin(parse_size(value).map_err(wrong)?),
            "deadline" => Requirement::DeadlineWithin(parse_duration(value).map_err(wrong)?),
            _ => return Err(unknown(figure, &FIGURES)),
        })
    }

    /// The contrary declaration of the manifest, in words; `None` if it fulfils the requirement.
    pub fn unmet_by(&self, manifest: &Manifest) -> Option<String> {
        let about = &manifest.plugin;
        let (fulfils, instead) = match self {
            Requirement::Capability(name) => {
                let has = about.capabilities.iter().any(|has| same(has, name));
                (has, format!("has {}", list(&about.capabilities, "no capability")))
            }
            Requirement::Type(name) => (
                same(&about.plugin_type, name),
                format!("is {}", word(&about.plugin_type, "of no type")),
            ),
            Requirement::Category(name) => (
                same(&about.category, name),
                format!("is in {}", word(&about.category, "no category")),
            ),
            Requirement::Accepts(kind) => (
                manifest.frames.accepts.contains(kind),
                format!("accepts {}", kinds(&manifest.frames.accepts)),
            ),
            Requirement::Emits(kind) => (
                manifest.frames.emits.contains(kind),
                format!("emits {}", kinds(&manifest.frames.emits)),
            ),
            Requirement::Asks(permission) => {
                (manifest.asks_for(*permission), format!("does not ask for `{permission}`"))
            }
            Requirement::Lacks(permission) => {
                (!manifest.asks_for(*permission), format!("asks for `{permission}`"))
            }
            Requirement::MedianWithin(most) => within("p50", manifest.budget.p50, *most),
            Requirement::TailWithin(most) => within("p99", manifest.budget.p99, *most),
            Requirement::MemoryWithin(most) => {
                let limit = manifest.limits.memory;
                let has = manifest.budget.memory.map_or(limit, |budget| budget.min(limit));
                (has <= *most, format!("may take {}", show_size(has)))
            }
            Requirement::DeadlineWithin(most) => {
                let has = manifest.limits.call_deadline;
                (has <= *most, format!("stops a call after {}", show_duration(has)))
            }
        };
        (!fulfils).then(|| format!("{self} is required, and it {instead}"))
    }
}

fn within(key: &str, declared: Option<Duration>, most: Duration) -> (bool, String) {
    match declared {
        Some(declared) => (declared <= most, format!("declares {}", show_duration(declared))),
        None => (false, format!("declares no {key} under [budget]")),
    }
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn word<'a>(word: &'a str, none: &'a str) -> &'a str {
    if word.is_empty() { none } else { word }
}

fn list(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

fn kinds(kinds: &[Kind]) -> String {
    let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    list(&names, "nothing")
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requirement::Capability(name) => write!(formatter, "capability:{name}"),
            Requirement::Type(name) => write!(formatter, "type:{name}"),
            Requirement::Category(name) => write!(formatter, "category:{name}"),
            Requirement::Accepts(kind) => write!(formatter, "accepts:{kind}"),
            Requirement::Emits(kind) => write!(formatter, "emits:{kind}"),
            Requirement::Asks(permission) => write!(formatter, "permission:{permission}"),
            Requirement::Lacks(permission) => write!(formatter, "permission:-{permission}"),
            Requirement::MedianWithin(most) => write!(formatter, "p50<={}", show_duration(*most)),
            Requirement::TailWithin(most) => write!(formatter, "p99<={}", show_duration(*most)),
            Requirement::MemoryWithin(most) => write!(formatter, "memory<={}", show_size(*most)),
            Requirement::DeadlineWithin(most) => {
                write!(formatter, "deadline<={}", show_duration(*most))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "
        [plugin]
        id = 'a'
        type = 'filter'
        capabilities = ['Redaction', 'json']
        [frames]
        accepts = ['data', '0x61']
        [permissions]
        kv = true
        log = false
        [limits]
        memory = '16 MiB'
        [budget]
        p99 = '2 ms'
    ";

    #[test]
    fn requirements_hold_or_say_what_is_there_instead() {
        fn check(text: &str, expected: &str) {
            let manifest = Manifest::parse(PLUGIN).unwrap();
            let shown = match text.parse::<Requirement>() {
                Ok(requirement) => {
                    let unmet = requirement.unmet_by(&manifest);
                    unmet.unwrap_or_else(|| format!("{requirement} holds"))
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected, "{text}");
        }
        check("redaction", "capability:redaction holds");
        check("flight", "capability:flight is required, and it has Redaction, json");
        check("type:filter", "type:filter holds");
        check("type:sink", "type:sink is required, and it is filter");
        check("category:privacy", "category:privacy is required, and it is in no category");
        check("accepts:0x61", "accepts:0x61 holds");
        check("accepts:error", "accepts:error is required, and it accepts data, 0x61");
        check("emits:control", "emits:control is required, and it emits data");
        check("permission:kv", "permission:kv holds");
        check("permission:-kv", "permission:-kv is required, and it asks for `kv`");
        check("permission:-emit", "permission:-emit holds");
        check("permission:log", "permission:log is required, and it does not ask for `log`");
        check("p99 <= 2ms", "p99<=2 ms holds");
        check("p99<=1ms", "p99<=1 ms is required, and it declares 2 ms");
        check("p50<=1ms", "p50<=1 ms is required, and it declares no p50 under [budget]");
        check("memory<=16MiB", "memory<=16 MiB holds");
        check("memory<=1MiB", "memory<=1 MiB is required, and it may take 16 MiB");
        check("deadline<=100ms", "deadline<=100 ms is required, and it stops a call after 1 s");

        let examples = "write for example `redaction`, `permission:-kv`, `accepts:data`, \
                        `p99<=1ms` or `memory<=16MiB`";
        check("", &format!("`` requires nothing; {examples}"));
        check("type:", &format!("`type:` requires nothing; {examples}"));
        check("tpye:x", &format!("`tpye` cannot be required, did you mean `type`?; {examples}"));
        check("colour:x", &format!("`colour` cannot be required; {examples}"));
        check("p98<=1ms", &format!("`p98` cannot be required, did you mean `p99`?; {examples}"));
        check("memory=1", "`memory=1`: figures are compared with `<=`, as in `memory<=…`");
        check(
            "accepts:dada",
            "`accepts:dada`: `dada` is not a frame kind; use handshake, data, control, error, or a number from 0x60 to 0xFF",
        );
        check("permission:-vk", "`permission:-vk`: `vk` is not a permission; did you mean `kv`?");
        check(
            "p99<=soon",
            "`p99<=soon`: `soon` is not a duration; write for example \"500us\", \"20ms\" or \"1.5s\"",
        );
    }
}
