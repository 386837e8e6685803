//! Failure bundles: the last events of each instance are kept in memory, and what is known of a failure
//! is written beside the frame that led to it.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_abi::manifest::Tier;
use glovebox_events::{CallId, Event, Outcome, Phase, Sink, What, weight};
use glovebox_files::private_folder;
use glovebox_host::worker::LayerState;
use glovebox_host::{CopyFailure, Host, PluginStatus};
use glovebox_inspector::failure::{
    Bundle, FailedFrame, FailedPlugin, FailedProcess, FailureReport, GivenLimit, GivenPermission,
    Kept, MissingLayer, Sandboxed, StackFrame, Supervised, newest,
};
use glovebox_trace::{Destination, Replacing, TraceError};
use parking_lot::Mutex;

/// Bytes of events that are kept of all instances together.
const KEPT: usize = 16 << 20;

/// Failures that wait to be written, of all instances; more are counted. As many are kept of an instance by
/// the host, with what is known of them.
const WAITING: usize = 16;

/// The last part of the name of a bundle.
const ENDING: &str = "mcap";

/// Keeps the last events of all instances, and notes which of them failed so that somebody should look
/// into it: by a frame that crashed a process twice, or because they were stopped.
///
/// Until a plugin is loaded that may have a process, which alone crashes without taking Glovebox along,
/// it keeps nothing, and costs next to nothing, unless it is to keep all.
#[derive(Debug, Default)]
pub(crate) struct FailureKeeper {
    is_needed: AtomicBool,
    kept: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    events: VecDeque<Event>,
    bytes: usize,
    /// Events of each instance so far.
    seen: HashMap<u64, u64>,
    failed: VecDeque<Failed>,
    /// Failures that are not among them.
    left_out: u64,
}

/// An instance that failed, and what led to it.
#[derive(Debug)]
pub(crate) struct Failed {
    instance: u64,
    call: Option<CallId>,
    events: Vec<Event>,
    left_out: u64,
}

impl Sink for FailureKeeper {
    fn record(&self, event: &Event) {
        if let What::Loaded { tier, .. } = event.what
            && may_have_process(tier)
        {
            self.is_needed.store(true, Ordering::Relaxed);
        }
        if !self.is_needed.load(Ordering::Relaxed) {
            return;
        }
        let mut kept = self.kept.lock();
        kept.keep(event.clone());
        let call = match &event.what {
            What::CallEnded { call, outcome: Outcome::Crashed { .. }, .. } => Some(*call),
            What::Phase { to: Phase::Quarantined, .. } => None,
            What::Unloaded => {
                kept.seen.remove(&event.instance);
                return;
            }
            _ => return,
        };
        let failed = kept.failed(event.instance, call);
        kept.failed.push_back(failed);
        if kept.failed.len() > WAITING {
            kept.make_room();
        }
    }
}

/// True if plugins of this tier can run in processes of their own.
fn may_have_process(tier: Tier) -> bool {
    match tier {
        Tier::Core | Tier::Wasm => false,
        Tier::Native | Tier::Container | Tier::Remote => true,
    }
}

impl Remembered {
    fn keep(&mut self, event: Event) {
        *self.seen.entry(event.instance).or_default() += 1;
        self.bytes += weight::event(&event);
        self.events.push_back(event);
        while self.bytes > KEPT && self.events.len() > 1 {
            self.bytes -= self.events.pop_front().as_ref().map_or(0, weight::event);
        }
    }

    /// Leaves a failure out: of the instance that has the most, the one after its first, which tells how it
    /// began. The newest of each stays; of too many instances, the one that failed least lately gives way.
    fn make_room(&mut self) {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for failed in &self.failed {
            *counts.entry(failed.instance).or_default() += 1;
        }
        let most = counts.iter().filter(|(_, count)| **count > 2).max_by_key(|(_, count)| **count);
        let mut places = self.failed.iter().enumerate();
        let place = match most {
            Some((most, _)) => {
                let own = places.filter(|(_, failed)| failed.instance == *most);
                own.map(|(place, _)| place).nth(1)
            }
            None => {
                places.find(|(_, failed)| counts.get(&failed.instance) == Some(&2)).map(|it| it.0)
            }
        };
        self.failed.remove(place.unwrap_or_default());
        self.left_out += 1;
    }

    fn failed(&self, instance: u64, call: Option<CallId>) -> Failed {
        let own = self.events.iter().filter(|event| event.instance == instance);
        let own: Vec<Event> = own.cloned().collect();
        let before =
            self.seen.get(&instance).map_or(0, |seen| seen.saturating_sub(own.len() as u64));
        let (events, left_out) = newest(own.into_iter());
        Failed { instance, call, events, left_out: left_out + before }
    }
}

impl FailureKeeper {
    /// One that keeps the events of all plugins from the beginning.
    pub(crate) fn of_all() -> FailureKeeper {
        FailureKeeper { is_needed: AtomicBool::new(true), ..FailureKeeper::default() }
    }

    /// The failures since the last time, and how many there were beside them.
    pub(crate) fn take(&self) -> (Vec<Failed>, u64) {
        let mut kept = self.kept.lock();
        (kept.failed.drain(..).collect(), std::mem::take(&mut kept.left_out))
    }

    /// Notes a failure, as if it had been recorded.
    #[cfg(test)]
    pub(super) fn fail(&self, instance: u64) {
        let mut kept = self.kept.lock();
        let failed = kept.failed(instance, None);
        kept.failed.push_back(failed);
    }

    /// The last events of an instance now, whether or not it failed.
    pub(crate) fn now(&self, instance: u64) -> Failed {
        self.kept.lock().failed(instance, None)
    }
}

impl Failed {
    /// Writes a bundle into the folder of frames that crashed a process: beside the frame, or under the
    /// name of the plugin. Gives its file; `None` if the instance is gone.
    pub(crate) fn keep(
        self,
        host: &Host,
        folder: &Path,
        what: Kept,
        manifest: impl FnOnce(&PluginStatus) -> Option<String>,
    ) -> Result<Option<PathBuf>, TraceError> {
        let Some(status) = status_of(host, self.instance) else { return Ok(None) };
        let failure = self.failure(&status);
        if failure.is_some_and(|failure| failure.evidence.is_made_up) {
            return Ok(None);
        }
        let kept = failure.and_then(|failure| failure.evidence.kept.as_ref());
        let path = match kept {
            Some(frame) => frame.with_extension(ENDING),
            None => {
                // Any artifact can bear any id.
                let digest = status.digest.get(..8).unwrap_or_default();
                let id = &status.manifest.plugin.id;
                folder.join(format!("{id}-{digest}-stopped.{ENDING}"))
            }
        };
        // A crash that stopped nothing and of which nothing is kept leads to no file.
        if kept.is_none() && !status.supervision.is_stopped {
            return Ok(None);
        }
        if let Err(source) = private_folder(folder) {
            return Err(TraceError::Io { action: "make", source, path: folder.to_owned() });
        }
        let manifest = manifest(&status);
        self.write(host, &status, manifest, Replacing { path: &path, is_on: true }, what)?;
        Ok(Some(path))
    }

    /// Writes a bundle about what the plugin did last.
    pub(crate) fn write(
        self,
        host: &Host,
        status: &PluginStatus,
        manifest: Option<String>,
        out: impl Destination,
        what: Kept,
    ) -> Result<(), TraceError> {
        let failure = self.failure(status).cloned();
        let call = self.call.or_else(|| failure.as_ref()?.call);
        let frame = self.events.iter().find_map(|event| match &event.what {
            What::FrameIn { call: own, frame } if Some(*own) == call => Some(frame.clone()),
            _ => None,
        });
        let kept = failure.as_ref().and_then(|failure| failure.evidence.kept.as_ref());
        let kept = kept.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let report = FailureReport {
            call: call.map(|call| call.0),
            frame: frame.as_ref().map(|frame| FailedFrame { kept, ..FailedFrame::of(frame) }),
            backtrace: failure
                .as_ref()
                .map_or_else(Vec::new, |failure| backtrace_of(host, status, failure)),
            ..report_of(status, failure.as_deref())
        };
        let printed = failure.map(|failure| failure.evidence.printed.clone()).unwrap_or_default();
        let Failed { events, left_out, .. } = self;
        Bundle { report, manifest, events, left_out, printed, frame }.write(
            out,
            what,
            env!("CARGO_PKG_VERSION"),
        )
    }

    /// The evidence that the host has of it: of this call, or the last one.
    fn failure<'a>(&self, status: &'a PluginStatus) -> Option<&'a std::sync::Arc<CopyFailure>> {
        let mut failures = status.failures.iter().rev();
        match self.call {
            Some(call) => failures.find(|failure| failure.call == Some(call)),
            None => failures.next(),
        }
    }
}

/// The status of an instance by its number.
fn status_of(host: &Host, instance: u64) -> Option<PluginStatus> {
    host.plugins().into_iter().find(|status| status.instance.get() == instance)
}

/// The functions that were at work, as far as the host finds their names and lines.
fn backtrace_of(host: &Host, status: &PluginStatus, failure: &CopyFailure) -> Vec<StackFrame> {
    let frames = host.backtrace(status.instance, failure).into_iter();
    frames
        .map(|frame| StackFrame {
            module: frame.module,
            function: frame.function,
            offset: frame.offset,
            place: frame.place,
        })
        .collect()
}

/// The facts in the status of a plugin, as far as a report has them.
fn report_of(status: &PluginStatus, failure: Option<&CopyFailure>) -> FailureReport {
    let about = &status.manifest.plugin;
    let evidence = failure.map(|failure| &failure.evidence);
    let process = evidence.and_then(|evidence| evidence.process);
    FailureReport {
        glovebox: env!("CARGO_PKG_VERSION").to_owned(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        at: failure.map_or(0, |failure| failure.at),
        plugin: FailedPlugin {
            id: about.id.clone(),
            version: about.version.to_string(),
            digest: status.digest.clone(),
            binding: Some(status.binding),
            tier: status.tier.name().to_owned(),
            isolation: status.isolation.name().to_owned(),
            artifact: status
                .path()
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
            instance: status.instance.get(),
            generation: failure.map_or(status.generation, |failure| failure.generation),
        },
        cause: match failure {
            Some(failure) => failure.cause.clone(),
            None => status.fault.clone().unwrap_or_else(|| "it did not fail".to_owned()),
        },
        made_up: evidence.is_some_and(|evidence| evidence.is_made_up),
        process: process.map(|process| FailedProcess {
            process: process.process,
            signal: process.signal,
            fault_address: process.fault_address,
        }),
        permissions: status
            .permissions
            .iter()
            .map(|permission| GivenPermission {
                permission: permission.permission.name().to_owned(),
                asked: permission.asked,
                granted: permission.granted,
                rule: permission.rule.clone(),
                within: permission.parameters(),
                uses: permission.uses,
                denials: permission.denials,
            })
            .collect(),
        limits: status
            .limit_status
            .iter()
            .map(|limit| GivenLimit {
                limit: limit.limit.name().to_owned(),
                value: limit.limit.show_limit(limit.value),
                from: limit.explanation(),
                hits: limit.hits,
            })
            .collect(),
        sandbox: status.sandbox.as_ref().map(|sandbox| Sandboxed {
            enforced: sandbox
                .layers
                .iter()
                .filter(|layer| layer.state == LayerState::Enforced)
                .map(|layer| layer.layer.name().to_owned())
                .collect(),
            missing: sandbox
                .missing()
                .map(|(layer, missing)| MissingLayer {
                    layer: layer.name().to_owned(),
                    reason: missing.reason.clone(),
                    remedy: missing.remedy.clone(),
                })
                .collect(),
        }),
        supervision: Some(Supervised {
            failures: status.supervision.failures,
            breaker: status.supervision.breaker,
            stopped: status.supervision.is_stopped,
        }),
        ..FailureReport::default()
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Frame;
    use glovebox_events::Binding;

    use super::*;

    fn event(sequence: u64, instance: u64, what: What) -> Event {
        Event { sequence, at: sequence, plugin: "a".into(), instance, generation: 1, what }
    }

    /// The end of a call by a crash.
    fn crash() -> What {
        What::CallEnded {
            call: CallId(8),
            outcome: Outcome::Crashed { cause: "signal 11".into(), made_up: false },
            timing: Default::default(),
            bytes_in: 0,
            bytes_out: 0,
            frames_out: 0,
            memory: None,
        }
    }

    #[test]
    fn plugins_with_processes_are_watched() {
        fn check(tier: Tier, expected: usize) {
            let keeper = FailureKeeper::default();
            let loaded = What::Loaded {
                version: "1.0.0".into(),
                tier,
                binding: Binding::Native,
                digest: String::new(),
                took: Default::default(),
                cached: false,
            };
            keeper.record(&event(0, 7, loaded));
            keeper.record(&event(1, 7, crash()));
            assert_eq!(keeper.take().0.len(), expected, "{tier:?}");
        }
        check(Tier::Native, 1);
        check(Tier::Container, 1);
        check(Tier::Wasm, 0);
        check(Tier::Core, 0);
    }

    #[test]
    fn the_events_of_who_failed_are_kept_and_no_others() {
        let keeper = FailureKeeper::of_all();
        let frame_in = |sequence, instance, bytes| {
            let frame = Frame::data(vec![0; bytes]);
            let what = What::FrameIn { call: CallId(sequence), frame };
            keeper.record(&event(sequence, instance, what));
        };
        (0..10).for_each(|sequence| frame_in(sequence, sequence % 2, 10));
        let crash = |sequence, instance| keeper.record(&event(sequence, instance, crash()));
        crash(10, 0);
        let (failed, left_out) = keeper.take();
        let [failed] = &failed[..] else { panic!("one failed: {failed:?}") };
        let kept: Vec<u64> = failed.events.iter().map(|event| event.sequence).collect();
        assert_eq!(
            (kept, failed.call, failed.left_out),
            (vec![0, 2, 4, 6, 8, 10], Some(CallId(8)), 0)
        );
        assert_eq!((left_out, keeper.take().0.len()), (0, 0));
        // Events that do not fit are counted.
        (0..3).for_each(|sequence| frame_in(20 + sequence, 0, KEPT / 2));
        let now = keeper.now(0);
        assert_eq!((now.events.len() as u64 + now.left_out, now.call), (9, None));
        crash(30, 1);
        (0..70).for_each(|sequence| crash(40 + sequence, 0));
        let (failed, left_out) = keeper.take();
        assert_eq!((failed.len(), left_out), (WAITING, 71 - WAITING as u64));
        // The first and the newest of each are there.
        let last = |failed: &Failed| failed.events.last().map(|event| event.sequence);
        let ends: Vec<Option<u64>> = failed.iter().map(last).collect();
        assert_eq!(&ends[..2], [Some(30), Some(40)]);
        assert_eq!(ends.last(), Some(&Some(109)));
        // As many instances fail as there is room for, and one more.
        (0..=WAITING as u64).for_each(|instance| crash(200 + instance, instance));
        let (failed, _) = keeper.take();
        assert_eq!(failed.last().and_then(last), Some(200 + WAITING as u64));
    }
}
