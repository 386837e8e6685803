//! Prints to the terminal from which the window was started.

use glovebox_abi::text::inert;

/// Writes a line to standard error.
#[allow(clippy::print_stderr, reason = "the window is gone; the terminal is all that is left")]
pub(super) fn tell(text: &str) {
    eprintln!("{}", inert(text));
}
