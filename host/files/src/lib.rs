//! Files of the user: read with bounds, written without loss, and folders that nobody else sees.
//!
//! Read [`read()`] first (what a stranger named cannot block or fill the memory), then [`Output`]
//! (what exists is not overwritten, and never what is being read), then [`Scratch`] (temporary
//! folders that a later start removes if this process is killed), then [`FileKind`] (the name of a file
//! that is not what was wanted, and the way to use it).
//!
//! ```
//! use glovebox_files::{Output, Scratch, read_to_string};
//!
//! let scratch = Scratch::new_in(std::env::temp_dir())?;
//! let path = scratch.path().join("report.txt");
//! glovebox_files::write(&path, b"done", false, &[])?;
//! assert_eq!(read_to_string(&path, 1024)?, "done");
//! // It exists now.
//! assert!(Output::create(&path, false, &[]).is_err());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! This crate deliberately reads no format beyond its first bytes, and it does not record traces: their writer survives full
//! disks and kills, which takes more than a file beside the final one.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod kind;
mod name;
mod output;
mod owner;
mod read;
mod runnable;
mod scratch;
mod used;

pub use kind::{FileKind, Way, mcap_profile};
pub use name::text_of_path;
pub use output::{Output, OutputProblem, is_replaceable, is_same_name, refuse, remedy, write};
pub use owner::{Owner, private_folder};
pub use read::{MAX_TEXT, open, open_own, opened, read, read_or_stdin, read_to_string};
pub use runnable::lets_code_run;
pub use scratch::{Scratch, remove_scratch};
pub use used::{note_read, note_written, spare_what_is_used};
