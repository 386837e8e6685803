//! The permissions of plugins, and why: the rules of `policy.toml`, the requests of manifests, and
//! decisions of people while plugins run.
//!
//! Read [`Policy`] first (the file), then [`Verdict`] (the result for one permission), then
//! [`suggest`](suggest()) (the smallest `[permissions]` with which a run is not denied anything).
//!
//! ```
//! use glovebox_host::{Policy, PolicyMode};
//!
//! let policy = Policy::parse(r#"
//!     mode = "strict"
//!
//!     [default]
//!     now = { decision = "allow", precision = "1 ms" }
//!
//!     [plugins.redact]
//!     digest = "blake3:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"
//!     kv = { decision = "allow", prefixes = ["cache/"] }
//! "#)?;
//! assert_eq!(policy.mode(), Some(PolicyMode::Strict));
//! # Ok::<(), glovebox_host::PolicyError>(())
//! ```
//!
//! # The file
//!
//! `mode`, a section `[default]` and sections `[plugins.ID]`. In these, each permission is `"allow"`, `"deny"`
//! or `"ask"`; or a table with `decision` and the parameters of
//! [`Scope`](glovebox_abi::manifest::Scope); or, for `files`, `network` and `environment`, a list
//! alone. Relative folders start at the folder of the file.
//!
//! A section `[ceilings]` holds how much plugins get at most, with the keys of `[limits]` of a manifest,
//! `step-deadline`, `copies` and `caused-calls`; sections `[ceilings.TIER]` hold the same keys of
//! `[limits]` for one tier. See [`Ceilings`] for what holds where the file says nothing.
//!
//! A section `[sandbox]` holds `missing-layers`: `"run"`, `"ask"` or `"refuse"`, for native plugins in
//! processes of their own; see [`MissingLayers`]. Its `engine` names what runs containers, whatever manifests
//! say: `"podman"`, `"docker"` or `"bubblewrap"`, from the next load on.
//!
//! A section `[swap]` says what a new generation has to pass before and after it takes over; see
//! [`SwapRules`].
//!
//! # The merge rule
//!
//! The first line that fits decides. *Asked for* means: in `[permissions]` of the manifest; frames
//! (`receive`) are asked for with `accepts`.
//!
//! | # | if | then |
//! |---|---|---|
//! | 1 | a person denied it for the instance | denied |
//! | 2 | a person allowed it: for the instance, in words ([`Allowance`]), or for the artifact at an earlier time ([`Consents`]) | granted; for the instance also if not asked for |
//! | 3 | `[plugins.ID]` says `deny` | denied |
//! | 4 | `[plugins.ID]` says `allow` and means the artifact | granted, also if not asked for |
//! | 5 | `[plugins.ID]` says `ask` | denied until a person decides |
//! | 6 | it is not asked for | denied |
//! | 7 | `[default]` says `deny` | denied |
//! | 8 | `[default]` says `allow` | granted |
//! | 9 | `[default]` says `ask` | denied until a person decides |
//! | 10 | the mode is `as-declared`, or `consent` or `record` and it is not files, network or environment | granted |
//! | 11 | it is `log`, `metric`, `config` or `receive` | granted |
//! | 12 | the mode is `strict` | denied |
//! | 13 | the mode is `ask`, `consent` or `record` | denied until a person decides |
//!
//! **A section means artifacts, not a name.** An id is what an artifact says of itself.
//! `[plugins.ID]` means those that it names with `digest = "blake3:…"` or `path = "FILE"` (one or a
//! list; relative to the policy); anything else of that id is a stranger. A denial or narrowing of
//! the section holds for strangers too; a person is asked about a permission that it would allow to
//! a stranger. Files, network and environment that it allows have to be named, there or in `[default]`: an
//! artifact stays the same while a manifest beside it asks for more.
//!
//! **A policy that was found and not named** ([`Policy::found`]) opens no files, network or
//! environment: rules 4, 8 and 10 then ask.
//!
//! A grant holds within parameters:
//!
//! - A use must be within what the manifest asks for (if it asks) *and* within what the policy
//!   grants. The policy does not narrow what a person allows. If nothing is within both, the
//!   permission is not granted: a person is asked if one allowed it, and it is denied otherwise.
//! - Of files, network and environment, a person agrees to what is asked for at that time. A manifest
//!   that asks for more later has what was agreed to, and a person is asked about the rest; a new
//!   generation that does so waits ([`RefusedGeneration`](crate::RefusedGeneration)).
//! - **Omitted is not empty.** A parameter that `[plugins.ID]` leaves out is that of `[default]`, and
//!   narrows nothing if both leave it out; a decision that is left out is that of the next level. An
//!   empty list admits nothing.
//! - **Deny beats allow at the same level**: what `except` lists is denied whatever the list beside
//!   it says. A level that denies a permission cannot also give it parameters.
//!
//! # Folders
//!
//! A granted folder is opened when the grant is made, and held as long as the grant lasts and the
//! instance lives. One that is not there is an error then: the plugin does not load, and is not given
//! a folder that appears later until a grant is made again, by an edit or a reload.
//!
//! - Paths have no `..`, and names (`at`) are given once.
//! - A relative path of a manifest leads to a folder below the plugin's own; a link out of it counts
//!   only if a policy grants what it leads to.
//! - In a path below another folder that the plugin may change, no link is followed.
//!
//! # Deliberately not done here
//!
//! It guards the doors of the sandbox and is none itself: a native plugin in this process can do
//! whatever the process can, and only its host services are checked. It does not see what a plugin
//! does with files it was given: opening, creating, renaming and removing are checked and shown,
//! bytes that are read and written are not.

mod access;
mod allowance;
mod ceilings;
mod consent;
mod effective;
mod enforcement;
mod file;
mod folders;
mod merge;
mod missing;
mod overlap;
mod rules;
mod suggest;
mod swap;

use std::fmt;
use std::str::FromStr;

pub(crate) use access::{AccessCounters, Accesses, WishBook};
pub use access::{AccessEntry, AccessLog, Parameter, Wish};
pub use allowance::{Allowance, AllowanceError, VainAllowance};
pub(crate) use ceilings::lowered;
pub use ceilings::{CeilingError, Ceilings};
pub use consent::{Consent, ConsentError, Consents, Lifetime};
pub(crate) use consent::{Decided, DecidedBy, covers, decided, now, request};
pub(crate) use effective::{Grants, Standpoint, Subject};
pub use enforcement::{Enforcement, no_effect};
pub use file::{Policy, PolicyError};
pub(crate) use merge::{MAX_PARAMETERS, allowing_within, parameters, verdict};
pub use merge::{Standing, Verdict};
pub use missing::MissingLayers;
pub(crate) use rules::HostRules;
pub use suggest::{Suggestion, suggest};
pub use swap::{CandidateRules, OlderVersion, Probation, ProbeFrame, SwapRules};

/// The decision of a person about one permission of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// The request of the manifest, as far as the [`Policy`] and [`PolicyMode`] grant it.
    #[default]
    AsDeclared,
    /// Granted, also if the manifest does not ask for it. Of files, network and environment only what
    /// the manifest asks for at that time.
    Allow,
    /// Never granted.
    Deny,
}

/// The rule of a host where no other rule says anything about a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyMode {
    /// Of what a manifest asks for, all that stays inside Glovebox. About files, network and
    /// environment a person is asked, and they are denied until then. A plugin that is part of the
    /// application has what it asks for.
    #[default]
    Consent,
    /// Everything a manifest asks for, files, network and environment too.
    AsDeclared,
    /// Of what a manifest asks for, only what cannot matter to anyone else: `log`, `metric`,
    /// `config` and `receive`.
    Strict,
    /// The same as strict at first; the first use of anything else is an event, so that a person
    /// can be asked.
    Ask,
    /// The same as consent, and every wish is kept with its parameters; see
    /// [`Host::wishes`](crate::Host::wishes).
    Record,
}

impl PolicyMode {
    /// All modes with their names in `policy.toml`.
    pub const ALL: [(PolicyMode, &'static str); 5] = [
        (PolicyMode::Consent, "consent"),
        (PolicyMode::AsDeclared, "as-declared"),
        (PolicyMode::Strict, "strict"),
        (PolicyMode::Ask, "ask"),
        (PolicyMode::Record, "record"),
    ];

    /// The name for people and settings.
    pub fn name(self) -> &'static str {
        match self {
            PolicyMode::Consent => "consent",
            PolicyMode::AsDeclared => "as declared",
            PolicyMode::Strict => "strict",
            PolicyMode::Ask => "ask",
            PolicyMode::Record => "record",
        }
    }
}

impl fmt::Display for PolicyMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A text that names no policy mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a policy mode; use consent, as-declared, strict, ask or record")]
pub struct UnknownMode(pub String);

impl FromStr for PolicyMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<PolicyMode, UnknownMode> {
        let found = PolicyMode::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(mode, _)| *mode).ok_or_else(|| UnknownMode(text.to_owned()))
    }
}
