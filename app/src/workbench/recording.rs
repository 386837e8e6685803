//! Starts and ends the recording of live events, with snapshots of states if they are wanted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use glovebox_files::private_folder;
use glovebox_host::PluginStatus;
use glovebox_trace::{InstanceRecord, PluginRecord, Recorder, RecorderOptions, RecorderStatus};

use super::snapshots::{Keeper, SnapshotsTaken};
use super::words::count;
use super::{Level, Workbench, work};

impl Workbench {
    pub(super) fn start_recording(&mut self) {
        if self.fanout.recorder().is_some() {
            return;
        }
        let started = recorder_in(self.recordings_folder.as_deref());
        self.outcome.cannot_record = started.as_ref().err().cloned();
        match started {
            Err(error) => self.notices.add(Level::Error, format!("Cannot record: {error}")),
            Ok(recorder) => {
                for plugin in self.host.plugins() {
                    recorder.describe_plugin(record_of(&plugin));
                }
                let recorder = Arc::new(recorder);
                self.outcome.recording_since = Some(Instant::now());
                self.fanout.set_recorder(Some(Arc::clone(&recorder)));
                self.keep_snapshots(recorder);
            }
        }
    }

    fn keep_snapshots(&mut self, recorder: Arc<Recorder>) {
        let Some(every) = self.outcome.snapshot_every else {
            return;
        };
        match Keeper::start(every, self.host.clone(), recorder) {
            Ok(keeper) => {
                self.fanout.set_ticker(Some(Arc::clone(&keeper.ticker)));
                self.keeper = Some(keeper);
            }
            Err(error) => {
                let text = format!("Recording without snapshots: cannot start a thread: {error}");
                self.notices.add(Level::Error, text);
            }
        }
    }

    pub(super) fn stop_recording(&mut self) {
        let Some(recorder) = self.fanout.set_recorder(None) else {
            return;
        };
        self.fanout.set_ticker(None);
        let keeper = self.keeper.take();
        self.jobs
            .start("Finishing the recording", move |_| work::finish_recording(&recorder, keeper));
    }

    /// Ends a recording on this thread, because the program ends, and says what became of it.
    pub fn end_recording(&mut self) -> Option<String> {
        let recorder = self.fanout.set_recorder(None)?;
        self.fanout.set_ticker(None);
        let finished = recorder.finish();
        // A snapshot that is being taken may wait for a call that never returns.
        drop(self.keeper.take());
        Some(match finished {
            Ok(status) => {
                let RecorderStatus { path, events, .. } = &status;
                let loss = status.loss().map_or_else(String::new, |loss| format!("; {loss}"));
                format!("Recorded {}{loss}: {}", count(*events, "event"), path.display())
            }
            Err(error) => format!("The recording was not finished: {error}"),
        })
    }

    pub(super) fn take_in_recording(
        &mut self,
        status: RecorderStatus,
        snapshots: Option<SnapshotsTaken>,
    ) {
        let (loss, lag) = (status.loss(), status.lag());
        let path = status.path;
        let mut text = format!("Recorded {}", path.display());
        let mut level = Level::Success;
        if let Some(lag) = lag {
            text.push_str(&format!("; {lag}"));
        }
        if let Some(snapshots) = snapshots {
            text.push_str(&format!("; {}", snapshots.line()));
            if snapshots.refused > 0 {
                level = Level::Warning;
            }
        }
        if let Some(loss) = loss {
            text.push_str(&format!("; {loss}"));
            level = Level::Error;
        }
        self.notices.add(level, text);
        self.start_open(path);
    }
}

/// The marks that tell a loaded plugin from others of the same id, for a trace.
pub(crate) fn instance_record(plugin: &PluginStatus) -> InstanceRecord {
    let folder = plugin.origin.path().and_then(|path| path.parent()?.file_name());
    InstanceRecord {
        instance: plugin.instance.get(),
        version: plugin.manifest.plugin.version.to_string(),
        file: plugin.origin.name(),
        folder: folder.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        digest: plugin.digest.clone(),
        binding: Some(plugin.binding),
        mark: String::new(),
    }
}

/// The record of a loaded plugin in a trace.
pub(crate) fn record_of(plugin: &PluginStatus) -> PluginRecord {
    PluginRecord {
        id: plugin.manifest.plugin.id.clone(),
        version: plugin.manifest.plugin.version.to_string(),
        digest: plugin.digest.clone(),
        binding: Some(plugin.binding),
        manifest: None,
        instances: vec![instance_record(plugin)],
    }
}

/// Starts a recording in a folder that is this user's alone: it may hold anything.
fn recorder_in(folder: Option<&Path>) -> Result<Recorder, String> {
    let folder = folder.ok_or("this user has no folder for data; set HOME")?;
    private_folder(folder).map_err(|error| format!("{error}: {}", folder.display()))?;
    let path = folder.join(format!("{}.mcap", time_stamp()));
    Recorder::start(path, &RecorderOptions::default()).map_err(|error| error.to_string())
}

/// A name for a file that is made now: seconds since the Unix epoch, with milliseconds.
fn time_stamp() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    format!("recording-{}-{:03}", now.as_secs(), now.subsec_millis())
}
