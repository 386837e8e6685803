use super::{Message, WireError};

/// The request of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// [`Message::Load`].
    Load,
    /// [`Message::Process`].
    Process,
    /// [`Message::SaveState`].
    SaveState,
    /// [`Message::RestoreState`].
    RestoreState,
    /// [`Message::Health`].
    Health,
    /// [`Message::Cleanup`].
    Cleanup,
}

impl Request {
    fn during(self) -> &'static str {
        match self {
            Request::Load => "waits for `ready` or `load-failed`",
            Request::Process => "waits for `reply` or `failed`",
            Request::SaveState => "waits for `state` or `failed`",
            Request::RestoreState => "waits for `done` or `failed`",
            Request::Health => "waits for `condition`",
            Request::Cleanup => "waits for `done`",
        }
    }

    fn is_answered_by(self, message: &Message) -> bool {
        match self {
            Request::Load => matches!(message, Message::Ready { .. } | Message::LoadFailed { .. }),
            Request::Process => matches!(message, Message::Reply { .. } | Message::Failed { .. }),
            Request::SaveState => matches!(message, Message::State { .. } | Message::Failed { .. }),
            Request::RestoreState => {
                matches!(message, Message::Done { .. } | Message::Failed { .. })
            }
            Request::Health => matches!(message, Message::Condition { .. }),
            Request::Cleanup => matches!(message, Message::Done { .. }),
        }
    }
}

/// The call that a host made and that waits for its answer.
///
/// Every message of the plugin goes through [`check`](Self::check): an answer must be to this call,
/// of a sort that fits it, and come once; a question must be about this call, and wait for the
/// answer to the one before.
#[derive(Debug, Default)]
pub struct OpenCall {
    open: Option<(u64, Request)>,
    next: u64,
    /// True while the plugin waits for an answer of the host.
    asking: bool,
}

impl OpenCall {
    /// No call.
    pub fn new() -> OpenCall {
        OpenCall::default()
    }

    /// Opens a call, and gives its number. One before it is open no more.
    pub fn open(&mut self, request: Request) -> u64 {
        let call = self.next;
        self.next += 1;
        self.open = Some((call, request));
        self.asking = false;
        call
    }

    /// Takes the call back, which could not be sent.
    pub fn withdraw(&mut self) {
        self.open = None;
    }

    /// The number of the call that is open.
    pub fn number(&self) -> Option<u64> {
        self.open.map(|(call, _)| call)
    }

    /// Notes that the question of the plugin was answered.
    pub fn answered(&mut self) {
        self.asking = false;
    }

    /// Checks a message of the plugin against the call, and closes it if this is its answer.
    /// [`Message::Hello`], [`Message::Heartbeat`], [`Message::Bye`] and [`Message::Output`] are
    /// about no call and always fit.
    ///
    /// # Errors
    ///
    /// If the message names a call that is not open, or does not fit it.
    pub fn check(&mut self, message: &Message) -> Result<(), WireError> {
        let Some(call) = message.call() else { return Ok(()) };
        let request = match self.open {
            Some((open, request)) if open == call => request,
            _ => return Err(WireError::UnknownCall { call, open: self.number() }),
        };
        let unexpected = |during| WireError::Unexpected { call, message: message.name(), during };
        if self.asking {
            return Err(unexpected("waits for the answer to its question"));
        }
        if matches!(message, Message::Service { .. }) {
            self.asking = true;
            return Ok(());
        }
        if !request.is_answered_by(message) {
            return Err(unexpected(request.during()));
        }
        self.open = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::wire::ServiceCall;

    #[test]
    fn an_answer_fits_its_call_and_comes_once() {
        /// Opens a load, then a process once that is answered, and says what becomes of these messages.
        fn check(messages: &[Message], expected: &str) {
            let mut call = OpenCall::new();
            assert_eq!(call.open(Request::Load), 0);
            let result = messages.iter().try_for_each(|message| {
                call.check(message)?;
                if call.number().is_none() && message.call() == Some(0) {
                    assert_eq!(call.open(Request::Process), 1);
                }
                Ok::<(), WireError>(())
            });
            let shown = result.map_or_else(|error| error.to_string(), |()| "good".to_owned());
            assert!(shown.contains(expected), "{messages:?}: {shown:?} does not say {expected:?}");
        }
        let ready = Message::Ready { call: 0 };
        let reply = Message::Reply { call: 1, frames: Vec::new() };
        let ask = |call| Message::Service { call, ask: ServiceCall::Now };
        let failed = |call| Message::Failed { call, failure: Failure::invalid("no") };
        check(&[ready.clone(), reply.clone()], "good");
        check(&[Message::Bye { reason: String::new() }], "good");
        check(&[ready.clone(), failed(1)], "good");
        check(&[ask(0)], "good");
        check(std::slice::from_ref(&reply), "call 1 was named, but call 0 is the open one");
        check(&[ready.clone(), ready.clone()], "call 0 was named");
        check(&[ready.clone(), reply.clone(), reply.clone()], "no call is open");
        check(&[failed(0)], "`failed` for call 0, which waits for `ready` or `load-failed`");
        check(&[failed(77)], "call 77 was named");
        check(&[ask(1)], "call 0 is the open one");
        check(&[ask(0), ask(0)], "waits for the answer to its question");
        check(&[ask(0), ready], "waits for the answer to its question");
    }

    #[test]
    fn an_answered_question_lets_the_call_go_on() {
        let mut open = OpenCall::new();
        let call = open.open(Request::Health);
        let ask = Message::Service { call, ask: ServiceCall::Now };
        assert_eq!(open.check(&ask), Ok(()));
        open.answered();
        assert_eq!(open.check(&ask), Ok(()));
        assert_eq!(open.number(), Some(call));
    }

    #[test]
    fn a_call_that_was_taken_back_has_no_answer() {
        let mut open = OpenCall::new();
        let call = open.open(Request::Health);
        open.withdraw();
        let ask = Message::Service { call, ask: ServiceCall::Now };
        assert_eq!(open.check(&ask), Err(WireError::UnknownCall { call, open: None }));
    }
}
