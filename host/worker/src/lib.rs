//! One sandboxed child process that runs a plugin, and the conversation with it.
//!
//! Read [`Workers`] first (where they come from), then [`Worker`] (one process, seen by the host),
//! then [`Handler`] and [`run_if_requested`] (the same process from inside: the first line of
//! `main`), then [`Ended`] (how it can end).
//!
//! ```no_run
//! use std::time::Duration;
//! use glovebox_abi::wire::Load;
//! use glovebox_abi::{Frame, Plugin, Services};
//! use glovebox_worker::{Handler, LoadFailure, Spec, Workers, run_if_requested};
//! # fn open(_: &Load) -> Result<Box<dyn Plugin>, LoadFailure> { unimplemented!() }
//! # fn load() -> Load { unimplemented!() }
//! # fn services() -> Box<dyn Services> { unimplemented!() }
//!
//! struct Native;
//! impl Handler for Native {
//!     fn load(&mut self, load: &Load) -> Result<Box<dyn Plugin>, LoadFailure> {
//!         open(load)
//!     }
//! }
//!
//! run_if_requested(|| Native);
//! let second = Duration::from_secs(1);
//! let workers = Workers::start()?;
//! let mut worker = workers.spawn(Spec::new("redact"))?;
//! for (layer, missing) in worker.report().missing() {
//!     panic!("without {layer} nothing is run: {}", missing.reason);
//! }
//! worker.load(load(), &mut *services(), second)?;
//! let frames = worker.call(&Frame::data("hello"), &mut *services(), second)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The worker is this executable again, with an empty environment and only the file descriptors
//! that it is given. It enters the [sandbox](glovebox_sandbox) before it reads anything of the
//! plugin. Frames go through shared memory of a size that neither side can change, as the messages
//! of [`glovebox_abi::wire`]; heartbeats and cancellations through a socket beside it, so that they
//! arrive while the plugin computes. The host believes nothing that the worker writes: positions,
//! lengths, numbers and calls are checked after they were copied out.
//!
//! A worker can also become any other program ([`Spec::program`]), once it is in the sandbox: the same
//! messages then go through its standard input and output.
//!
//! A worker ends with its host, however that ends: by a signal of the kernel, by the end of its
//! socket, and where it may start processes, by a keeper outside of the sandbox that ends them.
//!
//! This crate deliberately decides nothing: whether a plugin may run with a layer missing, when a
//! worker is started again and which frame is to blame is the business of the host. It is written
//! for Linux, and empty elsewhere.
#![cfg(target_os = "linux")]
#![warn(missing_docs)]

mod client;
mod control;
mod ended;
mod fault;
mod layers;
mod link;
mod monitor;
mod output;
mod pipes;
mod ring;
mod serve;
mod setup;
mod spawn;
mod stream;
mod system;
mod usage;
mod watched;
mod worker;

pub use client::ClientSpec;
pub use ended::{Ended, ProtocolError};
pub use fault::{LastWords, Site, report_faults, watch_faults};
pub use layers::{LayerCheckError, check_layers};
pub use monitor::Workers;
pub use output::Printed;
pub use serve::{Handler, LONGEST_SERVICE, LoadFailure, run_if_requested};
pub use spawn::{SpawnError, Spec};
pub use usage::Usage;
pub use watched::{Canceller, Meter};
pub use worker::{CallError, LoadError, OnCancel, Worker};
