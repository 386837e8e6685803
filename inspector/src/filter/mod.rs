//! The one filter language: for the list, search, export, replay and the command line.
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallId, Outcome};

use crate::store::Direction;

/// What a filter looks at: one frame and the call it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Id of the plugin.
    pub plugin: &'a str,
    /// Which way the frame went.
    pub direction: Direction,
    /// The call.
    pub call: CallId,
    /// Generation of the plugin, from 1.
    pub generation: u32,
    /// How the call ended, if it did.
    pub outcome: Option<&'a Outcome>,
    /// True if the plugin was denied anything during the call.
    pub denied: bool,
    /// Latency of the call, once it is over.
    pub latency: Option<Duration>,
    /// The frame.
    pub frame: &'a Frame,
}

/// A condition on frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {position}{}", did_you_mean(.suggestion.as_deref()))]
pub struct FilterError {
    /// Where, in bytes from the start of the text.
    pub position: usize,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |suggestion| {
        format!("; did you mean `{suggestion}`?")
    })
}

impl Filter {
    /// Reads a filter; an empty text matches everything.
    ///
    /// # Errors
    ///
    /// If the text is not a filter; the error says where and, if it can, what was meant.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        todo!()
    }
    /// True if the frame fulfils the condition.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        todo!()
    }
    /// True if the filter matches everything.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
