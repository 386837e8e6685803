use std::collections::BTreeMap;
use std::ops::AddAssign;

use glovebox_events::{Event, What};
use serde::Serialize;

/// How many records of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tally {
    /// Frames given to plugins.
    pub frames_in: u64,
    /// Frames plugins gave.
    pub frames_out: u64,
    /// Ends of calls.
    pub calls_ended: u64,
    /// Host calls.
    pub host_calls: u64,
    /// All other events: loads, reloads, phases, policy.
    pub lifecycle: u64,
}

impl Tally {
    /// Events of all kinds.
    pub fn events(&self) -> u64 {
        self.entries().map(|(_, count)| count).into_iter().sum()
    }

    /// The kinds and their counts, in the order in which they are shown.
    pub fn entries(&self) -> [(&'static str, u64); 5] {
        [
            ("frames-in", self.frames_in),
            ("frames-out", self.frames_out),
            ("calls-ended", self.calls_ended),
            ("host-calls", self.host_calls),
            ("lifecycle", self.lifecycle),
        ]
    }

    pub(crate) fn count(&mut self, event: &Event) {
        *match &event.what {
            What::FrameIn { .. } => &mut self.frames_in,
            What::FrameOut { .. } => &mut self.frames_out,
            What::CallEnded { .. } => &mut self.calls_ended,
            What::HostCall { .. } => &mut self.host_calls,
            _ => &mut self.lifecycle,
        } += 1;
    }

    /// The counts by which this falls short of `all`.
    pub(crate) fn missing_of(&self, all: &Tally) -> Tally {
        Tally {
            frames_in: all.frames_in.saturating_sub(self.frames_in),
            frames_out: all.frames_out.saturating_sub(self.frames_out),
            calls_ended: all.calls_ended.saturating_sub(self.calls_ended),
            host_calls: all.host_calls.saturating_sub(self.host_calls),
            lifecycle: all.lifecycle.saturating_sub(self.lifecycle),
        }
    }

    /// As the entries of a metadata record, which has no CRC: the sum has to be right.
    pub(crate) fn to_metadata(self) -> BTreeMap<String, String> {
        let sum = ("events", self.events());
        let entries = self.entries().into_iter().chain([sum]);
        entries.map(|(key, count)| (key.to_owned(), count.to_string())).collect()
    }

    /// From the entries of a metadata record; `None` if they are damaged.
    pub(crate) fn from_metadata(entries: &BTreeMap<&str, &str>) -> Option<Tally> {
        let entry = |key| entries.get(key)?.parse::<u64>().ok();
        let tally = Tally {
            frames_in: entry("frames-in")?,
            frames_out: entry("frames-out")?,
            calls_ended: entry("calls-ended")?,
            host_calls: entry("host-calls")?,
            lifecycle: entry("lifecycle")?,
        };
        let sum = tally.entries().iter().try_fold(0u64, |sum, (_, n)| sum.checked_add(*n))?;
        (entry("events")? == sum).then_some(tally)
    }
}

/// The counts of the writer of a finished trace, for readers that do not want to count again. All
/// of them follow from the events; [`check`](crate::check) finds out if they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) tally: Tally,
    /// Calls that ended with anything but `completed`.
    pub(crate) not_completed: u64,
    /// Emitted frames that reached no plugin.
    pub(crate) dropped: u64,
    /// Events that the recorder could not keep.
    pub(crate) lost: u64,
    pub(crate) snapshots: u64,
}

impl Totals {
    /// Counts an event.
    pub(crate) fn count(&mut self, event: &Event) {
        self.tally.count(event);
        match &event.what {
            What::CallEnded { outcome, .. } => {
                self.not_completed += u64::from(!outcome.is_completed());
            }
            What::FramesDropped { frames, .. } => {
                self.dropped = self.dropped.saturating_add(*frames);
            }
            _ => {}
        }
    }

    /// As the entries of a metadata record.
    pub(crate) fn to_metadata(self) -> BTreeMap<String, String> {
        let mut entries = self.tally.to_metadata();
        for (key, count) in self.own_entries() {
            entries.insert(key.to_owned(), count.to_string());
        }
        entries
    }

    /// From the entries of a metadata record; `None` if they are damaged.
    pub(crate) fn from_metadata(entries: &BTreeMap<&str, &str>) -> Option<Totals> {
        let entry = |key| entries.get(key)?.parse::<u64>().ok();
        Some(Totals {
            tally: Tally::from_metadata(entries)?,
            not_completed: entry("not-completed")?,
            // Earlier writers had no events that say so.
            dropped: entries.get("dropped").map_or(Some(0), |_| entry("dropped"))?,
            lost: entry("lost")?,
            snapshots: entry("snapshots")?,
        })
    }

    fn own_entries(&self) -> [(&'static str, u64); 4] {
        [
            ("not-completed", self.not_completed),
            ("dropped", self.dropped),
            ("lost", self.lost),
            ("snapshots", self.snapshots),
        ]
    }

    /// The first count that is another one in `found`: its name, what it is here, and there.
    pub(crate) fn difference(&self, found: &Totals) -> Option<(&'static str, u64, u64)> {
        let here = self.tally.entries().into_iter().chain(self.own_entries());
        let there = found.tally.entries().into_iter().chain(found.own_entries());
        let mut pairs = here.zip(there).map(|((name, here), (_, there))| (name, here, there));
        pairs.find(|(_, here, there)| here != there)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        self.calls_ended += other.calls_ended;
        self.host_calls += other.host_calls;
        self.lifecycle += other.lifecycle;
    }
}
