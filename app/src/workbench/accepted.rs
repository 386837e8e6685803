//! The baseline file that replays are compared with, and what a comparison leads to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_inspector::baseline::{Baseline, BaselineError, Decision, Review};
use glovebox_inspector::diff::{Diff, Run};

/// A baseline file that is open.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The file.
    pub path: PathBuf,
    baseline: Arc<Baseline>,
}

impl Accepted {
    pub(super) fn new(path: PathBuf, baseline: Baseline) -> Accepted {
        Accepted { path, baseline: Arc::new(baseline) }
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
        self.baseline.run().len()
    }

    /// What is in it, in words.
    pub(super) fn summary(&self) -> String {
        let count = |number, one| match number {
            1 => format!("1 {one}"),
            number => format!("{number} {one}s"),
        };
        match self.baseline.rejected.len() {
            0 => count(self.calls(), "call"),
            wrong => format!("{}, {} rejected", count(self.calls(), "call"), count(wrong, "group")),
        }
    }

    /// Compares by the rules of the baseline.
    pub(super) fn compare(&self, run: &Run) -> Compared {
        Compared::Review(Box::new(Review::of(Baseline::clone(&self.baseline), run)))
    }
}

/// True for files with the extension of baselines.
pub(super) fn is_baseline(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

/// A run beside another one.
#[derive(Debug)]
pub enum Compared {
    /// Beside a run.
    Runs(Box<Diff>),
    /// Beside a baseline.
    Review(Box<Review>),
}

impl Compared {
    /// What is different.
    pub fn diff(&self) -> &Diff {
        match self {
            Compared::Runs(diff) => diff,
            Compared::Review(review) => review.diff(),
        }
    }

    /// Groups that were found wrong before, by position in [`Diff::groups`].
    pub(super) fn rejected_before(&self) -> Vec<usize> {
        match self {
            Compared::Runs(_) => Vec::new(),
            Compared::Review(review) => review.known_as_wrong(),
        }
    }

    /// The baseline that decisions lead to.
    pub(super) fn decide(&self, decision: impl Fn(usize) -> Decision) -> Baseline {
        match self {
            Compared::Runs(diff) => Baseline::of_decisions(diff, decision),
            Compared::Review(review) => review.decide(decision),
        }
    }
}
