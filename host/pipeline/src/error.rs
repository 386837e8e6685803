use std::io;
use std::path::PathBuf;

use glovebox_abi::nearest::did_you_mean;
use glovebox_document::DocumentError;
use glovebox_host::LoadError;

/// Why a text is not a pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The file cannot be read.
    #[error("cannot read the pipeline: {source}; check the path: {}", path.display())]
    Io {
        /// The error of the operating system.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong in a file.
    #[error("{problem}: {}", path.display())]
    In {
        /// The problem.
        problem: Box<PipelineError>,
        /// The file.
        path: PathBuf,
    },
    /// The text itself is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// There is nothing to do.
    #[error("there is no stage; write [stage.NAME] with `plugin` and `from`")]
    NoStages,
    /// A stage has a name that is none.
    #[error(
        "line {line}: `{name}` cannot be the name of a stage; use lower-case letters, digits and single `-`, and not `input`"
    )]
    Name {
        /// The name.
        name: String,
        /// Line, from 1.
        line: usize,
    },
    /// A stage or output names a stage that does not exist.
    #[error("line {line}: {reference} names `{name}`, which is no stage{}", did_you_mean(.nearest.as_deref()))]
    UnknownStage {
        /// The stage or output that names it, e.g. ``stage `count` ``.
        reference: String,
        /// The name.
        name: String,
        /// Line, from 1.
        line: usize,
        /// The stage that may have been meant.
        nearest: Option<String>,
    },
    /// A stage or output names a stage twice.
    #[error("line {line}: {reference} names `{name}` twice; once is enough")]
    Twice {
        /// The stage or output that names it.
        reference: String,
        /// The name.
        name: String,
        /// Line, from 1.
        line: usize,
    },
    /// Stages feed each other.
    #[error("stages feed each other: {}; take one of them out of a `from`", .stages.join(" → "))]
    Cycle {
        /// The way round; the first is also the last.
        stages: Vec<String>,
    },
    /// A stage gets no frames.
    #[error("line {line}: nothing reaches stage `{stage}`: {reason}")]
    Unreached {
        /// The stage.
        stage: String,
        /// Line, from 1.
        line: usize,
        /// Why, and what to do.
        reason: String,
    },
    /// The answers of a stage are lost.
    #[error(
        "line {line}: nobody takes what stage `{stage}` answers; name it in `outputs`, or let a stage take from it"
    )]
    NotTaken {
        /// The stage.
        stage: String,
        /// Line, from 1.
        line: usize,
    },
}

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
#[error("stage `{stage}`: {problem}")]
pub struct StartError {
    /// The stage.
    pub stage: String,
    /// The problem of the stage.
    #[source]
    pub problem: StageProblem,
}

/// A problem of a stage.
#[derive(Debug, thiserror::Error)]
pub enum StageProblem {
    /// Its plugin cannot be loaded.
    #[error("{0}")]
    Load(Box<LoadError>),
    /// Its plugin is none of those that are loaded.
    #[error("no plugin `{plugin}` is loaded ({}){}; load it first, or name its file", show_loaded(.loaded), did_you_mean(.nearest.as_deref()))]
    NotLoaded {
        /// Id of the plugin.
        plugin: String,
        /// Ids of those that are.
        loaded: Vec<String>,
        /// The id that may have been meant.
        nearest: Option<String>,
    },
    /// It is to get frames that its plugin does not accept.
    #[error("plugin `{plugin}` accepts {}, not {}; change the stage, or `accepts` under [frames] in plugin.toml", show_kinds(.accepts), show_kinds(.wanted))]
    Kinds {
        /// Id of the plugin.
        plugin: String,
        /// Kinds that the stage wants and the plugin does not accept.
        wanted: Vec<glovebox_abi::Kind>,
        /// Kinds that the plugin accepts.
        accepts: Vec<glovebox_abi::Kind>,
    },
}

fn show_loaded(ids: &[String]) -> String {
    match ids {
        [] => "none is".to_owned(),
        ids => format!("loaded: {}", ids.join(", ")),
    }
}

fn show_kinds(kinds: &[glovebox_abi::Kind]) -> String {
    match kinds {
        [] => "no kind".to_owned(),
        kinds => kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
