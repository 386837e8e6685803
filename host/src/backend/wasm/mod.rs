//! The wasm tier: one engine for all plugins, and a file for each binding.

pub(crate) mod component;
mod engine;
pub(crate) mod frame_abi;
mod limiter;
mod output;
mod ticker;
mod wasi;

pub(crate) use engine::WasmEngine;

use std::time::Duration;

use glovebox_abi::manifest::LimitKind;
use glovebox_events::Outcome;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use super::Stop;
use crate::context::Context;

/// Turns an error of the engine into how the call ended. The store must be thrown away.
fn died(context: &mut Context, error: &wasmtime::Error) -> Stop {
    if let Some(broken) = context.broken.take() {
        return Stop::Dead(broken);
    }
    let limits = context.rights.limits.load();
    match error.downcast_ref::<wasi::Interrupted>() {
        Some(wasi::Interrupted::Overdue) => {
            context.shared.counters.hit_deadline();
            let deadline = Duration::from_millis(context.deadline());
            return Stop::Dead(Outcome::TimedOut { deadline });
        }
        Some(wasi::Interrupted::Cancelled) => return Stop::Dead(Outcome::Cancelled),
        None => {}
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        let message = format!("the plugin ended itself with the code {code}");
        return Stop::Dead(Outcome::Trapped { code: "exit".to_owned(), message });
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        // The cause stands last; what is before it is a backtrace.
        let message = error.root_cause().to_string();
        // The engine has no type for this one.
        if message.contains("fuel allocated for hostcalls has been exhausted") {
            let (limit, allowed) = (LimitKind::OutputBytes, limits.output_bytes);
            context.shared.counters.hit_limit(limit);
            return Stop::Dead(Outcome::LimitExceeded { limit, asked: allowed + 1, allowed });
        }
        return Stop::Dead(Outcome::Trapped { code: "host-error".to_owned(), message });
    };
    if *trap == Trap::Interrupt {
        context.shared.counters.hit_deadline();
        let deadline = Duration::from_millis(context.deadline());
        return Stop::Dead(Outcome::TimedOut { deadline });
    }
    if *trap == Trap::OutOfFuel {
        let fuel = limits.fuel.unwrap_or_default();
        context.shared.counters.hit_limit(LimitKind::Fuel);
        let limit = LimitKind::Fuel;
        return Stop::Dead(Outcome::LimitExceeded { limit, asked: fuel + 1, allowed: fuel });
    }
    let place = error
        .downcast_ref::<wasmtime::WasmBacktrace>()
        .and_then(|backtrace| backtrace.frames().first())
        .map(|frame| match frame.func_name() {
            Some(name) => format!(" in `{name}`"),
            None => format!(" in function {}", frame.func_index()),
        })
        .unwrap_or_default();
    let reason = trap.to_string();
    let reason = reason.strip_prefix("wasm trap: ").unwrap_or(&reason);
    Stop::Dead(Outcome::Trapped {
        code: kebab(&format!("{trap:?}")),
        message: format!("{reason}{place}"),
    })
}

/// `UnreachableCodeReached` → `unreachable-code-reached`.
fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    for (position, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && position > 0 {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
