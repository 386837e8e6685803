//! Write a Glovebox plugin once; it builds for every binding.
//!
//! Read [`Plugin`] first (the trait to implement), then [`export!`] (which makes an artifact of
//! it), then [`testing`] (which runs it in unit tests, without a host). [`budget`] says in the source
//! what a plugin should not exceed; a wrong unit does not compile:
//!
//! ```compile_fail
//! #[glovebox_sdk::budget(p99 = "500")]
//! struct Echo;
//! ```
//!
//! ```
//! use glovebox_sdk::{Failure, Frame, Plugin, Services};
//!
//! /// Answers each frame with its payload in upper case.
//! #[derive(Default)]
//! struct Shout;
//!
//! impl Plugin for Shout {
//!     fn process(
//!         &mut self,
//!         _services: &mut dyn Services,
//!         frame: &Frame,
//!     ) -> Result<Vec<Frame>, Failure> {
//!         let payload = frame.payload.to_ascii_uppercase();
//!         Ok(vec![Frame::new(frame.kind, frame.header.clone(), payload)])
//!     }
//! }
//!
//! // In a plugin crate this line makes the artifact:
//! // glovebox_sdk::export!(Shout);
//!
//! let answers = glovebox_sdk::testing::Harness::new(Shout).process(&Frame::data(&b"hello"[..]))?;
//! assert_eq!(answers, [Frame::data(&b"HELLO"[..])]);
//! # Ok::<(), Failure>(())
//! ```
//!
//! # Which binding the macro emits
//!
//! | compile target | binding |
//! |---|---|
//! | `wasm32-unknown-unknown` | frame ABI, a core module |
//! | `wasm32-unknown-unknown` or `wasm32-wasip1` with the feature `component` | component, to be encoded by `glovebox build` |
//! | `wasm32-wasip2` | component |
//! | anything else | native table, a shared library |
//!
//! # Costs of building
//!
//! A plugin builds this crate with the contract (`glovebox-abi`), `bytes`, `minicbor` and, for
//! WebAssembly, the run time of `wit-bindgen`: a few seconds in all. The feature `json` adds `config`,
//! which reads the configuration into a type of the plugin's, and with it `serde` and `serde_json`:
//!
//! ```toml
//! glovebox-sdk = { path = "../glovebox/host/sdk", features = ["json"] }
//! serde = { version = "1", features = ["derive"] }
//! ```
//!
//! # Panics
//!
//! In a shared library a panic is caught inside the plugin: the call answers a failure with the
//! code [`Failure::PANIC`] and where it happened. The instance may be half changed then, so each
//! later call answers a failure with that code too, without running the plugin, until the host
//! makes a new instance. In WebAssembly a panic traps; before that its message goes to the host's
//! log at level error, if the plugin has the permission `log`.
//!
//! This crate deliberately does not run plugins for real, read manifests or do any I/O: that is
//! `glovebox-host`.
#![warn(missing_docs)]

#[cfg(all(target_os = "wasi", target_env = "p1", not(feature = "component")))]
compile_error!(
    "a frame ABI module cannot import WASI: enable the feature `component` for wasm32-wasip1, or build for wasm32-unknown-unknown"
);

#[doc(hidden)]
pub mod binding;
#[cfg(feature = "json")]
mod config;
mod export;
pub mod testing;

pub use bytes::Bytes;
#[cfg(feature = "json")]
pub use config::config;
pub use glovebox_abi::{
    Failure, Frame, FrameError, Header, HeaderBuilder, Health, Kind, LogLevel, Permission, Plugin,
    ProtocolVersion, ServiceError, Services, State, cbor,
};
pub use glovebox_macros::budget;
