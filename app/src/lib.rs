//! The workbench for plugins: a window and a command line over one library.
//!
//! [`workbench`] joins the host and the inspector and knows nothing of egui; [`window`] paints it,
//! and [`cli`] offers the same without one.
//! [`workbench::replay`] is what both the window and the command line use to send a trace again.
//!
//! This crate deliberately contains no plugin host and no trace format: those are
//! `glovebox-host` and `glovebox-inspector`.
#![forbid(unsafe_code)]

pub mod assets;
pub mod build;
pub mod cli;
mod crashes;
mod ending;
mod folders;
mod panics;
pub mod window;
pub mod workbench;
