//! The artifact of the plugin in `plugin.rs`. The tests compile the same file without the macro, for
//! the core tier: two crates that use the macro cannot be linked into one program.
#![forbid(unsafe_code)]

pub mod plugin;

glovebox_sdk::export!(plugin::Parity);
