use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use glovebox_events::Event;
use glovebox_inspector::store::{self, Store, StoreLimits};
use glovebox_inspector::trace::{TraceReader, TraceWriter};

/// How much of a trace is kept in memory.
const LIMITS: StoreLimits = StoreLimits { bytes: 512 << 20, list: 100_000 };

/// Names an open trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u64);

/// Where a trace comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A trace file.
    File(PathBuf),
    /// A capture that was imported, and what it held.
    Imported(PathBuf, Arc<Vec<Event>>),
    /// A replay, and what it led to.
    Replay(Arc<Vec<Event>>),
}

/// A run that can be looked at, replayed and compared.
#[derive(Debug)]
pub struct Trace {
    /// Which.
    pub id: TraceId,
    /// Name for people.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its frames.
    pub store: Arc<Store>,
    /// What is wrong with it.
    pub damage: Vec<String>,
    /// Events that were never recorded.
    pub lost: u64,
}

/// A trace that has no id yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) store: Store,
    pub(super) damage: Vec<String>,
    pub(super) lost: u64,
}

impl Opened {
    /// Reads a trace file, or imports a capture.
    pub(super) fn read(
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> anyhow::Result<Opened> {
        let name = name_of(path);
        if is_trace(path) {
            let loaded = store::load(path, LIMITS, progress, cancel)?;
            let damage = loaded.damage.iter().map(ToString::to_string).collect();
            return Ok(Opened {
                name,
                origin: Origin::File(path.to_owned()),
                store: loaded.store,
                damage,
                lost: loaded.lost_events,
            });
        }
        let mut events = Vec::new();
        let report = glovebox_inspector::import::import(path, |event| {
            events.push(event);
            Ok::<(), glovebox_inspector::import::ImportError>(())
        })?;
        let mut opened = Opened::of_events(name, Arc::new(events), |events| {
            Origin::Imported(path.to_owned(), events)
        });
        opened.damage.extend(report.cut_short);
        Ok(opened)
    }

    /// Makes a trace of events.
    pub(super) fn of_events(
        name: String,
        events: Arc<Vec<Event>>,
        origin: impl FnOnce(Arc<Vec<Event>>) -> Origin,
    ) -> Opened {
        let mut store = Store::new(LIMITS);
        events.iter().for_each(|event| store.ingest(event));
        Opened { name, origin: origin(events), store, damage: Vec::new(), lost: 0 }
    }
}

impl Origin {
    /// The events, read from the file if need be; damaged parts are left out.
    pub(super) fn events(&self) -> anyhow::Result<Vec<Event>> {
        match self {
            Origin::Imported(_, events) | Origin::Replay(events) => Ok(events.to_vec()),
            Origin::File(path) => {
                let mut events = Vec::new();
                for event in TraceReader::open(path)? {
                    match event {
                        Ok(event) => events.push(event),
                        Err(error) if error.is_damage() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(events)
            }
        }
    }

    /// Writes the trace to a file of its own.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        if let Origin::File(from) = self {
            anyhow::ensure!(
                !path.exists(),
                "will not overwrite; choose another name: {}",
                path.display()
            );
            std::fs::copy(from, path)
                .with_context(|| format!("cannot copy to {}", path.display()))?;
            return Ok(());
        }
        let mut writer = TraceWriter::create(path, env!("CARGO_PKG_VERSION"))?;
        for event in self.events()? {
            writer.write(&event)?;
        }
        writer.finish()?;
        Ok(())
    }
}

/// True for files with the extension of traces, finished or not.
pub(super) fn is_trace(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".mcap") || name.ends_with(".mcap.partial")
}

/// True for files that [`Opened::read`] understands.
pub(super) fn is_trace_or_capture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    is_trace(path) || matches!(&*extension, "pcap" | "pcapng" | "ndjson" | "jsonl")
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// The open traces.
#[derive(Debug, Default)]
pub(super) struct Traces {
    all: Vec<Trace>,
    next: u64,
    baseline: Option<TraceId>,
}

impl Traces {
    pub(super) fn add(&mut self, opened: Opened) -> TraceId {
        let id = TraceId(self.next);
        self.next += 1;
        self.all.push(Trace {
            id,
            name: opened.name,
            origin: opened.origin,
            store: Arc::new(opened.store),
            damage: opened.damage,
            lost: opened.lost,
        });
        id
    }

    pub(super) fn remove(&mut self, id: TraceId) {
        self.all.retain(|trace| trace.id != id);
        if self.baseline == Some(id) {
            self.baseline = None;
        }
    }

    pub(super) fn pin(&mut self, id: Option<TraceId>) {
        self.baseline = id;
    }

    pub(super) fn all(&self) -> &[Trace] {
        &self.all
    }

    pub(super) fn get(&self, id: TraceId) -> Option<&Trace> {
        self.all.iter().find(|trace| trace.id == id)
    }

    pub(super) fn baseline(&self) -> Option<&Trace> {
        self.get(self.baseline?)
    }
}
