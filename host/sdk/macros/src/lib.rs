//! Attributes of the Glovebox SDK; use them through `glovebox_sdk`.
//!
//! This crate deliberately holds attributes alone: what they leave in an artifact is written down in
//! `glovebox-abi`, and read by `glovebox-host`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod budget;
/// The same file as in `glovebox-abi`. A dependency on that crate would build it once more, and all it
/// depends on, for the machine that compiles.
#[allow(dead_code, unreachable_pub, reason = "only what reads texts is needed here")]
#[path = "../../../abi/src/units.rs"]
mod units;

use proc_macro::{Span, TokenStream, TokenTree};

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
/// ```ignore
/// #[derive(Default)]
/// #[budget(p99 = "500us", memory = "8 MiB")]
/// struct Echo;
/// ```
///
/// A wrong key or unit does not compile.
#[proc_macro_attribute]
pub fn budget(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = attribute.into_iter().collect();
    let texts: Vec<String> = trees.iter().map(TokenTree::to_string).collect();
    let added = match budget::read(&texts) {
        Ok(lines) => tokens(&budget::section(&lines)),
        Err(budget::Error { at, message }) => {
            let span = trees.get(at).map_or_else(Span::call_site, TokenTree::span);
            let error = tokens(&format!("::core::compile_error! {{ {message:?} }}"));
            let placed = |mut tree: TokenTree| {
                tree.set_span(span);
                tree
            };
            error.into_iter().map(placed).collect()
        }
    };
    // The item stays as it is, so that the compiler complains of nothing else.
    item.into_iter().chain(added).collect()
}

fn tokens(source: &str) -> TokenStream {
    source.parse().expect("the text is Rust, as the tests of glovebox-sdk show")
}
