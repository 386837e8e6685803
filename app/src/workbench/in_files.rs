//! Work on traces that are not held: their scan, their digest and searches in them.

use std::sync::Arc;

use glovebox_trace::TraceIndex;

use super::findings::{self, Digest, Look, Unfinished};
use super::finished::Finished;
use super::work;
use super::{JobId, Level, Origin, Search, SearchStage, TraceId, Wanted, Workbench, search};

impl Workbench {
    /// Lets the rules look over a trace that was just opened. One that is not held is scanned
    /// before, because that is what a search waits for.
    pub(super) fn look_over(&mut self, id: TraceId) {
        let Some(trace) = self.traces.get(id) else {
            return;
        };
        let (origin, plugins) = (trace.origin.clone(), self.host.plugins());
        let title = format!("Looking over {}", trace.name);
        if let (Some(pages), Origin::File(path)) = (&trace.pages, &origin) {
            let path = path.clone();
            let job = if pages.index().is_none() {
                let title = format!("Scanning {}", trace.name);
                self.jobs.start_background(title, move |state| work::index(id, &path, state))
            } else {
                let digest = move |state: &_| match findings::digest(&path, &plugins, state) {
                    Ok(digest) => Finished::Digested(id, Box::new(digest)),
                    Err(unfinished) => not_looked_over(unfinished),
                };
                self.jobs.start_background(title, digest)
            };
            if let Some(trace) = self.traces.get_mut(id) {
                trace.job = Some(job);
            }
            return;
        }
        self.jobs.start(title, move |state| match findings::look_over(&origin, &plugins, state) {
            Ok(look) => Finished::LookedOver(id, Box::new(look)),
            Err(unfinished) => not_looked_over(unfinished),
        });
    }

    pub(super) fn take_in_index(
        &mut self,
        id: TraceId,
        result: Result<Arc<TraceIndex>, Option<String>>,
    ) {
        if let Some(trace) = self.traces.get_mut(id) {
            trace.job = None;
        }
        match result {
            Ok(index) => {
                self.traces.index(id, index, &self.fanout.waker);
                let search = self.traces.get(id).and_then(|trace| trace.search.as_ref());
                if let Some(wanted) = search.map(|search| search.wanted.clone()) {
                    self.search(id, Some(wanted));
                }
                for damage in self.traces.get(id).iter().flat_map(|trace| &trace.damage) {
                    self.notices.add(Level::Warning, damage.clone());
                }
                self.look_over(id);
            }
            Err(None) => {
                let text =
                    "Not scanned: filters, the timeline and findings of this trace need that";
                self.notices.add(Level::Warning, text);
            }
            Err(Some(error)) => self.notices.add(Level::Error, format!("Not scanned: {error}")),
        }
    }

    /// Starts a search in a trace that is not held, in place of the one before.
    pub(super) fn search(&mut self, id: TraceId, wanted: Option<Wanted>) {
        let Some(trace) = self.traces.get_mut(id) else {
            return;
        };
        if let Some(job) = trace.search.take().and_then(|search| search.job) {
            self.jobs.cancel(job);
        }
        let (Some(wanted), Some(pages)) = (wanted, &trace.pages) else {
            return;
        };
        let found = search::Found::default();
        let search::Found { rows, ranked } = found.clone();
        let job = pages.index().map(|index| {
            let (index, wanted) = (Arc::clone(index), wanted.clone());
            let title = match wanted.order {
                None => format!("Searching {}", trace.name),
                Some(order) => format!("Sorting {} by {}", trace.name, order.by.name()),
            };
            let search = move |state: &_| {
                let result = search::search(&index, &wanted, &found, state);
                Finished::Searched(id, wanted.revision, result)
            };
            self.jobs.start_background(title, search)
        });
        let stage = if job.is_some() { SearchStage::Running } else { SearchStage::Waiting };
        trace.search = Some(Search { wanted, rows, ranked, stage, job });
        let is_scanned = trace.job.is_some_and(|job| self.jobs.is_running(job));
        if stage == SearchStage::Waiting && !is_scanned {
            self.look_over(id);
        }
    }

    /// Nothing waits any longer for a job that brought nothing back.
    pub(super) fn forget_job(&mut self, job: JobId) {
        for trace in self.traces.all_mut() {
            trace.job = trace.job.filter(|waited| *waited != job);
            if let Some(search) = trace.search.as_mut().filter(|search| search.job == Some(job)) {
                search.stage = SearchStage::Stopped;
                search.job = None;
            }
        }
    }

    pub(super) fn take_in_digest(&mut self, id: TraceId, digest: Digest) {
        if let Some(trace) = self.traces.get_mut(id) {
            trace.store = Arc::new(digest.store);
            trace.overview = Some(Arc::new(digest.overview));
            self.take_in_look(id, digest.look);
        }
    }

    pub(super) fn take_in_look(&mut self, id: TraceId, look: Look) {
        // It may be closed by now.
        if let Some(trace) = self.traces.get_mut(id) {
            trace.figures = Some(Arc::new(look.figures));
            self.findings.add(id, look.judgement);
        }
    }

    pub(super) fn take_in_search(
        &mut self,
        id: TraceId,
        revision: u64,
        result: Result<(), Option<String>>,
    ) {
        let search = self.traces.get_mut(id).and_then(|trace| trace.search.as_mut());
        if let Some(search) = search.filter(|search| search.wanted.revision == revision) {
            let done = result.is_ok();
            search.stage = if done { SearchStage::Done } else { SearchStage::Stopped };
        }
        if let Err(Some(error)) = result {
            self.notices.add(Level::Error, format!("The search stopped: {error}"));
        }
    }
}

fn not_looked_over(unfinished: Unfinished) -> Finished {
    match unfinished {
        Unfinished::Cancelled => Finished::Nothing,
        Unfinished::Failed(error) => Finished::Failed(format!("Not looked over: {error}")),
    }
}
