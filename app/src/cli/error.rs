//! How a verb can go wrong, and the exit code of each way.

use std::io;
use std::path::{Path, PathBuf};

use glovebox_abi::units::show_size;
use glovebox_files::OutputProblem;
use glovebox_host::pipeline::{PipelineError, StartError};
use glovebox_host::workspace::WorkspaceError;
use glovebox_host::{EndpointError, HostError, LoadError, MockError, PolicyError};
use glovebox_inspector::baseline::BaselineError;
use glovebox_inspector::filter::FilterError;
use glovebox_inspector::import::ImportError;
use glovebox_inspector::trace::TraceError;

/// What the process tells its caller.
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
    #[error("read filter: {0}")]
    Filter(#[from] FilterError),
    /// A policy makes no sense.
    #[error("read policy: {0}")]
    Policy(#[from] PolicyError),
    /// A plugin cannot be loaded.
    #[error("load plugin: {0}")]
    Load(#[from] LoadError),
    /// A trace cannot be read.
    #[error("read trace: {0}{remedy}", remedy = remedy_for_trace(.0))]
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
    #[error("compare: {0}")]
    Baseline(#[from] BaselineError),
    /// A capture cannot be read.
    #[error("import: {0}{remedy}", remedy = remedy_for_import(.0))]
    Import(#[from] ImportError),
    /// A trace cannot be written.
    #[error("write trace: {0}{remedy}", remedy = remedy_for_record(.0))]
    Record(TraceError),
    /// Another file cannot be written.
    #[error("write: {0}")]
    Output(#[from] OutputProblem),
    /// Another file cannot be read or written.
    #[error("cannot {action}: {source}: {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// There is no host on this machine.
    #[error("start host: {0}")]
    Host(#[from] HostError),
    /// Metrics cannot be served.
    #[error("serve metrics: {0}")]
    Metrics(#[from] EndpointError),
    /// A workspace makes no sense.
    #[error("read workspace: {0}")]
    Workspace(#[from] WorkspaceError),
    /// A mock makes no sense.
    #[error("read mock: {0}")]
    Mock(#[from] MockError),
    /// A pipeline makes no sense.
    #[error("read pipeline: {0}")]
    Pipeline(#[from] PipelineError),
    /// A pipeline cannot start.
    #[error("start pipeline: {0}")]
    Start(#[from] StartError),
    /// A plugin cannot be watched.
    #[error("watch: {0}")]
    Watch(#[from] glovebox_host::WatchError),
    /// A plugin cannot be built.
    #[error("build: {0:#}")]
    Build(anyhow::Error),
    /// There is no window on this machine.
    #[error("open window: {0:#}")]
    Window(anyhow::Error),
    /// Something was done before it went wrong.
    #[error("{done}, then stopped: {problem}")]
    After {
        /// What was done, with counts.
        done: String,
        /// What went wrong.
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
        TraceError::Io { source, .. } => remedy_for_file(source),
        // The others say it themselves.
        _ => "",
    }
}

fn remedy_for_record(error: &TraceError) -> &'static str {
    use io::ErrorKind::{
        NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match error {
        TraceError::Io { source, .. } | TraceError::NotSynced { source, .. } => {
            match source.kind() {
                StorageFull | QuotaExceeded => "; make room, or record elsewhere",
                PermissionDenied | ReadOnlyFilesystem => "; choose a folder you may write to",
                NotFound | NotADirectory => "; make the folder first",
                _ => "; record elsewhere",
            }
        }
        // The others say it themselves.
        _ => "",
    }
}

fn remedy_for_import(error: &ImportError) -> &'static str {
    match error {
        ImportError::Io { source, .. } => remedy_for_file(source),
        ImportError::UnknownFormat { .. } => "",
        ImportError::Damaged { .. } => "; copy or capture it again",
        ImportError::Line { .. } => "; correct or remove the line",
    }
}

fn remedy_for_file(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        _ => "; check the file and its rights",
    }
}
