use std::collections::VecDeque;
use std::time::SystemTime;

/// Notices that are kept; older ones go.
const KEPT: usize = 1000;

/// Bytes of a notice that are kept: errors may repeat what a stranger wrote.
const LENGTH: usize = 4096;

/// How important a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// It went well.
    Success,
    /// Look at it.
    Warning,
    /// It went wrong.
    Error,
}

/// How some work ended, in words.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Counts notices from 0.
    pub number: u64,
    /// The time.
    pub at: SystemTime,
    /// The importance.
    pub level: Level,
    /// One sentence.
    pub text: String,
}

/// The list in which all work ends.
#[derive(Debug, Default)]
pub(super) struct Notices {
    all: VecDeque<Notice>,
    next: u64,
}

impl Notices {
    pub(super) fn add(&mut self, level: Level, text: impl Into<String>) {
        if self.all.len() == KEPT {
            self.all.pop_front();
        }
        let text = text.into();
        self.all.push_back(Notice {
            number: self.next,
            at: SystemTime::now(),
            level,
            text: glovebox_abi::text::cut(&text, LENGTH).into_owned(),
        });
        self.next += 1;
    }

    pub(super) fn all(&self) -> &VecDeque<Notice> {
        &self.all
    }
}
