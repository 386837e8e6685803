//! Contains panics: ours, and those of code that an application gave the host.
//!
//! A core plugin, a function, a hook, a sink, a waker or [`Answers`](crate::Answers) may panic like any
//! code. Their callers go through [`caught`], so that the thread goes on and nothing stays locked or
//! waiting.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use glovebox_abi::text::cut;

/// The longest reason that is kept of a panic, in bytes.
const MAX_REASON_LEN: usize = 1024;

/// Does the work; a panic in it becomes its reason, on one line and at most 1 KiB long.
///
/// Changes of the work may be half-done after a panic: the caller throws them away, or knows that
/// nothing depends on them.
#[inline]
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(reason)
}

#[cold]
fn reason(panic: Box<dyn Any + Send>) -> String {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message.as_str(),
        _ => "it gave no reason",
    };
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = cut(&line, MAX_REASON_LEN).into_owned();
    // The value that was thrown may panic again when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_reason() {
        fn check(work: fn(), expected: &str) {
            assert_eq!(caught(work).unwrap_err(), expected);
        }
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        check(|| panic!("no such\n  thing"), "no such thing");
        check(|| panic!("{} things", 3), "3 things");
        check(|| std::panic::panic_any(3), "it gave no reason");
        check(|| std::panic::panic_any(Again), "it gave no reason");
        let long = caught(|| panic!("{}", "x".repeat(5000))).unwrap_err();
        assert!(long.ends_with("… (5000 bytes)") && long.len() < 1100, "{long}");
        assert_eq!(caught(|| 7), Ok(7));
    }
}
