use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use glovebox_abi::units::show_size;
use glovebox_events::{Event, What};
use glovebox_files::{Output, is_replaceable};
use glovebox_inspector::store::{self, SavedEvents, Store, StoreLimits};
use glovebox_trace::{
    GapCause, ParentRecord, PluginRecord, Problem, Replacing, TraceError, TraceIndex, TraceOutline,
    TraceReader, TraceWriter, refuse_placeholder,
};

use super::figures::Figures;
use super::pages::{Known, Pages};
use super::sink::Waker;
use super::words::count;
use super::{JobId, Overview, Rows, Search};

/// How much is kept in memory of a trace that is not in a file.
const LIMITS: StoreLimits = StoreLimits { bytes: 512 << 20, list: 100_000, host_call: 64 << 10 };
/// Trace files up to this size, in bytes, are read whole: that takes no longer than to look twice.
const READ_WHOLE: u64 = 4 << 20;
/// Damaged places that are said one by one.
const DAMAGE_SAID: usize = 10;
/// Bytes of frames that replay and comparison take of a trace, and an import of a capture.
const EVENTS: usize = 512 << 20;

/// Names an open trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u64);

#[cfg(test)]
impl TraceId {
    /// The id of a trace that is not open.
    pub(crate) fn of_none() -> TraceId {
        TraceId(u64::MAX)
    }
}

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
    /// Its id.
    pub id: TraceId,
    /// Name for people.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its frames, and what else happened. Of a trace that is read from its file when it is looked
    /// at, only the latter, once the trace was looked over.
    pub store: Arc<Store>,
    /// The frames of a trace that is not held.
    pub pages: Option<Pages>,
    /// The digest of a trace that is not held, once it was looked over.
    pub overview: Option<Arc<Overview>>,
    /// Its figures, once it was looked over.
    pub(super) figures: Option<Arc<Figures>>,
    /// The search in a trace that is not held.
    pub search: Option<Search>,
    /// The scan or the look over it that is under way.
    pub(super) job: Option<JobId>,
    /// Its damage, in words.
    pub damage: Vec<String>,
    /// Events that were never recorded.
    pub lost: u64,
    /// The report in it, if it is a failure bundle, for people.
    pub report: Option<String>,
    /// Its records of plugins; of a trace that was made here, what was known of them then.
    pub plugins: Vec<PluginRecord>,
    /// True for a replay that a person asked for and that is in no file yet.
    pub unsaved: bool,
    /// The plugins that a replay was of, with their versions.
    pub ran: Option<String>,
}

impl Trace {
    /// Its name, with the plugins that a replay was of: what tells it from others comes first.
    pub fn title(&self) -> Cow<'_, str> {
        match (&self.ran, self.name.split_once(" of ")) {
            (Some(ran), Some((replay, first))) => format!("{replay} · {ran} · {first}").into(),
            (Some(ran), None) => format!("{} · {ran}", self.name).into(),
            (None, _) => Cow::Borrowed(&self.name),
        }
    }

    /// Its frames.
    pub fn rows(&self) -> Rows<'_> {
        match &self.pages {
            None => Rows::Here(&self.store),
            Some(pages) => Rows::Paged(pages),
        }
    }

    /// Events that are not in it, though their numbers should be.
    pub fn missing(&self) -> u64 {
        match &self.pages {
            None => self.store.missing(),
            Some(pages) => pages.index().map_or(0, |index| index.missing_events()),
        }
    }
}

/// A trace that has no id yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) store: Store,
    /// Where the rows are of a trace that is not held.
    pub(super) known: Option<Known>,
    pub(super) damage: Vec<String>,
    pub(super) lost: u64,
    pub(super) report: Option<String>,
    pub(super) plugins: Vec<PluginRecord>,
}

impl Opened {
    /// Reads a trace file, or imports a capture.
    pub(super) fn read(
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> anyhow::Result<Opened> {
        let name = name_of(path);
        if is_trace(path) && std::fs::metadata(path)?.len() > READ_WHOLE {
            return Opened::outline(name, path, progress, cancel);
        }
        if is_trace(path) {
            let loaded = store::load(path, LIMITS, progress, cancel)?;
            let mut damage: Vec<_> = loaded.damage.iter().map(ToString::to_string).collect();
            let untold = loaded.damaged - damage.len() as u64;
            if untold > 0 {
                damage.push(format!("{} more damaged", count(untold, "place")));
            }
            return Ok(Opened {
                name,
                origin: Origin::File(path.to_owned()),
                store: loaded.store,
                known: None,
                damage,
                lost: loaded.lost_events,
                report: report_of(path),
                plugins: loaded.plugins,
            });
        }
        let mut held = Held::default();
        let report = glovebox_inspector::import::import(path, |event| {
            anyhow::ensure!(!cancel.load(Ordering::Relaxed), "it was stopped");
            held.take(event, path)
        })?;
        let mut opened = Opened::of_events(name, Arc::new(held.events), |events| {
            Origin::Imported(path.to_owned(), events)
        });
        opened.plugins = report.plugins;
        opened.damage.extend(report.damaged.first);
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
        let origin = origin(events);
        let (damage, plugins) = (Vec::new(), Vec::new());
        Opened { name, origin, store, known: None, damage, lost: 0, report: None, plugins }
    }

    /// Finds out where the rows of a large trace are: by its index if that is beside it, by its
    /// summary if it has one, or by a scan.
    fn outline(
        name: String,
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> anyhow::Result<Opened> {
        let known = match TraceIndex::beside(path)? {
            Some(index) => Known::Index(Arc::new(index)),
            None => match TraceOutline::open(path)? {
                Some(outline) => Known::Outline(outline),
                None => Known::Index(Arc::new(TraceIndex::open(path, progress, cancel)?)),
            },
        };
        let (damage, lost) = match &known {
            Known::Outline(_) => (Vec::new(), 0),
            Known::Index(index) => (damage_of(index), index.info().lost_events),
        };
        let store = Store::default();
        let origin = Origin::File(path.to_owned());
        let report = report_of(path);
        let plugins = match &known {
            Known::Index(index) => index.info().plugins.clone(),
            Known::Outline(_) => {
                TraceIndex::summary(path)?.map_or_else(Vec::new, |info| info.plugins)
            }
        };
        Ok(Opened { name, origin, store, known: Some(known), damage, lost, report, plugins })
    }

    /// Number of frames.
    pub(super) fn frames(&self) -> u64 {
        self.known.as_ref().map_or(self.store.len() as u64, Known::frames)
    }
}

impl Origin {
    /// The events, read from the file if need be; damaged parts are left out. A file with more than
    /// 512 MiB of frames is refused.
    pub(super) fn events(&self) -> anyhow::Result<Vec<Event>> {
        match self {
            Origin::Imported(_, events) | Origin::Replay(events) => Ok(events.to_vec()),
            Origin::File(path) => {
                let mut held = Held::default();
                for event in TraceReader::open(path)? {
                    match event {
                        Ok(event) => held.take(event, path)?,
                        Err(error) if error.is_damage() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(held.events)
            }
        }
    }

    /// The same, to be sent or compared.
    pub(super) fn whole_events(&self) -> anyhow::Result<Vec<Event>> {
        let events = self.events()?;
        if let Origin::File(path) | Origin::Imported(path, _) = self {
            events.iter().try_for_each(|event| refuse_placeholder(event, path))?;
        }
        Ok(events)
    }

    /// Writes the trace to a file of its own. It lacks so many events for want of memory, unless it is a
    /// file already, which says that itself.
    pub(super) fn save(
        &self,
        (lost, plugins): (u64, &[PluginRecord]),
        path: &Path,
        replace: bool,
        inputs: &[&Path],
    ) -> anyhow::Result<()> {
        if let Origin::File(from) = self {
            let mut output = Output::create(path, replace, inputs)?;
            let (mut file, _) = glovebox_files::open(from, u64::MAX)
                .with_context(|| format!("cannot read {}", from.display()))?;
            io::copy(&mut file, &mut output)
                .with_context(|| format!("cannot copy to {}", path.display()))?;
            return Ok(output.finish()?);
        }
        let is_on = replace && is_replaceable(path);
        let mut writer = TraceWriter::create(Replacing { path, is_on }, env!("CARGO_PKG_VERSION"))?;
        for plugin in plugins {
            writer.describe_plugin(plugin)?;
        }
        for event in self.events()? {
            writer.write(&event)?;
        }
        if lost > 0 {
            writer.write_gap(lost, GapCause::Unknown)?;
        }
        writer.finish()?;
        Ok(())
    }
}

/// Writes the live frames that are in memory to a file of its own, which says what is missing.
pub(super) fn save_live(
    saved: SavedEvents,
    counts: &str,
    plugins: &[PluginRecord],
    out: Replacing<'_>,
) -> Result<(), TraceError> {
    let mut writer = TraceWriter::create(out, env!("CARGO_PKG_VERSION"))?;
    let how = format!("saved afterwards from memory, {counts}");
    writer.describe_parent(&ParentRecord { path: "live frames".to_owned(), how })?;
    for plugin in plugins {
        writer.describe_plugin(plugin)?;
    }
    let lost = saved.evicted + saved.others_evicted;
    if lost > 0 {
        writer.write_gap(lost, GapCause::Evicted)?;
    }
    for event in &saved.events {
        writer.write(event)?;
    }
    writer.finish()?;
    Ok(())
}

/// The events of a file, all of them in memory: no more than there is room for.
#[derive(Default)]
struct Held {
    events: Vec<Event>,
    bytes: usize,
}

impl Held {
    /// Takes one more event of `file`.
    fn take(&mut self, event: Event, file: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.bytes <= EVENTS,
            "captures, replay and comparison hold all frames, {} at most; make a smaller file, or of a \
             capture a trace with `glovebox trace import`, and a smaller one with `trace filter` or \
             `split`: {}",
            show_size(EVENTS as u64),
            file.display()
        );
        self.bytes += size_of::<Event>() + frame_bytes(&event);
        self.events.push(event);
        Ok(())
    }
}

/// The report in a failure bundle, for people; nothing in other traces.
fn report_of(path: &Path) -> Option<String> {
    // Damage of the file shows in its frames.
    Some(glovebox_inspector::failure::read(path).ok()??.to_text())
}

fn frame_bytes(event: &Event) -> usize {
    match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => frame.encoded_len(),
        _ => 0,
    }
}

/// The damage of a trace or beside it, in words.
fn damage_of(index: &TraceIndex) -> Vec<String> {
    let problems = index.problems().iter();
    let said = problems.take(DAMAGE_SAID).map(|problem| {
        let Problem { offset, bytes, reason } = problem;
        format!("{bytes} bytes at offset {offset} are damaged ({reason})")
    });
    let more = index.problems().len().saturating_sub(DAMAGE_SAID);
    let more = (more > 0).then(|| format!("{more} more places are damaged"));
    said.chain(more).chain(index.obstacle()).collect()
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
    pub(super) fn add(&mut self, opened: Opened, waker: &Arc<Waker>) -> TraceId {
        let id = TraceId(self.next);
        self.next += 1;
        let pages = match (&opened.origin, opened.known) {
            (Origin::File(path), Some(known)) => Some(Pages::open(path, known, Arc::clone(waker))),
            _ => None,
        };
        self.all.push(Trace {
            id,
            name: opened.name,
            origin: opened.origin,
            store: Arc::new(opened.store),
            pages,
            overview: None,
            figures: None,
            search: None,
            job: None,
            damage: opened.damage,
            lost: opened.lost,
            report: opened.report,
            plugins: opened.plugins,
            unsaved: false,
            ran: None,
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

    pub(super) fn all_mut(&mut self) -> &mut [Trace] {
        &mut self.all
    }

    pub(super) fn get(&self, id: TraceId) -> Option<&Trace> {
        self.all.iter().find(|trace| trace.id == id)
    }

    pub(super) fn get_mut(&mut self, id: TraceId) -> Option<&mut Trace> {
        self.all.iter_mut().find(|trace| trace.id == id)
    }

    /// Takes in the index of a trace; it says what is wrong with the trace, too.
    pub(super) fn index(&mut self, id: TraceId, index: Arc<TraceIndex>, waker: &Arc<Waker>) {
        let Some(trace) = self.get_mut(id) else {
            return;
        };
        trace.damage = damage_of(&index);
        trace.lost = index.info().lost_events;
        trace.plugins = index.info().plugins.clone();
        if let Origin::File(path) = &trace.origin {
            trace.pages = Some(Pages::open(path, Known::Index(index), Arc::clone(waker)));
        }
    }

    pub(super) fn baseline(&self) -> Option<&Trace> {
        self.get(self.baseline?)
    }
}
