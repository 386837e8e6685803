//! The artifact of the plugin in `plugin.rs`. The tests compile the same file without the macro, for
//! the core tier: two crates that use the macro cannot be linked into one program.
#![forbid(unsafe_code)]

pub mod plugin;

/// The exported plugin, with a budget that each binding must carry.
#[glovebox_sdk::budget(p99 = "50ms", load_time = "20 s")]
type Budgeted = plugin::Parity;

glovebox_sdk::export!(Budgeted);
