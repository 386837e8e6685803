//! Waits for a load, and meanwhile says which step takes so long.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use glovebox_abi::text::inert;
use glovebox_host::{Host, Lost, Task};

/// Shorter waits are not worth a word.
const PATIENCE: Duration = Duration::from_millis(500);

/// The result of a load or reload. On a terminal, one line on standard error follows what is being
/// compiled or loaded, and goes when it is done.
pub(super) fn wait<T: Lost>(host: &Host, mut task: Task<T>) -> T {
    let mut shown = false;
    loop {
        if let Some(result) = task.wait_for(PATIENCE) {
            if shown {
                show("");
            }
            return result;
        }
        let (compiles, loads) = (host.compiles(), host.loads());
        let compile = compiles.iter().find(|compile| !compile.given_up).map(ToString::to_string);
        let told = compile.or_else(|| loads.first().map(ToString::to_string));
        if let Some(told) = told.filter(|_| io::stderr().is_terminal()) {
            show(&inert(&told).to_string());
            shown = true;
        }
    }
}

/// Puts a text in place of the one before. A closed stderr is no failure.
fn show(text: &str) {
    let mut terminal = io::stderr().lock();
    let _ = write!(terminal, "\r{text}\u{1B}[K").and_then(|()| terminal.flush());
}
