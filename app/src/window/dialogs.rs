//! Open and save dialogs of the desktop, each on a thread of its own.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use glovebox_host::{CandidateRole, InstanceId};

use crate::panics::contain;
use crate::workbench::TraceId;

/// A dialog that ends sooner was never shown: no person is that quick.
const NEVER_SHOWN: Duration = Duration::from_millis(250);

/// The purpose of a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To load a plugin.
    Plugin,
    /// To load another build beside an instance, and to compare the two.
    Compare(InstanceId),
    /// To try another build beside the one of an instance that serves.
    Try(InstanceId, CandidateRole),
    /// To open a trace.
    Trace,
    /// To open a baseline.
    Baseline,
    /// To save a trace.
    Save(TraceId),
    /// To save the live frames.
    SaveLive,
    /// To save a baseline.
    SaveBaseline,
    /// To save the policy.
    SavePolicy,
    /// To save a failure bundle about an instance.
    SaveBundle(InstanceId),
}

/// The choice of a person.
#[derive(Debug)]
pub(super) enum Chosen {
    /// A file, and what for.
    File(Purpose, PathBuf),
    /// Nothing.
    Nothing,
    /// The desktop has no dialog to show for a file of this name.
    NoDialog(Purpose, String),
}

/// The dialogs that are open.
#[derive(Debug)]
pub(super) struct Dialogs {
    sender: SyncSender<Chosen>,
    receiver: Receiver<Chosen>,
    open: usize,
}

impl Default for Dialogs {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(8);
        Dialogs { sender, receiver, open: 0 }
    }
}

impl Dialogs {
    /// Opens a dialog.
    pub(super) fn open(&mut self, ctx: &egui::Context, purpose: Purpose, name: &str) {
        if self.open > 0 {
            return;
        }
        let sender = self.sender.clone();
        let ctx = ctx.clone();
        let name = name.to_owned();
        let thread = std::thread::Builder::new().name("glovebox dialog".to_owned());
        let spawned = thread.spawn(move || {
            let started = Instant::now();
            // A desktop's dialog that panics is none.
            let chosen = match contain(|| ask(purpose, &name)).unwrap_or_default() {
                Some(path) => Chosen::File(purpose, path),
                None if started.elapsed() < NEVER_SHOWN => Chosen::NoDialog(purpose, name),
                None => Chosen::Nothing,
            };
            // The window is gone if nobody listens.
            let _ = sender.send(chosen);
            ctx.request_repaint();
        });
        self.open += usize::from(spawned.is_ok());
    }

    /// True while one is open.
    pub(super) fn is_open(&self) -> bool {
        self.open > 0
    }

    /// The choice made since the last time.
    pub(super) fn chosen(&mut self) -> Option<Chosen> {
        let chosen = self.receiver.try_recv().ok()?;
        self.open = self.open.saturating_sub(1);
        Some(chosen)
    }
}

fn ask(purpose: Purpose, name: &str) -> Option<PathBuf> {
    // Tests have no desktop, or should not use it.
    if cfg!(test) {
        return None;
    }
    let dialog = rfd::FileDialog::new();
    match purpose {
        Purpose::Plugin | Purpose::Compare(_) | Purpose::Try(..) => dialog
            .set_title(match purpose {
                Purpose::Plugin => "Open plugin",
                Purpose::Try(..) => "Try another build",
                _ => "Compare with another build",
            })
            .add_filter("Plugins", &["wasm", "wat", "toml", "so", "dylib", "dll"])
            .add_filter("All files", &["*"])
            .pick_file(),
        Purpose::Trace => dialog
            .set_title("Open trace")
            .add_filter(
                "Traces and captures",
                &["mcap", "partial", "pcap", "pcapng", "ndjson", "jsonl"],
            )
            .add_filter("All files", &["*"])
            .pick_file(),
        Purpose::Baseline => dialog
            .set_title("Open baseline")
            .add_filter("Baselines", &["txt"])
            .add_filter("All files", &["*"])
            .pick_file(),
        Purpose::Save(_) => dialog
            .set_title("Save trace")
            .set_file_name(name)
            .add_filter("Traces", &["mcap"])
            .save_file(),
        Purpose::SaveLive => dialog
            .set_title("Save live frames")
            .set_file_name(name)
            .add_filter("Traces", &["mcap"])
            .save_file(),
        Purpose::SavePolicy => dialog
            .set_title("Save policy")
            .set_file_name(name)
            .add_filter("Policies", &["toml"])
            .save_file(),
        Purpose::SaveBundle(_) => dialog
            .set_title("Save failure bundle")
            .set_file_name(name)
            .add_filter("Traces", &["mcap"])
            .save_file(),
        Purpose::SaveBaseline => dialog
            .set_title("Save as baseline")
            .set_file_name(name)
            .add_filter("Baselines", &["txt"])
            .save_file(),
    }
}
