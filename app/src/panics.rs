//! Contains our own panics: a fault of Glovebox itself becomes a message for people.
//!
//! The host has a guard of its own, which is no part of what it gives to applications: it stands around
//! code that is not ours, and says nothing of whose fault it was.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of a panic's message that are said.
const SAID: usize = 300;

/// Runs `work`; a panic ends only that, and comes back in words.
///
/// The caller throws away what `work` had in hand, or can go on with it as it is: the locks here
/// are not poisoned, and nothing unsafe relies on what they guard.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let said = message(payload.as_ref());
        let text = glovebox_abi::text::cut(said, SAID);
        let text = format!("a fault of Glovebox itself: {text}");
        // The payload may panic when it is dropped, and so may the payload of that panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload))).map_err(std::mem::forget);
        text
    })
}

/// The message of a panic.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it says nothing about itself")
}

/// Lets tests panic where the program asks it to.
#[cfg(test)]
pub(crate) mod hook {
    use std::cell::Cell;

    thread_local! {
        static PANICS_AT: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Panics whenever this part is reached on this thread, or never.
    pub(crate) fn panic_at(place: Option<&'static str>) {
        PANICS_AT.set(place);
    }

    pub(crate) fn reach(place: &'static str) {
        assert_ne!(PANICS_AT.get(), Some(place), "a test wants this to panic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn panics_come_back_in_words() {
        fn check(work: fn() -> u32, expected: Result<u32, &str>) {
            let found = contain(work);
            assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
        }
        check(|| 7, Ok(7));
        check(|| panic!("lost"), Err("a fault of Glovebox itself: lost"));
        check(
            || std::panic::panic_any(PanicsAgain),
            Err("a fault of Glovebox itself: it says nothing about itself"),
        );
        check(|| panic!("lost {}", 2), Err("a fault of Glovebox itself: lost 2"));
        check(
            || std::panic::panic_any(3_u8),
            Err("a fault of Glovebox itself: it says nothing about itself"),
        );
    }
}
