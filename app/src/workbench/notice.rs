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

    /// The number that the next notice has.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Says something else in a notice that no longer holds, if it is still kept.
    pub(super) fn change(&mut self, number: u64, level: Level, text: &str) {
        if let Some(notice) = self.all.iter_mut().find(|notice| notice.number == number) {
            notice.level = level;
            notice.text = glovebox_abi::text::cut(text, LENGTH).into_owned();
        }
    }

    pub(super) fn all(&self) -> &VecDeque<Notice> {
        &self.all
    }
}
