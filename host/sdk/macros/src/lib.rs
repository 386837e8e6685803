//! Attributes of the Glovebox SDK; use them through `glovebox_sdk`.
//!
//! This crate deliberately holds attributes alone: what they leave in an artifact is written down in
//! `glovebox-abi`, and read by `glovebox-host`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod budget;
/// The same file as in `glovebox-abi`. A dependency on that crate would change the features of what
/// the compiler's plugins share with those of wasmtime, which would be built twice then.
#[allow(dead_code, unreachable_pub, reason = "only what reads texts is needed here")]
#[path = "../../../abi/src/units.rs"]
mod units;

use proc_macro::TokenStream;

/// Says in the source what a plugin should not exceed; breaking it is a finding, never a stop.
///
/// The keys and units are those under `[budget]` in `plugin.toml`, with `_` for `-`. It stands once
/// in a plugin's crate, on the plugin's type or on its `impl Plugin`. The budget goes into the
/// artifact, and the host adds it to the manifest; where both say something about the same key, it
/// must be the same, or the plugin is not loaded.
///
/// | key | value | what it is about |
/// |---|---|---|
/// | `p50`, `p99` | `"500us"` | how long calls take: half of them, 99 of 100 |
/// | `memory` | `"8 MiB"` or bytes | the memory after any call |
/// | `cpu` | `0.2` or `"20%"` | the share of the time of one core |
/// | `load_time` | `"20ms"` | how long loading takes |
///
/// ```
/// use glovebox_sdk::{Failure, Frame, Plugin, Services, budget};
///
/// #[derive(Default)]
/// #[budget(p99 = "500us", memory = "8 MiB")]
/// struct Echo;
///
/// impl Plugin for Echo {
///     fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
///         Ok(vec![frame.clone()])
///     }
/// }
/// ```
///
/// A wrong key or unit does not compile:
///
/// ```compile_fail
/// #[glovebox_sdk::budget(p99 = "500")]
/// struct Echo;
/// ```
#[proc_macro_attribute]
pub fn budget(attribute: TokenStream, item: TokenStream) -> TokenStream {
    budget::expand(attribute.into(), item.into()).into()
}
