//! The expansion of [`export!`](crate::export). No part of the public interface.

#[cfg(all(target_family = "wasm", any(feature = "component", target_env = "p2")))]
pub mod component;
#[cfg(all(target_family = "wasm", not(any(feature = "component", target_env = "p2"))))]
pub mod frame_abi;
#[cfg(not(target_family = "wasm"))]
pub mod native;

/// Makes panics reach the host before they trap: WebAssembly has nowhere to print them.
#[cfg(target_family = "wasm")]
fn report_panics(log: fn(&str)) {
    std::panic::set_hook(Box::new(move |panic| log(&panic.to_string())));
}
