//! The errors of verbs, and the exit code of each.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use glovebox_abi::units::show_size;
use glovebox_files::{OutputProblem, remedy as remedy_for_output};
use glovebox_host::{EndpointError, HostError, LoadError, MockError, PolicyError};
use glovebox_inspector::baseline::BaselineError;
use glovebox_inspector::filter::FilterError;
use glovebox_inspector::import::ImportError;
use glovebox_pipeline::{PipelineError, StartError};
use glovebox_trace::TraceError;
use glovebox_workspace::WorkspaceError;

use crate::workbench::words::with_causes;

/// The exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Good = 0,
    /// There are differences or failures.
    Different = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A plugin cannot be loaded.
    NotLoaded = 3,
    /// A plugin crashed, trapped, or was stopped at its deadline or a limit.
    Crashed = 4,
    /// A trace or capture cannot be read.
    TraceUnreadable = 5,
}

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A filter makes no sense.
    #[error("{}", staged("read filter", .0))]
    Filter(#[from] FilterError),
    /// A policy makes no sense.
    #[error("{}", staged("read policy", .0))]
    Policy(#[from] PolicyError),
    /// A plugin cannot be loaded.
    #[error("{}{}", staged("load plugin", .0), remedy_for_plugin(.0))]
    Load(#[from] LoadError),
    /// A trace cannot be read.
    #[error("{}{}", staged("read trace", .0), remedy_for_trace(.0))]
    Trace(TraceError),
    /// A run made more events than are kept to compare it.
    #[error(
        "compare: {lost} events of the run did not fit into {}; replay fewer frames, for example with --filter, or record the run with --record and compare the file",
        show_size(*.limit)
    )]
    TooMuchToCompare {
        /// Events that did not fit.
        lost: u64,
        /// Bytes that the events of a run may take.
        limit: u64,
    },
    /// A baseline cannot be read or written.
    #[error("{}{}", staged("compare", .0), remedy_for_baseline(.0))]
    Baseline(#[from] BaselineError),
    /// A capture cannot be read.
    #[error("{}{}", staged("import", .0), remedy_for_import(.0))]
    Import(#[from] ImportError),
    /// A trace cannot be written.
    #[error("{}{}", staged("write trace", .0), remedy_for_record(.0))]
    Record(TraceError),
    /// Another file cannot be written.
    #[error("{}", staged("write", .0))]
    Output(#[from] OutputProblem),
    /// Another file cannot be read or written.
    #[error("cannot {action}: {source}{}: {}", remedy_for_argument(action, source, path), path.display())]
    File {
        /// The failed action.
        action: &'static str,
        /// The reason.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// There is no host on this machine.
    #[error("{}", staged("start host", .0))]
    Host(#[from] HostError),
    /// Metrics cannot be served.
    #[error("{}", staged("serve metrics", .0))]
    Metrics(#[from] EndpointError),
    /// A workspace makes no sense.
    #[error("{}", staged("read workspace", .0))]
    Workspace(#[from] WorkspaceError),
    /// A mock makes no sense.
    #[error("{}", staged("read mock", .0))]
    Mock(#[from] MockError),
    /// A pipeline makes no sense.
    #[error("{}", staged("read pipeline", .0))]
    Pipeline(#[from] PipelineError),
    /// A pipeline cannot start.
    #[error("{}", staged("start pipeline", .0))]
    Start(#[from] StartError),
    /// A plugin cannot be watched.
    #[error("{}", staged("watch", .0))]
    Watch(#[from] glovebox_host::WatchError),
    /// A plugin cannot be built.
    #[error("{}", staged("build", &with_causes(.0)))]
    Build(anyhow::Error),
    /// There is no window on this machine.
    #[error("{}", staged("open window", &with_causes(.0)))]
    Window(anyhow::Error),
    /// Something was done before it went wrong.
    #[error("{done}, then stopped: {problem}")]
    After {
        /// The work done before, with counts.
        done: String,
        /// The problem that stopped it.
        problem: Box<Problem>,
    },
}

impl Problem {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Problem {
        move |source| Problem::File { action, source, path: path.to_owned() }
    }

    pub(super) fn after(self, done: impl Into<String>) -> Problem {
        Problem::After { done: done.into(), problem: Box::new(self) }
    }

    /// The problem of a workspace, with its file.
    pub(super) fn of_workspace(problem: WorkspaceError, file: &Path) -> Problem {
        WorkspaceError::In { problem: Box::new(problem), path: file.to_owned() }.into()
    }

    /// Its exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Problem::Usage(_)
            | Problem::Filter(_)
            | Problem::Policy(_)
            | Problem::Pipeline(_)
            | Problem::Mock(_)
            | Problem::Metrics(EndpointError::NotLoopback { .. })
            | Problem::Host(HostError::MocksRefused { .. }) => Exit::Usage,
            Problem::Workspace(error) => of_workspace(error),
            Problem::Record(
                TraceError::Exists { .. }
                | TraceError::Unfinished { .. }
                | TraceError::InUse { .. },
            ) => Exit::Usage,
            Problem::File { action: READ_ARGUMENT, .. } => Exit::Usage,
            Problem::Output(
                OutputProblem::Exists { .. }
                | OutputProblem::IsInput { .. }
                | OutputProblem::IsOutput { .. },
            ) => Exit::Usage,
            Problem::Load(_) | Problem::Start(_) => Exit::NotLoaded,
            Problem::Baseline(BaselineError::Io { action: "write", .. }) => Exit::Different,
            Problem::Trace(_) | Problem::Import(_) | Problem::Baseline(_) => Exit::TraceUnreadable,
            Problem::Record(_)
            | Problem::TooMuchToCompare { .. }
            | Problem::Output(OutputProblem::Io { .. })
            | Problem::File { .. }
            | Problem::Host(_)
            | Problem::Metrics(_)
            | Problem::Watch(_)
            | Problem::Build(_)
            | Problem::Window(_) => Exit::Different,
            Problem::After { problem, .. } => problem.exit(),
        }
    }

    /// Where it went wrong, in the words of the message.
    pub fn stage(&self) -> &'static str {
        match self {
            Problem::Usage(_) => "arguments",
            Problem::Filter(_) => "read filter",
            Problem::Policy(_) => "read policy",
            Problem::Load(error) => error.stage().name(),
            Problem::Trace(_) => "read trace",
            Problem::Baseline(_) | Problem::TooMuchToCompare { .. } => "compare",
            Problem::Import(_) => "import",
            Problem::Record(_) => "write trace",
            Problem::Output(_) => "write",
            Problem::File { action, .. } => action,
            Problem::Host(_) => "start host",
            Problem::Metrics(_) => "serve metrics",
            Problem::Workspace(_) => "read workspace",
            Problem::Mock(_) => "read mock",
            Problem::Pipeline(_) => "read pipeline",
            Problem::Start(_) => "start pipeline",
            Problem::Watch(_) => "watch",
            Problem::Build(_) => "build",
            Problem::Window(_) => "open window",
            Problem::After { problem, .. } => problem.stage(),
        }
    }
}

/// A stage, and what went wrong there. Most errors begin with what could not be done; where that is the
/// stage, it is not said twice.
fn staged(stage: &str, error: &impl Display) -> String {
    let text = error.to_string();
    let behind = text.strip_prefix("cannot ").and_then(|text| {
        let (what, behind) = text.split_once(": ")?;
        let is_said = |word| word == "the" || stage.split(' ').any(|said| said == word);
        what.split(' ').all(is_said).then_some(behind)
    });
    format!("{stage}: {}", behind.unwrap_or(&text))
}

/// The action of [`Problem::File`] for a file that the command line names as an argument's value.
pub(super) const READ_ARGUMENT: &str = "read the file named on the command line";

/// A plugin that is not there cannot be loaded; all else is wrong in the file.
fn of_workspace(error: &WorkspaceError) -> Exit {
    match error {
        WorkspaceError::In { problem, .. } => of_workspace(problem),
        WorkspaceError::NotFound { .. } | WorkspaceError::Artifact { .. } => Exit::NotLoaded,
        _ => Exit::Usage,
    }
}

fn remedy_for_trace(error: &TraceError) -> &'static str {
    match error {
        TraceError::Io { source, path, .. }
            if path == Path::new("-") && source.kind() == io::ErrorKind::NotFound =>
        {
            "; only `glovebox trace import` reads standard input, and only captures and NDJSON: save \
             the trace in a file"
        }
        TraceError::Io { source, path, .. } => remedy_for_file(source, path),
        // The others say it themselves.
        _ => "",
    }
}

fn remedy_for_record(error: &TraceError) -> &'static str {
    use io::ErrorKind::{
        FileTooLarge, InvalidFilename, NotADirectory, NotFound, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    match error {
        TraceError::Io { source, .. } | TraceError::NotSynced { source, .. } => {
            match source.kind() {
                StorageFull | QuotaExceeded => "; make room, or record elsewhere",
                FileTooLarge => "; raise the largest size of a file (`ulimit -f`)",
                PermissionDenied | ReadOnlyFilesystem => "; choose a folder you may write to",
                NotFound | NotADirectory => "; make the folder first",
                InvalidFilename => "; choose a shorter name",
                _ => "; record elsewhere",
            }
        }
        // The others say it themselves.
        _ => "",
    }
}

fn remedy_for_import(error: &ImportError) -> &'static str {
    match error {
        ImportError::Io { source, path } => match source.kind() {
            io::ErrorKind::InvalidData => "; copy or capture it again",
            io::ErrorKind::InvalidInput => "; pipe it into `glovebox trace import -`",
            _ => remedy_for_file(source, path),
        },
        ImportError::UnknownFormat { .. } | ImportError::Cancelled { .. } => "",
        ImportError::Damaged { .. } => "; copy or capture it again",
        ImportError::Line { .. } => "; correct or remove the line",
    }
}

fn remedy_for_baseline(error: &BaselineError) -> &'static str {
    match error {
        BaselineError::Io { action: "write", source, .. } => remedy_for_output(source),
        BaselineError::Io { source, path, .. } => remedy_for_file(source, path),
        // The others say it themselves.
        _ => "",
    }
}

fn remedy_for_argument(action: &str, source: &io::Error, path: &Path) -> &'static str {
    match action {
        READ_ARGUMENT if is_pipe(path) => {
            "; it is a pipe or a device: --payload @- reads standard input, all else needs a file"
        }
        READ_ARGUMENT => remedy_for_file(source, path),
        _ => "",
    }
}

/// A file is read more than once, and looked at from several sides.
fn remedy_for_plugin(error: &LoadError) -> &'static str {
    match error.path() {
        Some(path) if path == Path::new("-") && !path.exists() => {
            "; standard input is not read here: save the plugin in a file"
        }
        Some(path) if is_pipe(path) => "; it is a pipe or a device: save the plugin in a file",
        _ => "",
    }
}

fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir())
}

fn remedy_for_file(error: &io::Error, path: &Path) -> &'static str {
    match error.kind() {
        _ if is_pipe(path) => "; save what comes from it in a file, and name that",
        io::ErrorKind::NotFound => "; check the path",
        _ => "; check the file and its rights",
    }
}
