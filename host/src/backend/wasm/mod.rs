//! The wasm tier: one engine for all plugins, and a file for each binding.

pub(crate) mod component;
mod engine;
mod features;
pub(crate) mod foreign;
pub(crate) mod frame_abi;
mod limiter;
mod module;
mod output;
pub(crate) mod symbols;
mod ticker;
mod values;
mod wasi;

pub(crate) use engine::{Engines, Program, Setting, WasmEngine};
pub(crate) use module::ModuleCode;

use std::time::Duration;

use std::sync::atomic::Ordering;

use glovebox_abi::manifest::LimitKind;
use glovebox_events::Outcome;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::failure::StackFrame;
use crate::problem::shorten;
use crate::services::CopyServices;
use crate::stop::Stop;

/// Turns an error of the engine into how the call ended. The store must be thrown away.
fn died(context: &mut CopyServices, error: &wasmtime::Error) -> Stop {
    if let Some(broken) = context.broken.take() {
        return Stop::Dead(broken);
    }
    // At most as many as the engine is told to keep.
    let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>();
    let frames = backtrace.map(|backtrace| backtrace.frames()).unwrap_or_default();
    context.evidence.backtrace = frames.iter().map(stack_frame).collect();
    let limits = context.rights.limits.load_full();
    match error.downcast_ref::<wasi::Interrupted>() {
        Some(wasi::Interrupted::Overdue) => {
            context.shared.counters.hit_limit(LimitKind::CallDeadline);
            let deadline = Duration::from_millis(context.deadline());
            return Stop::Dead(Outcome::TimedOut { deadline, made_up: false });
        }
        Some(wasi::Interrupted::Cancelled) => return Stop::Dead(Outcome::Cancelled),
        None => {}
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        let message = format!("the plugin ended itself with the code {code}");
        return Stop::Dead(Outcome::Trapped { code: "exit".to_owned(), message });
    }
    if let Some(refusal) = error.downcast_ref::<foreign::Refusal>() {
        let message = shorten(&refusal.reason);
        return Stop::Dead(Outcome::Trapped { code: refusal.code.to_owned(), message });
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        // The cause stands last; what is before it is a backtrace.
        let message = error.root_cause().to_string();
        if let Some(limit) = exhausted(error, &message) {
            let allowed = limits.value(limit).unwrap_or_default();
            // The engine stops at the first byte or handle that is too much.
            let asked = match limit {
                LimitKind::Resources => allowed + 1,
                _ => component::crossing_bytes(&context.rights.hot) + 1,
            };
            context.shared.counters.hit_limit(limit);
            return Stop::Dead(Outcome::LimitExceeded { limit, asked, allowed, made_up: false });
        }
        let message = shorten(&message);
        return Stop::Dead(Outcome::Trapped { code: "host-error".to_owned(), message });
    };
    if *trap == Trap::Interrupt {
        context.shared.counters.hit_limit(LimitKind::CallDeadline);
        let deadline = Duration::from_millis(context.deadline());
        return Stop::Dead(Outcome::TimedOut { deadline, made_up: false });
    }
    if *trap == Trap::OutOfFuel {
        let fuel = limits.fuel.unwrap_or_default();
        context.shared.counters.hit_limit(LimitKind::Fuel);
        let limit = LimitKind::Fuel;
        return Stop::Dead(Outcome::LimitExceeded {
            limit,
            asked: fuel + 1,
            allowed: fuel,
            made_up: false,
        });
    }
    let place = frames
        .first()
        .map(|frame| match frame.func_name() {
            Some(name) => format!(" in `{}`", symbols::readable(name)),
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

/// A function of a plugin that was at work. Its name is not made readable, and its line not looked up,
/// before somebody wants to see them: that is work of [`symbols`].
fn stack_frame(frame: &wasmtime::FrameInfo) -> StackFrame {
    StackFrame {
        module: shorten(frame.module().name().unwrap_or_default()),
        function: Some(match frame.func_name() {
            Some(name) => symbols::kept_name(name),
            None => format!("function {}", frame.func_index()),
        }),
        offset: frame.module_offset().map(|offset| offset as u64),
        place: None,
    }
}

/// Gives the call that comes next its fuel.
fn refuel<T>(store: &mut wasmtime::Store<T>, context: impl Fn(&T) -> &CopyServices) {
    let fuel = context(store.data()).rights.hot.fuel.load(Ordering::Relaxed);
    store.set_fuel(fuel).expect("only called where the engine counts work");
}

/// Which limit of components the engine found used up; its own errors have no types.
fn exhausted(error: &wasmtime::Error, message: &str) -> Option<LimitKind> {
    if message.contains("fuel allocated for hostcalls has been exhausted") {
        // The plugin is on the stack while it calls the host, and has left it when its own result
        // is taken over.
        return Some(match error.downcast_ref::<wasmtime::WasmBacktrace>() {
            Some(_) => LimitKind::HostCallBytes,
            None => LimitKind::OutputBytes,
        });
    }
    let is_full = matches!(
        error.downcast_ref::<wasmtime::component::ResourceTableError>(),
        Some(wasmtime::component::ResourceTableError::Full)
    );
    let too_many = message.contains("store handle limit exceeded");
    (is_full || too_many).then_some(LimitKind::Resources)
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
