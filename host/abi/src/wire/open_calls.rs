use std::collections::VecDeque;

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

/// The calls that a host made and that wait for their answers, in order.
///
/// Every message of the plugin goes through [`check`](Self::check): an answer must be to the oldest
/// call, of a sort that fits it, and come once; a question must be about the oldest call, and wait
/// for the answer to the one before.
#[derive(Debug, Default)]
pub struct OpenCalls {
    calls: VecDeque<(u64, Request)>,
    next: u64,
    /// True while the plugin waits for an answer of the host.
    asking: bool,
}

impl OpenCalls {
    /// No calls.
    pub fn new() -> OpenCalls {
        OpenCalls::default()
    }

    /// Opens a call, and names it.
    pub fn open(&mut self, request: Request) -> u64 {
        let call = self.next;
        self.next += 1;
        self.calls.push_back((call, request));
        call
    }

    /// Takes back the newest call, which could not be sent.
    pub fn withdraw(&mut self, call: u64) {
        if self.calls.back().is_some_and(|(newest, _)| *newest == call) {
            self.calls.pop_back();
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// True if none is open.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The call whose turn it is.
    pub fn oldest(&self) -> Option<u64> {
        self.calls.front().map(|(call, _)| *call)
    }

    /// Notes that the question of the oldest call was answered.
    pub fn answered(&mut self) {
        self.asking = false;
    }

    /// Checks a message of the plugin against the calls, and closes the one that it answers.
    /// [`Message::Hello`], [`Message::Heartbeat`], [`Message::Bye`] and [`Message::Output`] are
    /// about no call and always fit.
    ///
    /// # Errors
    ///
    /// If the message names no open call, or one whose turn it is not, or does not fit it.
    pub fn check(&mut self, message: &Message) -> Result<(), WireError> {
        let Some(call) = message.call() else { return Ok(()) };
        let request = match self.calls.front() {
            Some((oldest, request)) if *oldest == call => *request,
            _ => return Err(WireError::UnknownCall { call, turn: self.oldest() }),
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
        self.calls.pop_front();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::wire::ServiceCall;

    #[test]
    fn answers_fit_the_oldest_call_once() {
        /// Opens a load and a process, and says what becomes of these messages.
        fn check(messages: &[Message], expected: &str) {
            let mut calls = OpenCalls::new();
            assert_eq!((calls.open(Request::Load), calls.open(Request::Process)), (0, 1));
            let result = messages.iter().try_for_each(|message| calls.check(message));
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
        check(std::slice::from_ref(&reply), "call 1 was named, but it is the turn of call 0");
        check(&[ready.clone(), ready.clone()], "call 0 was named");
        check(&[ready.clone(), reply.clone(), reply.clone()], "no call is open");
        check(&[failed(0)], "`failed` for call 0, which waits for `ready` or `load-failed`");
        check(&[failed(77)], "call 77 was named");
        check(&[ask(1)], "turn of call 0");
        check(&[ask(0), ask(0)], "waits for the answer to its question");
        check(&[ask(0), ready], "waits for the answer to its question");
    }

    #[test]
    fn an_answered_question_lets_the_call_go_on() {
        let mut calls = OpenCalls::new();
        let call = calls.open(Request::Health);
        let ask = Message::Service { call, ask: ServiceCall::Now };
        assert_eq!(calls.check(&ask), Ok(()));
        calls.answered();
        assert_eq!(calls.check(&ask), Ok(()));
        assert_eq!(calls.len(), 1);
    }
}
