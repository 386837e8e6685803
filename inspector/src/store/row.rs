use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::{Frame, Kind};
use glovebox_events::{CallId, Direction, Outcome};
use glovebox_trace::Statuses;

use crate::filter::Subject;

/// Names a row for as long as its store lives, whether or not the row is still kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub u64);

/// Where the call of a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Pending,
    /// It is over.
    Ended(Arc<Outcome>),
}

impl Status {
    /// `pending`, or the name of the outcome.
    pub fn name(&self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Ended(outcome) => outcome.name(),
        }
    }

    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Status::Pending => None,
            Status::Ended(outcome) => Some(outcome),
        }
    }

    /// True if the call ended with anything but `completed`.
    pub fn is_error(&self) -> bool {
        self.outcome().is_some_and(|outcome| !outcome.is_completed())
    }
}

/// One frame in the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Names the row.
    pub id: RowId,
    /// Sequence number of the event.
    pub sequence: u64,
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Since the first event of the store.
    pub since_start: Duration,
    /// Since the row before; zero for the first.
    pub since_previous: Duration,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The generation, from 1.
    pub generation: u32,
    /// The version that it runs, if anything says it.
    pub version: Option<Arc<str>>,
    /// The direction of the frame.
    pub direction: Direction,
    /// The call it belongs to.
    pub call: CallId,
    /// Counts the outputs of the call from 0; 0 for an input.
    pub index: u32,
    /// True for an output that was sent with the service `emit`.
    pub emitted: bool,
    /// The status of the call.
    pub status: Status,
    /// Latency of the call, once it is over.
    pub latency: Option<Duration>,
    /// The statuses that the host calls of its call add.
    pub beside: Statuses,
    /// The frame.
    pub frame: Frame,
}

impl Row {
    /// The kind of the frame.
    pub fn kind(&self) -> Kind {
        self.frame.kind
    }

    /// Bytes of the encoded frame.
    pub fn size(&self) -> u64 {
        glovebox_trace::recorded_len(&self.frame) as u64
    }

    /// The subject for a filter.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            plugin: &self.plugin,
            direction: self.direction,
            call: self.call,
            instance: self.instance,
            generation: self.generation,
            version: self.version.as_deref().unwrap_or_default(),
            time: self.since_start,
            status: Statuses::of(self.status.outcome(), self.beside),
            latency: self.latency,
            ..Subject::of_frame(&self.frame)
        }
    }
}
