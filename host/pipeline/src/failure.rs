use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::{CallId, Outcome};

/// The treatment of a frame whose call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// It is dropped and counted; an error frame takes its place.
    #[default]
    FailClosed,
    /// It is passed on unchanged, as if the stage were not there.
    FailOpen,
    /// It is tried once more after a reload of the plugin; then as with `FailClosed`.
    Reload,
}

impl FailurePolicy {
    /// All policies, the default first.
    pub const ALL: [FailurePolicy; 3] =
        [FailurePolicy::FailClosed, FailurePolicy::FailOpen, FailurePolicy::Reload];

    /// The name in pipelines.
    pub fn name(self) -> &'static str {
        match self {
            FailurePolicy::FailClosed => "fail-closed",
            FailurePolicy::FailOpen => "fail-open",
            FailurePolicy::Reload => "reload",
        }
    }

    /// The policy of this name.
    pub(super) fn from_name(name: &str) -> Option<FailurePolicy> {
        FailurePolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// The frame that stands for one that failed.
pub(super) fn error_frame(
    stage: &str,
    plugin: &str,
    failed: &Frame,
    call: CallId,
    outcome: &Outcome,
) -> Frame {
    let mut header = Header::build();
    // Decoding costs, and most frames have no header.
    if !failed.header.as_bytes().is_empty()
        && let Some(id) = failed.header.get(Header::ID)
    {
        header = header.value(Header::ID, id);
    }
    header = header
        .text(Header::CONTENT_TYPE, "text/plain")
        .text("stage", stage)
        .text("plugin", plugin)
        .text("outcome", outcome.name());
    // Without events calls have no number.
    if call != CallId(0) {
        header = header.integer("call", call.0);
    }
    Frame::new(Kind::ERROR, header.finish(), outcome.to_string())
}
