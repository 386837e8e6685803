use std::fmt;
use std::sync::Arc;

use glovebox_abi::Frame;

/// A condition on frames, made of the text of a `when` by the application's own language.
pub trait FrameTest: Send + Sync {
    /// True if the frame fulfils the condition.
    fn matches(&self, frame: &Frame) -> bool;
}

impl<T: Fn(&Frame) -> bool + Send + Sync> FrameTest for T {
    fn matches(&self, frame: &Frame) -> bool {
        self(frame)
    }
}

/// Turns the text of a `when` into a test, or says why it is none.
pub type CompileCondition<'a> = &'a dyn Fn(&str) -> Result<Box<dyn FrameTest>, String>;

/// For applications without a language for conditions: refuses every `when`.
///
/// # Errors
///
/// Always.
pub fn no_conditions(_: &str) -> Result<Box<dyn FrameTest>, String> {
    Err("this application has no language for conditions; use `kinds`".to_owned())
}

/// A compiled condition.
#[derive(Clone)]
pub(super) struct Condition {
    text: String,
    test: Arc<dyn FrameTest>,
}

impl Condition {
    pub(super) fn new(text: String, test: Box<dyn FrameTest>) -> Condition {
        Condition { text, test: test.into() }
    }

    pub(super) fn matches(&self, frame: &Frame) -> bool {
        self.test.matches(frame)
    }
}

/// The same text is the same test, in the language of one application.
impl PartialEq for Condition {
    fn eq(&self, other: &Condition) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Condition").field(&self.text).finish()
    }
}
