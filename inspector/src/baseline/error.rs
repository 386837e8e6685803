use std::io;
use std::path::PathBuf;

use super::FORMAT;

/// Why a baseline cannot be read, written or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// The file cannot be read or written.
    #[error("cannot {action} the baseline: {source}: {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// The reason.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The first line is another one.
    #[error("this is no baseline of format {FORMAT}: its first line is not `{expected}`; name a trace, or make a baseline with --accept", expected = super::FIRST_LINE)]
    Format,
    /// A line makes no sense.
    #[error("line {line} of the baseline: {reason}; correct it, or make it again with --accept")]
    Line {
        /// The line, from 1.
        line: usize,
        /// The error in it.
        reason: String,
    },
    /// The error of one file.
    #[error("{error}: {}", path.display())]
    In {
        /// The error of the file.
        error: Box<BaselineError>,
        /// The file.
        path: PathBuf,
    },
}
