//! `glovebox diff`: two traces, call by call.

use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_events::Event;
use glovebox_inspector::diff::{self, Class, Diff, DiffOptions, PathPattern, Run};
use glovebox_inspector::trace::TraceReader;
use serde_json::{Value as Json, json};

use super::error::{Exit, Problem};
use super::report::{Output, Report};

/// Compare two traces call by call, and name exactly what differs
///
/// The exit code is 1 if anything does. Values inside JSON and CBOR are compared one by one.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The trace that is right
    pub before: PathBuf,
    /// The trace to compare with it
    pub after: PathBuf,
    #[command(flatten)]
    pub ignore: Ignore,
    #[command(flatten)]
    pub output: Output,
}

/// What does not count as a difference.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Ignore {
    /// A path that is not compared, e.g. /header/time or /payload/*/id; may be repeated
    #[arg(long = "ignore", value_name = "PATH")]
    pub paths: Vec<PathPattern>,
}

impl Ignore {
    /// Compares two runs.
    pub(super) fn diff(&self, before: &Run, after: &Run) -> Diff {
        let options = DiffOptions { ignore: self.paths.clone(), ..DiffOptions::default() };
        diff::diff(before, after, &options)
    }
}

impl Compare {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let (before, after) = (read_run(&self.before)?, read_run(&self.after)?);
        let diff = self.ignore.diff(&before, &after);
        let exit = if diff.is_same() { Exit::Good } else { Exit::Different };
        Ok(Report::new(diff.to_text(), to_json(&diff), diff.summary(), exit))
    }
}

/// A diff for programs: all that is different, and the counts.
pub(super) fn to_json(diff: &Diff) -> Json {
    let different = diff.entries.iter().filter(|entry| entry.class != Class::Same);
    json!({
        "before": diff.before,
        "after": diff.after,
        "counts": diff.counts,
        "different": diff.counts.different(),
        "differences": different.collect::<Vec<_>>(),
    })
}

/// The run in a trace, all of it: half a run would differ where nothing does.
pub(super) fn read_run(path: &Path) -> Result<Run, Problem> {
    let name = path.display().to_string();
    read(path, |events| Run::from_events(name, events))
}

/// Makes something of the events of a trace, one after the other.
///
/// # Errors
///
/// If any of it is damaged.
pub(super) fn read<T>(
    path: &Path,
    make: impl FnOnce(&mut dyn Iterator<Item = Event>) -> T,
) -> Result<T, Problem> {
    let reader = TraceReader::open(path).map_err(Problem::Trace)?;
    let mut damage = None;
    let mut events = reader.map_while(|event| event.map_err(|error| damage = Some(error)).ok());
    let made = make(&mut events);
    drop(events);
    match damage {
        None => Ok(made),
        Some(error) => Err(Problem::Trace(error)),
    }
}
