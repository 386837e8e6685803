use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use glovebox_abi::manifest::{Isolation, LimitChanges, LimitKind, Limits, Scope, Tier};
use glovebox_abi::{Manifest, Permission};
use glovebox_events::{Binding, LoadStage, Phase, ReloadCause};

use crate::InstanceId;
use crate::observe::CallLatency;
use crate::policy::{self, Allowance, Decision, Standing};

/// Everything a person may want to know about an instance, at one moment.
#[derive(Debug, Clone)]
pub struct PluginStatus {
    /// Which instance.
    pub instance: InstanceId,
    /// What the plugin says about itself.
    pub manifest: Arc<Manifest>,
    /// Where it stands.
    pub phase: Phase,
    /// Which artifact of this instance's slot runs, from 1.
    pub generation: u32,
    /// What executes it.
    pub tier: Tier,
    /// Where it runs.
    pub isolation: Isolation,
    /// How the host talks to it.
    pub binding: Binding,
    /// Hexadecimal BLAKE3 digest of the artifact; empty for the core tier.
    pub digest: String,
    /// The artifact; `None` for the core tier.
    pub path: Option<PathBuf>,
    /// Frames that wait.
    pub queue_depth: usize,
    /// True if a change of the artifact reloads it.
    pub watching: bool,
    /// True if [`Host::roll_back`](crate::Host::roll_back) has a generation to go back to.
    pub can_roll_back: bool,
    /// Why it cannot go on, if it cannot.
    pub fault: Option<String>,
    /// The newer generation that did not take over, if the last attempt was refused or waits.
    pub refused: Option<RefusedGeneration>,
    /// What it may do, and did.
    pub permissions: Vec<PermissionStatus>,
    /// Host services that a [`Mock`](crate::Mock) or [`Answers`](crate::Answers) answer, or may.
    pub mocks: Vec<&'static str>,
    /// What it must not exceed.
    pub limits: Limits,
    /// The same, one by one, with how each is enforced and where it comes from.
    pub limit_status: Vec<LimitStatus>,
    /// The most that each limit may be.
    pub ceilings: LimitChanges,
    /// What it did so far, all generations together.
    pub stats: PluginStats,
    /// How long its calls took, all generations together; empty if nobody listens.
    pub latency: CallLatency,
    /// Bytes of memory that its copies held after the last call that was timed, where the tier can
    /// tell.
    pub memory: Option<u64>,
}

impl PluginStatus {
    /// What [`Host::allow`](crate::Host::allow) would allow of files, network or environment: what the
    /// generation that waits for it asks for, else the one that runs.
    pub fn request(&self, permission: Permission) -> Option<&Scope> {
        let mut waits = self.refused.iter().flat_map(|refused| &refused.waits_for);
        if let Some(growth) = waits.find(|growth| growth.permission == permission) {
            return Some(&growth.request);
        }
        let mut statuses = self.permissions.iter();
        statuses.find(|status| status.permission == permission)?.request.as_ref()
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

/// A generation that did not take over; the one before it runs on. Gone with the next one that does,
/// and when the file holds again what runs.
#[derive(Debug, Clone)]
pub struct RefusedGeneration {
    /// What asked for it.
    pub cause: ReloadCause,
    /// Where it stopped.
    pub stage: LoadStage,
    /// Why, and what to do.
    pub message: String,
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// What it asks for beyond what was agreed to. If there is any, it waits: it takes over as soon as
    /// all of it is allowed or denied with [`Host::allow`](crate::Host::allow) or
    /// [`Host::set_decision`](crate::Host::set_decision), with what was allowed.
    pub waits_for: Vec<Growth>,
}

/// A permission of which a new generation asks for more.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Which.
    pub permission: Permission,
    /// All that the new generation asks for, as words that would allow it.
    pub asks: Vec<Allowance>,
    /// The same as it is in the manifest, folders in full.
    pub request: Scope,
}

/// One permission of one instance.
#[derive(Debug, Clone)]
pub struct PermissionStatus {
    /// Which.
    pub permission: Permission,
    /// True if the manifest asks for it.
    pub asked: bool,
    /// What a person decided.
    pub decision: Decision,
    /// True if it is in effect.
    pub granted: bool,
    /// The same, and whether a person is to be asked.
    pub standing: Standing,
    /// True if it is in effect in part: the manifest asks for more than was agreed to.
    pub asks_more: bool,
    /// What the manifest asks for, as words that would allow it.
    pub asks: Vec<Allowance>,
    /// The same as it is in the manifest, folders in full; `None` if it does not ask, or if the
    /// permission stays inside Glovebox.
    pub request: Option<Scope>,
    /// What decided, for example `[plugins.redact] in policy.toml`.
    pub rule: String,
    /// Within what, for people; empty if nothing narrows it or it is not in effect.
    pub parameters: String,
    /// Why, for people.
    pub explanation: String,
    /// Times it was used.
    pub uses: u64,
    /// Times it was refused.
    pub denials: u64,
    /// Last use or refusal, in nanoseconds since the Unix epoch.
    pub last_used: Option<u64>,
}

/// One limit of one instance.
#[derive(Debug, Clone)]
pub struct LimitStatus {
    /// Key in `[limits]`.
    pub name: &'static str,
    /// The limit with its unit.
    pub value: String,
    /// Who asked for it.
    pub origin: LimitOrigin,
    /// What was asked for with its unit, if that is more than the ceiling, which holds instead.
    pub asked: Option<String>,
    /// The ceiling of the host with its unit, if there is one.
    pub ceiling: Option<String>,
    /// Whether it holds for this tier.
    pub enforcement: Enforcement,
    /// Times it was hit.
    pub hits: u64,
}

impl LimitStatus {
    /// Where the value comes from, for people: `manifest`, or `asked 86400 s, ceiling 30 s of the host`.
    pub fn explanation(&self) -> String {
        match (&self.asked, &self.ceiling) {
            (Some(asked), Some(ceiling)) => format!("asked {asked}, ceiling {ceiling} of the host"),
            _ => self.origin.name().to_owned(),
        }
    }
}

/// The origin of the value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Whether a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It does.
    Enforced,
    /// It does not, and why.
    NotAvailable(&'static str),
}

/// What an instance did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginStats {
    /// Calls that ended, whatever the outcome; refused ones are not among them.
    pub processed: u64,
    /// Calls that ended with anything but `completed`.
    pub errors: u64,
    /// Bytes of payloads and headers in.
    pub bytes_in: u64,
    /// Bytes of payloads and headers out.
    pub bytes_out: u64,
    /// Host calls that were denied.
    pub denials: u64,
    /// Times a fresh copy was made because the old one could not go on.
    pub restarts: u64,
}

/// What the queues of a host did so far, all plugins together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DispatchStats {
    /// Instances that were loaded.
    pub loaded: u64,
    /// Instances that were ended.
    pub unloaded: u64,
    /// Frames that were queued.
    pub dispatched: u64,
    /// Times that a queue had no room, or took nothing more.
    pub refused: u64,
    /// Queued frames whose call did not complete.
    pub errors: u64,
    /// Frames that no plugin got: nobody accepts their kind, or there is no plugin of the name that
    /// they are for.
    pub undelivered: u64,
    /// Times that an emitted frame was dropped because the call that caused it had caused too many
    /// calls already, or because it came through too many plugins.
    pub beyond_budget: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct DispatchCounters {
    loaded: AtomicU64,
    unloaded: AtomicU64,
    dispatched: AtomicU64,
    refused: AtomicU64,
    errors: AtomicU64,
    undelivered: AtomicU64,
    beyond_budget: AtomicU64,
}

impl DispatchCounters {
    pub(crate) fn exceed_budget(&self) {
        self.beyond_budget.fetch_add(1, Relaxed);
    }

    pub(crate) fn load(&self) {
        self.loaded.fetch_add(1, Relaxed);
    }

    pub(crate) fn unload(&self) {
        self.unloaded.fetch_add(1, Relaxed);
    }

    pub(crate) fn dispatch(&self, frames: u64) {
        self.dispatched.fetch_add(frames, Relaxed);
    }

    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn fail(&self, frames: u64) {
        self.errors.fetch_add(frames, Relaxed);
    }

    pub(crate) fn lose(&self) {
        self.undelivered.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> DispatchStats {
        DispatchStats {
            loaded: self.loaded.load(Relaxed),
            unloaded: self.unloaded.load(Relaxed),
            dispatched: self.dispatched.load(Relaxed),
            refused: self.refused.load(Relaxed),
            errors: self.errors.load(Relaxed),
            undelivered: self.undelivered.load(Relaxed),
            beyond_budget: self.beyond_budget.load(Relaxed),
        }
    }
}

/// The value of one limit; `None` is unlimited.
pub(crate) fn limit_value(limits: &Limits, limit: LimitKind) -> Option<u64> {
    match limit {
        LimitKind::Memory => Some(limits.memory),
        LimitKind::Table => Some(limits.table),
        LimitKind::Resources => Some(limits.resources),
        LimitKind::Fuel => limits.fuel,
        LimitKind::OutputBytes => Some(limits.output_bytes),
        LimitKind::OutputFrames => Some(limits.output_frames),
        LimitKind::HostCalls => Some(limits.host_calls),
        LimitKind::HostCallBytes => Some(limits.host_call_bytes),
        LimitKind::LogBytes => Some(limits.log_bytes),
        LimitKind::KvBytes => Some(limits.kv_bytes),
        LimitKind::Queue => Some(limits.queue.into()),
        LimitKind::Rate => limits.rate.map(u64::from),
    }
}
