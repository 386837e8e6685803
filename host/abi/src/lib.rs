//! The contract between Glovebox and a plugin, and nothing else: no I/O, no runtime, no clock.
//!
//! Read [`Frame`] first (what travels), then [`Plugin`] (what an author writes) and [`Services`]
//! (what a plugin may ask of its host), then [`Manifest`] (what a plugin says about itself).
//! Three bindings carry this one contract:
//!
//! | binding | artifact | where it is defined |
//! |---|---|---|
//! | component | a WebAssembly component of the world `glovebox:plugin/plugin@0.1.0` | `wit/since_v0.1.0/` |
//! | frame ABI | a core WebAssembly module | [`frame_abi`] |
//! | native table | a shared library with one exported symbol | [`native`], `include/glovebox.h` |
//!
//! Functions of an application are called by name in all three: `wit/functions_v0.1.0/` has the
//! interface for components, which may import interfaces of the application's own instead.
//!
//! A plugin in another process is talked to through [`wire`].
//!
//! ```
//! use glovebox_abi::{Frame, Header, Kind};
//!
//! let header = Header::build().text("content-type", "application/json").finish();
//! let frame = Frame::new(Kind::DATA, header, &b"{}"[..]);
//! let bytes = frame.to_bytes();
//! assert_eq!(Frame::decode(&bytes)?, frame);
//! # Ok::<(), glovebox_abi::FrameError>(())
//! ```
//!
//! This crate deliberately does not load, run or record anything: that is `glovebox-host` and
//! `glovebox-inspector`. It compiles for `wasm32` because plugins are built on it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cbor;
mod frame;
pub mod frame_abi;
mod header;
mod kind;
#[cfg(feature = "manifest")]
pub mod manifest;
pub mod native;
#[cfg(feature = "manifest")]
pub mod nearest;
mod permission;
mod plugin;
mod services;
pub mod text;
pub mod units;
mod version;
pub mod wire;

pub use frame::{FRAME_PREFIX_LEN, Frame, FrameError, FrameRef, MAX_FRAME_LEN, WIRE_VERSION};
pub use header::{Header, HeaderBuilder};
pub use kind::{Kind, UnknownKind};
#[cfg(feature = "manifest")]
pub use manifest::Manifest;
#[cfg(feature = "manifest")]
pub use manifest::{Requests, Scope};
pub use permission::{Permission, UnknownPermission};
pub use plugin::{Failure, Health, Plugin, State};
pub use services::{LogLevel, ServiceError, Services};
pub use version::ProtocolVersion;
