//! `glovebox trace filter`: some calls of a trace.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use glovebox_events::{CallId, Event, What};
use glovebox_inspector::filter::Filter;
use glovebox_inspector::store::{self, LoadError, StoreLimits};
use glovebox_inspector::trace::TraceReader;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::observe;
use super::super::report::{Output, Report, count_of};

/// Write the calls that match to a new trace, with all their frames and host calls
///
/// A call matches if one of its frames does. What belongs to no call, such as loads and changes of
/// phase, is kept.
#[derive(Debug, Args)]
pub(in crate::cli) struct FilterTrace {
    /// The trace
    pub trace: PathBuf,
    /// What to keep, e.g. 'status:error or latency>5ms'
    pub filter: Filter,
    /// The new trace; nothing is overwritten
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl FilterTrace {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let wanted = self.matching()?;
        let mut reader = TraceReader::open(&self.trace).map_err(Problem::Trace)?;
        let mut writer = observe::create(&self.out)?;
        let mut calls = HashSet::new();
        for event in &mut reader {
            let event = event.map_err(Problem::Trace)?;
            let call = call_of(&event);
            calls.extend(call);
            if call.is_none_or(|call| wanted.contains(&call)) {
                writer.write(&event).map_err(Problem::Record)?;
            }
        }
        for plugin in reader.plugins() {
            writer.describe_plugin(plugin).map_err(Problem::Record)?;
        }
        if reader.lost_events() > 0 {
            writer.write_gap(reader.lost_events()).map_err(Problem::Record)?;
        }
        let recorded = observe::finish(writer)?;
        let (kept, all) = (wanted.len(), calls.len());
        let out = recorded.path.display();
        let sentence = format!("Kept {kept} of {} in {out}", count_of(all, "call"));
        let text = format!("{out}\n");
        let json = json!({
            "trace": self.trace,
            "out": recorded.path,
            "calls": all,
            "kept": kept,
            "events": recorded.events,
        });
        Ok(Report::new(text, json, sentence, Exit::Good))
    }

    /// The calls with a frame that matches. How a call ended is known only at its end, so they are
    /// found first.
    fn matching(&self) -> Result<HashSet<CallId>, Problem> {
        let limits = StoreLimits { bytes: usize::MAX, list: 0 };
        let never = AtomicBool::new(false);
        let loaded = match store::load(&self.trace, limits, &mut |_, _| {}, &never) {
            Ok(loaded) => loaded,
            Err(LoadError::Trace(error)) => return Err(Problem::Trace(error)),
            Err(error @ LoadError::Cancelled) => return Err(Problem::Usage(error.to_string())),
        };
        if let Some(error) = loaded.damage.into_iter().next() {
            return Err(Problem::Trace(error));
        }
        let rows = loaded.store.rows().filter(|row| self.filter.matches(&row.subject()));
        Ok(rows.map(|row| row.call).collect())
    }
}

fn call_of(event: &Event) -> Option<CallId> {
    match &event.what {
        What::FrameIn { call, .. } | What::FrameOut { call, .. } | What::CallEnded { call, .. } => {
            Some(*call)
        }
        What::HostCall { call, .. } => *call,
        _ => None,
    }
}
