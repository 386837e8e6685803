//! The baseline file that replays are compared with, and the result of a comparison.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_inspector::baseline::{Baseline, BaselineError, Decision, Review, SourceTrace};
use glovebox_inspector::diff::{Diff, Run};

use super::words::{count, count_of};

/// A baseline file that is open.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The file.
    pub path: PathBuf,
    baseline: Arc<Baseline>,
}

impl Accepted {
    pub(super) fn new(path: PathBuf, baseline: Baseline) -> Accepted {
        let baseline = Arc::new(baseline.of_file(&path));
        Accepted { path, baseline }
    }

    pub(super) fn read(path: &Path) -> Result<Accepted, BaselineError> {
        Ok(Accepted::new(path.to_owned(), Baseline::read(path)?))
    }

    /// Name for people.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Number of calls in it.
    pub fn calls(&self) -> usize {
        self.run().len()
    }

    /// The calls in it.
    pub(super) fn run(&self) -> &Run {
        self.baseline.run()
    }

    /// True if it has calls of one of these plugins, or none at all.
    pub(super) fn is_about(&self, ids: &BTreeSet<String>) -> bool {
        let plugins = self.run().plugins();
        plugins.is_empty() || plugins.iter().any(|plugin| ids.contains(&**plugin))
    }

    /// Its content, in words.
    pub(super) fn summary(&self) -> String {
        let calls = count_of(self.calls(), "call");
        match self.baseline.rejected.len() {
            0 => calls,
            wrong => format!("{calls}, {} rejected", count_of(wrong, "group")),
        }
    }

    /// Compares by the rules of the baseline.
    pub(super) fn compare(&self, run: &Run) -> Compared {
        Compared::with_baseline(Review::of(Baseline::clone(&self.baseline), run))
    }
}

/// True for files with the extension of baselines.
pub(super) fn is_baseline(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

/// Refuses to compare answers with a run that has none, such as a capture: all of them would be new,
/// which says nothing about a plugin.
pub(crate) fn refuse_inputs_only(before: &Run, after: &Run) -> anyhow::Result<()> {
    let (inputs, answers) = match (before.is_of_inputs_only(), after.is_of_inputs_only()) {
        (true, false) if !after.is_empty() => (before, after),
        (false, true) if !before.is_empty() => (after, before),
        _ => return Ok(()),
    };
    anyhow::bail!(
        "{} holds inputs only, and {} answers: replay the inputs, and compare that run",
        inputs.name,
        answers.name
    )
}

/// A run beside another one.
#[derive(Debug)]
pub struct Compared {
    beside: Beside,
    /// The trace whose inputs led to the run, if that is known.
    trace: Option<SourceTrace>,
}

#[derive(Debug)]
enum Beside {
    Run(Box<Diff>),
    Baseline(Box<Review>),
}

impl Compared {
    /// A run beside another run.
    pub(crate) fn runs(diff: Diff) -> Compared {
        Compared { beside: Beside::Run(Box::new(diff)), trace: None }
    }

    /// A run beside a baseline.
    pub(crate) fn with_baseline(review: Review) -> Compared {
        Compared { beside: Beside::Baseline(Box::new(review)), trace: None }
    }

    /// The same, of a run that this trace led to.
    pub(crate) fn of_trace(self, trace: SourceTrace) -> Compared {
        Compared { trace: Some(trace), ..self }
    }

    /// The differences.
    pub fn diff(&self) -> &Diff {
        match &self.beside {
            Beside::Run(diff) => diff,
            Beside::Baseline(review) => review.diff(),
        }
    }

    /// The trace whose inputs led to the run, if that is known.
    pub(crate) fn trace(&self) -> Option<&SourceTrace> {
        self.trace.as_ref()
    }

    /// The baseline it is beside, with what was found, if it is one.
    pub(crate) fn review(&self) -> Option<&Review> {
        match &self.beside {
            Beside::Run(_) => None,
            Beside::Baseline(review) => Some(review),
        }
    }

    /// Groups that were found wrong before, by position in [`Diff::groups`].
    pub(crate) fn rejected_before(&self) -> Vec<usize> {
        self.review().map_or_else(Vec::new, Review::known_as_wrong)
    }

    /// A warning about the comparison, for people.
    pub(crate) fn warning(&self) -> Option<String> {
        let replayed = self.trace.as_ref()?;
        let known = self.review()?.trace().filter(|known| !known.has_inputs_of(replayed))?;
        let told = |trace: &SourceTrace| {
            let SourceTrace { name, inputs, digest } = trace;
            format!("{name} ({}, {digest:08x})", count(*inputs, "input"))
        };
        let (known, replayed) = (told(known), told(replayed));
        Some(format!("the baseline belongs to {known}, and {replayed} has other inputs"))
    }

    /// The baseline that decisions lead to.
    pub(crate) fn decide(&self, decision: impl Fn(usize) -> Decision) -> Baseline {
        let mut baseline = match &self.beside {
            Beside::Run(diff) => Baseline::of_decisions(diff, &decision),
            Beside::Baseline(review) => review.decide(&decision),
        };
        // A baseline accepted only in part of another trace stays about the trace it was made from.
        let is_whole = self.diff().different().all(|at| decision(at) == Decision::Accept);
        if baseline.trace.is_none() || is_whole {
            baseline.trace = self.trace.clone().or(baseline.trace);
        }
        baseline
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Outcome};
    use glovebox_inspector::diff::{DiffOptions, RunCall, diff};

    use super::*;

    #[test]
    fn a_baseline_has_the_name_of_its_file() {
        let run = |name: &str| {
            let call = RunCall {
                id: CallId(1),
                plugin: "p".into(),
                input: Frame::data("x"),
                outputs: Vec::new(),
                host_calls: Vec::new(),
                outcome: Some(Outcome::Completed),
                latency: None,
            };
            Run::from_calls(name, [call])
        };
        let folder = tempfile::tempdir().unwrap();
        let [first, other] = ["first.txt", "other.txt"].map(|name| folder.path().join(name));
        #[track_caller]
        fn check(accepted: &Accepted, path: &Path, after: &Run) -> Compared {
            let compared = accepted.compare(after);
            assert_eq!(compared.diff().before.name, path.display().to_string());
            compared
        }
        let diff = diff(Arc::new(run("a run")), Arc::new(run("replay")), &DiffOptions::default());
        let baseline = Compared::runs(diff).decide(|_| Decision::Accept);
        baseline.write(&first).unwrap();
        let compared = check(&Accepted::new(first.clone(), baseline), &first, &run("replay"));
        check(&Accepted::read(&first).unwrap(), &first, &run("replay"));
        // It is saved to another file, which holds something else from then on.
        let baseline = compared.decide(|_| Decision::Accept);
        check(&Accepted::new(other.clone(), baseline), &other, &run("replay 2"));
    }
}
