//! The facts about a trace: its content, its plugins, and the trace it was made from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use glovebox_events::{Binding, Event, Phase, What};
use serde::{Deserialize, Serialize};

/// The content of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceInfo {
    /// The file.
    #[serde(serialize_with = "crate::about::shown")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Format version of the file.
    pub format: u32,
    /// Version of the application that wrote it.
    pub app_version: String,
    /// Number of events.
    pub events: u64,
    /// Frames given to plugins.
    pub frames_in: u64,
    /// Frames plugins gave.
    pub frames_out: u64,
    /// Calls that ended.
    pub calls: u64,
    /// Calls that ended with anything but `completed`.
    pub errors: u64,
    /// How calls ended and copies went on. `None` if only a summary was looked at, which does not say.
    pub ends: Option<Ends>,
    /// Host calls.
    pub host_calls: u64,
    /// Emitted frames that reached no plugin, or not all that they were for.
    pub dropped_frames: u64,
    /// Snapshots of instances, from which a replay can start.
    pub snapshots: u64,
    /// Plugins in order of appearance; a plugin that was reloaded appears with its last version.
    pub plugins: Vec<PluginRecord>,
    /// The trace it was made from, if it was.
    pub parent: Option<ParentRecord>,
    /// Time of the first and the last event, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Events the recorder could not keep.
    pub lost_events: u64,
    /// Messages of other programs, which are no part of the trace.
    pub skipped_messages: u64,
    /// True if the writer finished the file.
    pub complete: bool,
    /// Bytes that cannot be read, damaged or cut off.
    pub damaged_bytes: u64,
}

impl TraceInfo {
    /// From the first event to the last.
    pub fn duration(&self) -> Duration {
        let (first, last) = self.range.unwrap_or_default();
        Duration::from_nanos(last.saturating_sub(first))
    }

    pub(crate) fn count(&mut self, event: &Event) {
        self.events += 1;
        let (first, last) = self.range.unwrap_or((event.at, event.at));
        self.range = Some((first.min(event.at), last.max(event.at)));
        match &event.what {
            What::FrameIn { .. } => self.frames_in += 1,
            What::FrameOut { .. } => self.frames_out += 1,
            What::HostCall { .. } => self.host_calls += 1,
            What::FramesDropped { frames, .. } => {
                self.dropped_frames = self.dropped_frames.saturating_add(*frames);
            }
            What::CallEnded { outcome, .. } => {
                self.calls += 1;
                self.errors += u64::from(!outcome.is_completed());
                let ends = self.ends.get_or_insert_default();
                ends.add(outcome.name(), 1);
            }
            What::Phase { to: Phase::Restarting, .. } => {
                self.ends.get_or_insert_default().restarts += 1;
            }
            _ => {}
        }
    }
}

/// How the calls of a trace ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ends {
    /// Calls by the name of their outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// How often a copy of a plugin was started anew, because it trapped, crashed or was stopped.
    pub restarts: u64,
}

impl Ends {
    pub(crate) fn add(&mut self, outcome: &str, calls: u64) {
        match self.outcomes.get_mut(outcome) {
            Some(known) => *known += calls,
            None if calls > 0 => drop(self.outcomes.insert(outcome.to_owned(), calls)),
            None => {}
        }
    }
}

/// The record of a plugin in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Id of the plugin.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Hexadecimal BLAKE3 digest of the artifact.
    pub digest: String,
    /// How the host talked to it.
    pub binding: Option<Binding>,
    /// Text of its `plugin.toml`.
    pub manifest: Option<String>,
    /// The marks that tell its instances apart, as far as the trace has them.
    pub instances: Vec<InstanceRecord>,
}

impl PluginRecord {
    /// The record of a plugin of which the id alone is known.
    pub fn of_id(id: &str) -> PluginRecord {
        PluginRecord {
            id: id.to_owned(),
            version: String::new(),
            digest: String::new(),
            binding: None,
            manifest: None,
            instances: Vec::new(),
        }
    }

    /// Takes in what tells an instance apart, in place of what was known before; what it does not say stays.
    pub(crate) fn take_in(&mut self, instance: InstanceRecord) {
        let known = self.instances.iter_mut().find(|known| known.instance == instance.instance);
        let Some(known) = known else { return self.instances.push(instance) };
        let InstanceRecord { instance: _, version, file, folder, digest, binding, mark } = instance;
        for (known, new) in [
            (&mut known.version, version),
            (&mut known.file, file),
            (&mut known.folder, folder),
            (&mut known.digest, digest),
            (&mut known.mark, mark),
        ] {
            if !new.is_empty() {
                *known = new;
            }
        }
        known.binding = binding.or(known.binding);
    }

    /// Takes in a later record of the same plugin, which may be about another instance. Fields that
    /// it leaves out stay.
    pub(crate) fn update(&mut self, later: PluginRecord) {
        self.version = later.version;
        self.digest = later.digest;
        self.binding = later.binding.or(self.binding);
        self.manifest = later.manifest.or(self.manifest.take());
        later.instances.into_iter().for_each(|instance| self.take_in(instance));
    }
}

/// The marks that tell an instance of a plugin from others of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Its number, as events carry it.
    pub instance: u64,
    /// The version of the plugin.
    pub version: String,
    /// The name of its file.
    pub file: String,
    /// The name of the folder that the file lies in.
    pub folder: String,
    /// Hexadecimal BLAKE3 digest of the artifact; empty if it is not known.
    pub digest: String,
    /// How the host talked to it.
    pub binding: Option<Binding>,
    /// The mark that told it from others in the trace that an import was exported from; empty in any other.
    pub mark: String,
}

/// Stands between the id of a plugin and what tells an instance from others of that id.
pub const MARK: &str = " · ";

impl InstanceRecord {
    /// The marks that may tell it from others, the one that says most first; empty where it has none.
    fn marks(&self) -> [String; 3] {
        let in_folder = match self.folder.is_empty() || self.file.is_empty() {
            true => String::new(),
            false => format!("{}/{}", self.folder, self.file),
        };
        [self.version.clone(), self.file.clone(), in_folder]
    }

    /// The mark that tells it from all `twins`, which are of the same plugin: its version, else its file, else that
    /// with its folder, with its number where these are the same.
    pub fn distinguished<'a>(&self, twins: impl Iterator<Item = &'a InstanceRecord>) -> String {
        if !self.mark.is_empty() {
            return self.mark.clone();
        }
        let own = self.marks();
        let twins: Vec<_> = twins.map(InstanceRecord::marks).collect();
        let is_own =
            |at: &usize| !own[*at].is_empty() && twins.iter().all(|twin| twin[*at] != own[*at]);
        match (0..own.len()).find(is_own) {
            Some(at) => own[at].clone(),
            None => {
                let [version, file, _] = own;
                let mark = if file.is_empty() { version } else { file };
                format!("{mark}, instance {}", self.instance)
            }
        }
    }
}

/// The name of an instance of a plugin by the records of a trace: the id, and what tells it from others of
/// that id; `None` if they say nothing of it, or know no other.
pub fn instance_name(plugins: &[PluginRecord], id: &str, instance: u64) -> Option<String> {
    let all = || plugins.iter().filter(|one| one.id == id).flat_map(|one| &one.instances);
    let own = all().find(|one| one.instance == instance)?;
    let mut twins = all().filter(|one| one.instance != instance).peekable();
    if own.mark.is_empty() {
        twins.peek()?;
    }
    Some(format!("{id}{MARK}{}", own.distinguished(twins)))
}

/// A file in a trace that the format knows nothing of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The record of the trace that this one was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRecord {
    /// The file, as it was named.
    pub path: String,
    /// The change that was made to it, for people.
    pub how: String,
}

/// Problems that are listed; all are counted.
pub(crate) const MAX_PROBLEMS: usize = 1_000;

/// Bytes of a trace that are bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The damage.
    pub reason: String,
}

/// Writes a path as text.
pub(crate) fn shown<S: serde::Serializer>(
    path: &std::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&glovebox_files::text_of_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_told_apart_by_what_differs_first() {
        fn check(own: [&str; 3], twins: &[[&str; 3]], expected: &str) {
            let record = |instance, [version, file, folder]: [&str; 3]| InstanceRecord {
                instance,
                version: version.to_owned(),
                file: file.to_owned(),
                folder: folder.to_owned(),
                ..InstanceRecord::default()
            };
            let twins: Vec<_> = twins.iter().map(|twin| record(1, *twin)).collect();
            let found = record(7, own).distinguished(twins.iter());
            assert_eq!(found, expected, "{own:?} {twins:?}");
        }
        let one = ["1.0.0", "a.wasm", "v"];
        check(one, &[["1.1.0", "a.wasm", "w"]], "1.0.0");
        check(one, &[["1.0.0", "b.wasm", "v"]], "a.wasm");
        check(one, &[["1.0.0", "a.wasm", "w"]], "v/a.wasm");
        check(one, &[["1.0.0", "a.wasm", "v"]], "a.wasm, instance 7");
        check(one, &[["1.1.0", "b.wasm", "w"], ["1.0.0", "a.wasm", "w"]], "v/a.wasm");
        check(["1.0.0", "", ""], &[["1.0.0", "", ""]], "1.0.0, instance 7");
    }

    #[test]
    fn only_twins_have_more_than_their_id() {
        let record = |id: &str, instances: &[(u64, &str)]| PluginRecord {
            id: id.to_owned(),
            version: String::new(),
            digest: String::new(),
            binding: None,
            manifest: None,
            instances: instances
                .iter()
                .map(|(instance, version)| InstanceRecord {
                    instance: *instance,
                    version: (*version).to_owned(),
                    ..InstanceRecord::default()
                })
                .collect(),
        };
        // Records of one id may stand apart.
        let all = [
            record("a", &[(1, "1.0.0")]),
            record("b", &[(2, "1.0.0")]),
            record("a", &[(3, "2.0.0")]),
        ];
        let check = |id: &str, instance: u64, expected: Option<&str>| {
            assert_eq!(instance_name(&all, id, instance).as_deref(), expected, "{id} {instance}");
        };
        check("a", 1, Some("a · 1.0.0"));
        check("a", 3, Some("a · 2.0.0"));
        check("b", 2, None);
        check("a", 9, None);
    }
}
