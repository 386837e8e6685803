//! From a file to checked code, stage by stage.
//!
//! Every stage may refuse, and says so with a [`LoadError`](crate::LoadError). Nothing of a plugin runs before its
//! bytes were copied, hashed and recognized, its manifest read and its version checked.

mod budget;
mod cache;
mod classify;
mod code;
mod compile;
mod explain;
mod file;
mod foreign;
mod inspect;
mod interface;
mod library;
mod manifest;
mod part;
mod peek;
mod precaution;
mod prepare;
mod read;
mod request;
mod sections;
mod size;
mod source;
mod tree;

pub use cache::CacheStats;
pub(crate) use cache::{Cache, DEFAULT_LIMIT as DEFAULT_CACHE_LIMIT};
pub(crate) use compile::CompileBounds;
pub use compile::CompileStatus;
pub use inspect::{Inspection, ServiceUse, inspect};
pub use peek::{ManifestPlace, Peek, Peeked, peek};
pub use precaution::{CompilePlace, CompiledBy, Precaution};
pub(crate) use prepare::{Prepared, Preparer};
pub(crate) use read::{Artifact, files_of, read};
pub use read::{MAX_ARTIFACT_LEN, names_in};
pub use request::LoadRequest;
pub(crate) use source::Place;
pub use source::Source;
