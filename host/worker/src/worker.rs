use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::wire::{Bounds, Load, Message, OpenCall, PrintedTo, Request, Side, WireError};
use glovebox_abi::{Failure, Frame, Health, ProtocolVersion, Services, State};
use glovebox_sandbox::SandboxReport;

use crate::ended::ProtocolError;
use crate::link::{Broken, Link};
use crate::setup::{self, Entered};
use crate::watched::{Watched, lock};
use crate::{Canceller, Ended, LoadFailure, Meter, Printed, Usage};

/// How long a worker may take to end a call that was cancelled.
const GRACE: Duration = Duration::from_secs(1);

/// One worker, seen by the host: a process in its sandbox, and the conversation with it.
///
/// One thread at a time calls it; a [`Canceller`] reaches it from others. When it is dropped, the
/// worker and all that it started are killed.
#[derive(Debug)]
pub struct Worker {
    watched: Arc<Watched>,
    link: Link,
    call: OpenCall,
    report: SandboxReport,
    bounds: Bounds,
    is_greeted: bool,
    /// The line on which a worker waits for the word to become its program.
    waiting: Option<UnixStream>,
    on_cancel: OnCancel,
}

/// The effect of a cancellation on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCancel {
    /// The worker is asked to end the call, and is killed if it does not do so within a second.
    #[default]
    Ask,
    /// The call goes on for so long at most: with it the plugin ends, and must not lose its state.
    Allow(Duration),
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin says so. It goes on.
    #[error("{0}")]
    Failed(Failure),
    /// The call is longer than the worker accepts, and was not sent.
    #[error("{0}")]
    TooLong(WireError),
    /// The call was cancelled, and the worker gave it up in time.
    #[error("the call was cancelled")]
    Cancelled,
    /// The worker has ended.
    #[error("{0}")]
    Ended(Ended),
}

/// Why a plugin was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The worker says so, and could load another.
    #[error("{0}")]
    Failed(LoadFailure),
    /// The worker did not do it.
    #[error("{0}")]
    Call(CallError),
}

impl From<CallError> for LoadError {
    fn from(error: CallError) -> LoadError {
        LoadError::Call(error)
    }
}

/// A point in time, and how long it was away.
#[derive(Debug, Clone, Copy)]
struct Until {
    at: Instant,
    after: Duration,
}

impl Until {
    fn new(after: Duration) -> Until {
        // A time that cannot be added is for ever.
        let at = Instant::now()
            .checked_add(after)
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(60 * 60 * 24 * 365));
        Until { at, after }
    }
}

impl Worker {
    pub(crate) fn new(
        watched: Arc<Watched>,
        link: Link,
        report: SandboxReport,
        bounds: Bounds,
        waiting: Option<UnixStream>,
    ) -> Worker {
        let (call, on_cancel) = (OpenCall::new(), OnCancel::default());
        let is_greeted = false;
        Worker { watched, link, call, report, bounds, is_greeted, waiting, on_cancel }
    }

    /// Which layers of the sandbox hold. Nothing of a plugin was read yet when this was found out.
    pub fn report(&self) -> &SandboxReport {
        &self.report
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.watched.process
    }

    /// Notes the process of a program that somebody else runs: its usage is then that of the worker.
    pub fn set_program(&self, process: u32) {
        self.watched.set_program(process);
    }

    /// Cancels calls from other threads.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.watched.clone())
    }

    /// Forgets a cancellation that came before, and says what one does from now on. A host that counts
    /// cancellations looks at its count after this: then none is lost.
    pub fn heed(&mut self, on_cancel: OnCancel) {
        self.on_cancel = on_cancel;
        self.watched.forget_cancellation();
    }

    /// Its usage; `None` once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        self.watched.usage()
    }

    /// Reads its usage from other threads.
    pub fn meter(&self) -> Meter {
        Meter(Arc::downgrade(&self.watched))
    }

    /// Its standard output since the last time.
    pub fn take_output(&self) -> Printed {
        lock(&self.watched.printed[0]).take()
    }

    /// Its standard error since the last time.
    pub fn take_errors(&self) -> Printed {
        lock(&self.watched.printed[1]).take()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.watched.ended()
    }

    /// Kills it and all that it started, and waits until it is gone: two seconds at most, if it
    /// waits for a device that does not answer.
    pub fn kill(&self) -> Ended {
        self.watched.end(Ended::Killed);
        self.watched.soon_ended()
    }

    /// Waits until it ends, for as long as it lives.
    pub fn wait(&self) -> Ended {
        self.watched.wait()
    }

    /// Lets a worker become its program, which [`load`](Self::load) does, too, if this was not done before.
    ///
    /// # Errors
    ///
    /// If the program cannot be run, or the worker ends or takes longer.
    pub fn become_program(&mut self, deadline: Duration) -> Result<(), LoadError> {
        self.start_program(Until::new(deadline))
    }

    /// Waits until the other side says hello, which [`load`](Self::load) does, too, if this was not done
    /// before: what somebody else runs is there by then.
    ///
    /// # Errors
    ///
    /// If the worker ends or takes longer.
    pub fn greet(&mut self, deadline: Duration) -> Result<(), CallError> {
        self.greet_until(Until::new(deadline))
    }

    /// Loads and initializes a plugin.
    ///
    /// # Errors
    ///
    /// If the plugin cannot be loaded, or the worker ends or takes longer.
    pub fn load(
        &mut self,
        load: Load,
        services: &mut dyn Services,
        deadline: Duration,
    ) -> Result<(), LoadError> {
        let until = Until::new(deadline);
        self.start_program(until)?;
        self.greet_until(until)?;
        self.begin(Request::Load, |call| Message::Load { call, load }, until)?;
        match self.finish(services, until)? {
            Message::Ready { .. } => Ok(()),
            Message::LoadFailed { stage, failure, .. } => {
                Err(LoadError::Failed(LoadFailure { stage, failure }))
            }
            other => Err(self.impossible(&other).into()),
        }
    }

    /// Gives a frame to the plugin, and waits for its answer.
    ///
    /// # Errors
    ///
    /// If the plugin fails, or the worker ends or takes longer.
    pub fn call(
        &mut self,
        frame: &Frame,
        services: &mut dyn Services,
        deadline: Duration,
    ) -> Result<Vec<Frame>, CallError> {
        let until = Until::new(deadline);
        let frame = frame.clone();
        self.begin(Request::Process, |call| Message::Process { call, frame }, until)?;
        match self.finish(services, until)? {
            Message::Reply { frames, .. } => Ok(frames),
            Message::Failed { failure, .. } => Err(CallError::Failed(failure)),
            other => Err(self.impossible(&other)),
        }
    }

    /// How the plugin is, in its own opinion.
    ///
    /// # Errors
    ///
    /// If the worker ends or takes longer.
    pub fn health(
        &mut self,
        services: &mut dyn Services,
        deadline: Duration,
    ) -> Result<Health, CallError> {
        let until = Until::new(deadline);
        self.begin(Request::Health, |call| Message::Health { call }, until)?;
        match self.finish(services, until)? {
            Message::Condition { health, .. } => Ok(health),
            other => Err(self.impossible(&other)),
        }
    }

    /// The plugin's state, if it has one.
    ///
    /// # Errors
    ///
    /// If the plugin fails, or the worker ends or takes longer.
    pub fn save_state(
        &mut self,
        services: &mut dyn Services,
        deadline: Duration,
    ) -> Result<Option<State>, CallError> {
        let until = Until::new(deadline);
        self.begin(Request::SaveState, |call| Message::SaveState { call }, until)?;
        match self.finish(services, until)? {
            Message::State { state, .. } => Ok(state),
            Message::Failed { failure, .. } => Err(CallError::Failed(failure)),
            other => Err(self.impossible(&other)),
        }
    }

    /// Lets the plugin go on from a state.
    ///
    /// # Errors
    ///
    /// If the plugin fails, or the worker ends or takes longer.
    pub fn restore_state(
        &mut self,
        state: State,
        services: &mut dyn Services,
        deadline: Duration,
    ) -> Result<(), CallError> {
        let until = Until::new(deadline);
        self.begin(Request::RestoreState, |call| Message::RestoreState { call, state }, until)?;
        match self.finish(services, until)? {
            Message::Done { .. } => Ok(()),
            Message::Failed { failure, .. } => Err(CallError::Failed(failure)),
            other => Err(self.impossible(&other)),
        }
    }

    /// Lets the plugin clean up, and the worker end.
    ///
    /// # Errors
    ///
    /// If the worker ends in any other way than with code 0, or takes longer.
    pub fn cleanup(
        &mut self,
        services: &mut dyn Services,
        deadline: Duration,
    ) -> Result<(), CallError> {
        let until = Until::new(deadline);
        self.begin(Request::Cleanup, |call| Message::Cleanup { call }, until)?;
        match self.finish(services, until)? {
            Message::Done { .. } => {}
            other => return Err(self.impossible(&other)),
        }
        let bye = Message::Bye { reason: "cleaned up".to_owned() };
        self.say(&bye, until)?;
        self.link.close();
        // Nothing more comes: this returns when it has ended.
        loop {
            let Worker { watched, link, .. } = self;
            match link.receive(Some(until.at), &|| watched.interrupt_by_end()) {
                Err(Broken::Gone) => {
                    return match self.watched.soon_ended() {
                        Ended::Exited { code: 0 } => Ok(()),
                        ended => Err(CallError::Ended(ended)),
                    };
                }
                Err(broken) => return Err(self.broken(broken, until)),
                Ok(message) => self.about_no_call(message)?,
            }
            // One that prints without end gets no further than this.
            if Instant::now() >= until.at {
                return Err(self.broken(Broken::Late, until));
            }
        }
    }

    /// Lets a worker become its program.
    fn start_program(&mut self, until: Until) -> Result<(), LoadError> {
        let Some(mut line) = self.waiting.take() else { return Ok(()) };
        let left = until.at.saturating_duration_since(Instant::now());
        // Zero would be for ever.
        let told = line
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .and_then(|()| line.write_all(&[1]))
            .and_then(|()| setup::receive(&line));
        match told {
            Ok(Entered::Not(reason)) => {
                let failure = Failure::new(Failure::UNSUPPORTED, reason);
                Err(LoadError::Failed(LoadFailure::new("start", failure)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(self.broken(Broken::Late, until).into())
            }
            // The line ends when the program runs, or with the worker, which the next call finds.
            Ok(Entered::In(_)) | Err(_) => Ok(()),
        }
    }

    /// Says hello, and hears it.
    fn greet_until(&mut self, until: Until) -> Result<(), CallError> {
        if self.is_greeted {
            return Ok(());
        }
        let longest = self.bounds.body;
        let name = "glovebox".to_owned();
        let protocol = ProtocolVersion::CURRENT;
        self.say(&Message::Hello { protocol, longest, name }, until)?;
        match self.hear(until)? {
            Message::Hello { protocol: theirs, longest, .. } if protocol == theirs => {
                self.link.set_longest(longest);
                self.is_greeted = true;
                Ok(())
            }
            Message::Hello { protocol: found, .. } => {
                Err(self.broken(Broken::Wire(WireError::Contract { found }), until))
            }
            other => Err(self.impossible(&other)),
        }
    }

    /// Opens a call and sends it.
    fn begin(
        &mut self,
        request: Request,
        message: impl FnOnce(u64) -> Message,
        until: Until,
    ) -> Result<(), CallError> {
        if self.watched.is_ending() {
            // An answer to an earlier call may still lie there, and is not to this one.
            return Err(CallError::Ended(self.watched.soon_ended()));
        }
        let call = self.call.open(request);
        self.link.asks(request);
        self.say(&message(call), until).inspect_err(|_| self.call.withdraw())
    }

    /// Sends a message.
    fn say(&mut self, message: &Message, until: Until) -> Result<(), CallError> {
        let Worker { watched, link, .. } = self;
        let sent = link.send(message, Some(until.at), &|| watched.interrupt_by_end());
        sent.map_err(|broken| match broken {
            Broken::Wire(error) => CallError::TooLong(error),
            broken => self.broken(broken, until),
        })
    }

    /// Hears the next message.
    fn hear(&mut self, until: Until) -> Result<Message, CallError> {
        let Worker { watched, link, .. } = self;
        let heard = link.receive(Some(until.at), &|| watched.interrupt_by_end());
        heard.map_err(|broken| self.broken(broken, until))
    }

    /// Answers questions until the call has its answer.
    fn finish(
        &mut self,
        services: &mut dyn Services,
        mut until: Until,
    ) -> Result<Message, CallError> {
        let mut is_cancelled = false;
        loop {
            let Worker { watched, link, .. } = self;
            if !is_cancelled && matches!(watched.interrupt(), Some(Broken::Cancelled)) {
                is_cancelled = true;
                if let OnCancel::Allow(time) = self.on_cancel {
                    until.at = until.at.min(Instant::now() + time);
                    continue;
                }
                until.at = until.at.min(Instant::now() + GRACE);
                if let Some(call) = self.call.number() {
                    let told = lock(&watched.control).as_mut().map(|it| it.cancel(call));
                    if told.is_none() {
                        // A program that does not hear it is killed soon.
                        let message = Message::Cancel { call };
                        let _ = link.send(&message, Some(until.at), &|| watched.interrupt_by_end());
                    }
                }
            }
            let interrupt =
                || if is_cancelled { watched.interrupt_by_end() } else { watched.interrupt() };
            let message = match link.receive(Some(until.at), &interrupt) {
                Ok(message) => message,
                Err(Broken::Cancelled) => continue,
                Err(Broken::Late) if is_cancelled => {
                    watched.end(Ended::Cancelled);
                    return Err(CallError::Ended(watched.soon_ended()));
                }
                Err(broken) => return Err(self.broken(broken, until)),
            };
            if message.call().is_none() {
                self.about_no_call(message)?;
            } else if let Err(error) = self.call.check(&message) {
                return Err(self.broken(Broken::Wire(error), until));
            } else if let Message::Service { call, ask } = message {
                let result = ask.serve(services);
                self.call.answered();
                match self.say(&Message::Answer { call, result }, until) {
                    Err(CallError::TooLong(_)) => {
                        let result = Err(glovebox_abi::ServiceError::LimitExceeded);
                        self.say(&Message::Answer { call, result }, until)?;
                    }
                    said => said?,
                }
            } else {
                if is_cancelled {
                    // It was about this call alone.
                    self.watched.forget_cancellation();
                    if self.on_cancel == OnCancel::Ask && matches!(message, Message::Failed { .. })
                    {
                        return Err(CallError::Cancelled);
                    }
                }
                return Ok(message);
            }
            // One that asks or prints without end gets no further than this.
            if Instant::now() >= until.at {
                let late = if is_cancelled { Ended::Cancelled } else { late(until) };
                self.watched.end(late);
                return Err(CallError::Ended(self.watched.soon_ended()));
            }
        }
    }

    /// A message that is about no call.
    fn about_no_call(&mut self, message: Message) -> Result<(), CallError> {
        match message {
            Message::Output { to, bytes } => {
                let place = match to {
                    PrintedTo::Output => 0,
                    PrintedTo::Error => 1,
                };
                lock(&self.watched.printed[place]).add(&bytes);
                Ok(())
            }
            Message::Bye { .. } => Ok(()),
            other => Err(self.impossible(&other)),
        }
    }

    /// A message that nobody waits for breaks the conversation.
    fn impossible(&mut self, message: &Message) -> CallError {
        let error = match message.call() {
            Some(call) => WireError::UnknownCall { call, open: self.call.number() },
            None => WireError::Direction { from: Side::Plugin, message: message.name() },
        };
        self.watched.end(Ended::Protocol(ProtocolError::Message(error)));
        CallError::Ended(self.watched.soon_ended())
    }

    /// Ends the worker for what broke the conversation, and says how it ended.
    fn broken(&self, broken: Broken, until: Until) -> CallError {
        let cause = match broken {
            Broken::Wire(error) => Ended::Protocol(ProtocolError::Message(error)),
            Broken::Position(bad) => {
                Ended::Protocol(ProtocolError::Position { own: bad.own, other: bad.other })
            }
            Broken::Late => match self.link.stray_text() {
                Some(text) => Ended::Protocol(ProtocolError::Message(text)),
                None => late(until),
            },
            Broken::Cancelled => Ended::Cancelled,
            // It has a cause of its own already.
            Broken::Gone => Ended::Killed,
        };
        self.watched.end(cause);
        CallError::Ended(self.watched.soon_ended())
    }
}

fn late(until: Until) -> Ended {
    Ended::Deadline { after: until.after }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.watched.end(Ended::Killed);
    }
}
