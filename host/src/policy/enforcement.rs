//! Whether a limit holds, and whether a permission has an effect.

use glovebox_abi::Permission;
use glovebox_abi::manifest::Isolation;

/// Whether a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It does.
    Enforced,
    /// It does not, and why.
    NotAvailable(&'static str),
}

/// Why a permission has no effect for a plugin that runs there, whatever was granted; `None` if it has.
pub fn no_effect(permission: Permission, isolation: Isolation) -> Option<&'static str> {
    match (permission, isolation) {
        (Permission::Network, Isolation::Process) => Some(
            "there is no network in a process of its own; only WebAssembly has what is granted",
        ),
        (Permission::Network, Isolation::Container) => {
            Some("there is no network in a container; only WebAssembly has what is granted")
        }
        _ => None,
    }
}
