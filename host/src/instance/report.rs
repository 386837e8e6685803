//! The report about an instance, for people.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::manifest::{EngineName, Isolation, LimitChanges, LimitKind, Limits, Scope, Tier};
use glovebox_abi::{Manifest, Permission};
use glovebox_events::latency::Latencies;
use glovebox_events::{Binding, CallId, LoadStage, Phase, ReloadCause};

use glovebox_sandbox::SandboxReport;

use crate::failure::CopyFailure;
use crate::id::InstanceId;
use crate::load::{CompiledBy, Precaution};
use crate::policy::{self, Allowance, Decision, Enforcement, Standing};
use crate::problem::Origin;
use crate::services::{Remains, ResourceUsage};

/// Everything a person may want to know about an instance, at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PluginStatus {
    /// The instance.
    pub instance: InstanceId,
    /// The manifest of the plugin.
    pub manifest: Arc<Manifest>,
    /// Its phase.
    pub phase: Phase,
    /// The running generation, from 1.
    pub generation: u32,
    /// The tier that executes it.
    pub tier: Tier,
    /// Its isolation.
    pub isolation: Isolation,
    /// The engine of its containers; `None` if it runs in none, and before a lazy instance started.
    pub engine: Option<EngineName>,
    /// The layers of the sandbox of its processes, with those that are missing; `None` in this process,
    /// and before a lazy instance started.
    pub sandbox: Option<Arc<SandboxReport>>,
    /// The precaution that was taken with its code before this process got it.
    pub precaution: Precaution,
    /// The compiler that made its code; `None` of what is not WebAssembly.
    pub compiler: Option<CompiledBy>,
    /// The binding.
    pub binding: Binding,
    /// The functions that the header of a frame may name, of a plugin that was made for another host.
    pub functions: Vec<String>,
    /// Hexadecimal BLAKE3 digest of the artifact; empty for the core tier.
    pub digest: String,
    /// Where the artifact comes from.
    pub origin: Origin,
    /// True if it has no manifest, so that it cannot ask for a permission.
    pub is_bare: bool,
    /// Frames that wait.
    pub queue_depth: usize,
    /// Bytes of those frames.
    pub queue_bytes: u64,
    /// True if a change of the artifact reloads it.
    pub watching: bool,
    /// Why such a change may be noticed late, if so.
    pub watch_notice: Option<String>,
    /// True if [`Host::roll_back`](crate::Host::roll_back) has a generation to go back to.
    pub can_roll_back: bool,
    /// The generations that are kept to go back to, the latest last.
    pub kept: Vec<KeptGeneration>,
    /// The next generation that is tried beside the one that serves, if there is one.
    pub candidate: Option<CandidateStatus>,
    /// The remains of its generations.
    pub remains: Remains,
    /// Why it cannot go on, if it cannot.
    pub fault: Option<String>,
    /// How close it is to being stopped for its failures.
    pub supervision: Supervision,
    /// The evidence about the last failures after which a copy could not go on, oldest first; 16 at most.
    pub failures: Vec<Arc<CopyFailure>>,
    /// The numbers of the processes that its copies have of their own.
    pub processes: Vec<u32>,
    /// The newer generation that did not take over, if the last attempt was refused or waits.
    pub refused: Option<RefusedGeneration>,
    /// The state and use of its permissions.
    pub permissions: Vec<PermissionStatus>,
    /// Host services and functions that a [`Mock`](crate::Mock) or [`Answers`](crate::Answers) answer, or may.
    pub mocks: Vec<Cow<'static, str>>,
    /// The faults that are switched on, each in words.
    pub faults: Vec<String>,
    /// The limits that it must not exceed.
    pub limits: Limits,
    /// The same, one by one, with how each is enforced and where it comes from: one for each of
    /// [`LimitKind::ALL`].
    pub limit_status: Vec<LimitStatus>,
    /// The most that each limit may be.
    pub ceilings: LimitChanges,
    /// Its counts so far, all generations together.
    pub stats: PluginStats,
    /// How long its calls took without the time in its queue, all generations together. Calls are timed
    /// while somebody listens: a [`sink`](crate::HostBuilder::sink), or
    /// [`HostBuilder::time_calls`](crate::HostBuilder::time_calls).
    pub latency: Latencies,
    /// The use that its processes make of the machine now, if it has any of its own.
    pub usage: Option<ResourceUsage>,
    /// How long the longest call under way has taken so far, of those that are timed as `latency` is.
    pub call_under_way: Option<Duration>,
    /// Bytes of memory that its copies held after the last call that was timed, where the tier can
    /// tell.
    pub memory: Option<u64>,
}

impl PluginStatus {
    /// The file of the artifact, if it is one.
    pub fn path(&self) -> Option<&Path> {
        self.origin.path()
    }

    /// One of the limits.
    pub fn limit(&self, limit: LimitKind) -> Option<&LimitStatus> {
        self.limit_status.iter().find(|status| status.limit == limit)
    }

    /// One of the permissions.
    pub fn permission(&self, permission: Permission) -> Option<&PermissionStatus> {
        self.permissions.iter().find(|status| status.permission == permission)
    }

    /// The request that [`Host::allow`](crate::Host::allow) would allow of files, network or
    /// environment: that of the generation that waits for it, else of the running one.
    pub fn request(&self, permission: Permission) -> Option<&Scope> {
        let mut waits = self.refused.iter().flat_map(|refused| &refused.waits_for);
        if let Some(growth) = waits.find(|growth| growth.permission == permission) {
            return Some(&growth.request);
        }
        self.permission(permission)?.request.as_ref()
    }

    /// True if to allow the permission gives this plugin nothing that it would not give `other`.
    pub fn asks_no_more_than(&self, other: &PluginStatus, permission: Permission) -> bool {
        match (self.request(permission), other.request(permission)) {
            (Some(asked), Some(shown)) => policy::covers(shown, asked),
            _ => !permission.needs_consent(),
        }
    }

    /// Files, network or environment that it asks for and a person has to decide about: it does not
    /// have them, or not all of what it asks for.
    pub fn asking(&self) -> impl Iterator<Item = Permission> {
        let open = self.permissions.iter().filter(|status| {
            let is_missing = status.standing == Standing::Asking || status.asks_more;
            status.asked && is_missing && status.permission.needs_consent()
        });
        open.map(|status| status.permission)
    }
}

/// How a next generation is tried beside the one that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CandidateRole {
    /// It makes the calls of the serving generation again; what comes of that is compared, and has no
    /// effect.
    Shadow,
    /// It answers one frame of so many in place of the serving generation.
    Canary {
        /// From 1. Of each row of so many frames, it answers exactly one.
        one_in: u32,
        /// Chooses which one.
        seed: u64,
    },
}

impl fmt::Display for CandidateRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CandidateRole::Shadow => formatter.write_str("shadow"),
            CandidateRole::Canary { one_in, .. } => {
                write!(formatter, "canary for 1 frame of {one_in}")
            }
        }
    }
}

/// A candidate: a next generation that is tried beside the one that serves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CandidateStatus {
    /// Its number.
    pub generation: u32,
    /// The version of its artifact.
    pub version: String,
    /// Hexadecimal BLAKE3 digest of the artifact; empty for the core tier.
    pub digest: String,
    /// How it is tried.
    pub role: CandidateRole,
    /// Its calls.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// The calls of the serving generation: of a shadow, the same ones; of a canary, the others.
    pub serving_calls: u64,
    /// Those of them that failed.
    pub serving_failed: u64,
    /// Calls of a shadow of which something else came than of the same call of the serving generation.
    pub different: u64,
    /// Calls that a shadow did not make, because too many waited.
    pub missed: u64,
    /// The first differences, 16 at most.
    pub differences: Vec<Difference>,
    /// The time that half of its calls did not exceed, if calls are timed.
    pub median: Option<Duration>,
    /// The same of the serving generation.
    pub serving_median: Option<Duration>,
}

impl fmt::Display for CandidateStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CandidateStatus { calls, failed, serving_calls, serving_failed, .. } = self;
        let unit = if *calls == 1 { "call" } else { "calls" };
        write!(formatter, "{calls} {unit}, {failed} failed")?;
        match self.role {
            CandidateRole::Shadow => write!(
                formatter,
                ", {serving_failed} of the serving ones; {} differ, {} were missed",
                self.different, self.missed
            ),
            CandidateRole::Canary { .. } => {
                write!(
                    formatter,
                    "; {serving_calls} of the serving generation, {serving_failed} failed"
                )
            }
        }
    }
}

/// Something else came of a call of a shadow than of the same call of the serving generation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The call of the serving generation.
    pub call: CallId,
    /// How they differ, in words.
    pub how: String,
}

/// How close a plugin is to being stopped for its failures: crashes of its process, and starts of a
/// fresh copy that did not succeed. Of several copies, that of the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Supervision {
    /// Failures in a row. A call that the plugin answers ends the row.
    pub failures: u32,
    /// Failures in a row after which it is stopped: `breaker` under `[lifecycle]` of the manifest, or
    /// the ceiling of the host.
    pub breaker: u32,
    /// How long until a fresh copy is started, if one is. Frames wait for that, as long as a call may
    /// take.
    pub next_attempt: Option<Duration>,
    /// True once it failed so often. Frames are refused until a person restarts it, with
    /// [`Host::restart`](crate::Host::restart) for example.
    pub is_stopped: bool,
}

/// A generation that did not take over; the one before it runs on. Gone with the next one that does,
/// and when the file holds again what runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RefusedGeneration {
    /// The cause.
    pub cause: ReloadCause,
    /// The stage at which it stopped.
    pub stage: LoadStage,
    /// Why, and what to do.
    pub message: String,
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// Its requests beyond the consents. If there are any, it waits: it takes over as soon as all
    /// of them are allowed or denied with [`Host::allow`](crate::Host::allow) or
    /// [`Host::set_decision`](crate::Host::set_decision), with those that were allowed.
    pub waits_for: Vec<Growth>,
    /// Its version, if it is older than the one that runs: it waits until that is accepted with
    /// [`Host::accept_older`](crate::Host::accept_older).
    pub older: Option<String>,
}

impl RefusedGeneration {
    /// True if it takes over once somebody has decided.
    pub fn waits(&self) -> bool {
        !self.waits_for.is_empty() || self.older.is_some()
    }
}

/// A generation that ran before, to which [`Host::roll_back_to`](crate::Host::roll_back_to) goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptGeneration {
    /// Its number.
    pub generation: u32,
    /// Version of the plugin.
    pub version: String,
    /// Hexadecimal BLAKE3 digest of the artifact; empty for the core tier.
    pub digest: String,
}

/// A permission of which a new generation asks for more.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Growth {
    /// The permission.
    pub permission: Permission,
    /// All that the new generation asks for, as words that would allow it.
    pub asks: Vec<Allowance>,
    /// The same as it is in the manifest, folders in full.
    pub request: Scope,
}

/// One permission of one instance.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PermissionStatus {
    /// The permission.
    pub permission: Permission,
    /// True if the manifest asks for it.
    pub asked: bool,
    /// The decision of a person.
    pub decision: Decision,
    /// True if it is in effect.
    pub granted: bool,
    /// The same, and whether a person is to be asked.
    pub standing: Standing,
    /// True if it is in effect in part: the manifest asks for more than was agreed to.
    pub asks_more: bool,
    /// The request of the manifest, as words that would allow it.
    pub asks: Vec<Allowance>,
    /// The part of that which waits for a person: all of it, or what was not agreed to.
    pub lacks: Vec<Allowance>,
    /// The same as it is in the manifest, folders in full; `None` if it does not ask, or if the
    /// permission stays inside Glovebox.
    pub request: Option<Scope>,
    /// The rule that decided, for example `[plugins.redact] in policy.toml`.
    pub rule: String,
    /// Within what: a use must be admitted by each of them. Empty if nothing narrows it, or if it is
    /// not in effect.
    pub scopes: Vec<Scope>,
    /// Why, for people.
    pub explanation: String,
    /// Times it was used.
    pub uses: u64,
    /// Times it was refused.
    pub denials: u64,
    /// Times it was used and a fault or a mock made the result.
    pub injected: u64,
    /// Last use or refusal, in nanoseconds since the Unix epoch.
    pub last_used: Option<u64>,
    /// Why it has no effect although it is granted, if it has none where the plugin runs.
    pub no_effect: Option<&'static str>,
}

impl PermissionStatus {
    /// Within what, for people; empty if nothing narrows it or it is not in effect.
    pub fn parameters(&self) -> String {
        policy::parameters(&self.scopes)
    }

    /// The decision of a person as a line of a policy, within what was agreed to; `None` if nobody
    /// decided.
    pub fn decided_rule(&self) -> Option<String> {
        let permission = self.permission;
        let agreed = self.scopes.last().filter(|_| self.asks_more).or(self.request.as_ref());
        match (self.decision, agreed) {
            (Decision::AsDeclared, _) => None,
            (Decision::Deny, _) => Some(format!("{permission} = \"deny\"")),
            (Decision::Allow, Some(within)) => Some(policy::allowing_within(permission, within)),
            (Decision::Allow, None) => Some(format!("{permission} = \"allow\"")),
        }
    }
}

/// One limit of one instance. Its numbers are in the unit of its kind; `None` is unlimited.
/// [`LimitKind::show_limit`] shows them to people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitStatus {
    /// Which.
    pub limit: LimitKind,
    /// The value in effect.
    pub value: Option<u64>,
    /// The origin of the request.
    pub origin: LimitOrigin,
    /// The requested value; more than the one in effect if the ceiling holds instead.
    pub asked: Option<u64>,
    /// The ceiling of the host, if there is one.
    pub ceiling: Option<u64>,
    /// Whether it holds for this tier.
    pub enforcement: Enforcement,
    /// Times it was hit.
    pub hits: u64,
}

impl LimitStatus {
    /// True if more was asked for than the ceiling of the host.
    pub fn is_lowered(&self) -> bool {
        self.asked != self.value
    }

    /// Where the value comes from, for people: `manifest`, or `asked 86400 s, ceiling 30 s of the host`.
    pub fn explanation(&self) -> String {
        if !self.is_lowered() {
            return self.origin.name().to_owned();
        }
        let [asked, ceiling] = [self.asked, self.ceiling].map(|limit| self.limit.show_limit(limit));
        format!("asked {asked}, ceiling {ceiling} of the host")
    }
}

/// The origin of the value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitOrigin {
    /// Nobody: it is what all plugins have.
    Default,
    /// The manifest.
    Manifest,
    /// The request to load the plugin, a workspace for example.
    Request,
    /// A person, while it runs.
    Person,
}

impl LimitOrigin {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            LimitOrigin::Default => "default",
            LimitOrigin::Manifest => "manifest",
            LimitOrigin::Request => "workspace",
            LimitOrigin::Person => "changed here",
        }
    }
}

/// The counts of an instance so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PluginStats {
    /// Calls that ended, whatever the outcome; refused ones are not among them.
    pub processed: u64,
    /// Calls that ended with anything but `completed`.
    pub errors: u64,
    /// Bytes of payloads and headers in.
    pub bytes_in: u64,
    /// Bytes of payloads and headers out.
    pub bytes_out: u64,
    /// Frames that it emitted and that were dropped on the way to a plugin: there is none of the name that
    /// they are for, its queue was full, or one call caused too many. Those for whoever accepts their kind
    /// are not among them if nobody does.
    pub emitted_dropped: u64,
    /// Host calls that were denied.
    pub denials: u64,
    /// Times a fresh copy was made because the old one could not go on.
    pub restarts: u64,
}
