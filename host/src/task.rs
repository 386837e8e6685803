use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use glovebox_events::Outcome;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// Work that goes on elsewhere: await it, [`wait`](Task::wait) for it, or look now and then.
///
/// Dropping it does not stop the work. If the thread that does the work panics, which is a bug of the
/// host or of what the application gave it, the result says so: an error, a call that trapped as
/// `host-panic`, or else what means that nothing was done. A result is given once: whoever waits for one
/// that was taken gets the same sort of answer, which says that.
pub struct Task<T> {
    receiver: oneshot::Receiver<T>,
    /// True once somebody had the result.
    is_taken: bool,
    /// How many answers the result has, for one with several.
    count: usize,
}

/// The result of work whose thread panicked, for those who wait for it.
pub trait Lost {
    /// The result that says so, with what the panic said.
    fn lost(reason: String) -> Self;

    /// The same, of so many answers: as many for a result that has several.
    fn lost_all(reason: String, _count: usize) -> Self
    where
        Self: Sized,
    {
        Self::lost(reason)
    }
}

impl Lost for () {
    fn lost(_: String) {}
}

impl Lost for bool {
    fn lost(_: String) -> bool {
        false
    }
}

impl Lost for usize {
    fn lost(_: String) -> usize {
        0
    }
}

impl<T, E: Lost> Lost for Result<T, E> {
    fn lost(reason: String) -> Self {
        Err(E::lost(reason))
    }
}

impl Lost for Outcome {
    fn lost(message: String) -> Outcome {
        Outcome::Trapped { code: "host-panic".to_owned(), message }
    }
}

impl<T: Lost> Task<T> {
    pub(crate) fn new() -> (oneshot::Sender<T>, Task<T>) {
        Task::of(1)
    }

    /// Work with so many answers.
    pub(crate) fn of(count: usize) -> (oneshot::Sender<T>, Task<T>) {
        let (sender, receiver) = oneshot::channel();
        (sender, Task { receiver, is_taken: false, count })
    }

    /// Blocks until the work is done. Not for asynchronous code, which awaits the task instead.
    ///
    /// # Panics
    ///
    /// If called inside an asynchronous runtime.
    pub fn wait(self) -> T {
        match self.is_taken {
            true => taken(self.count),
            false => self.receiver.blocking_recv().unwrap_or_else(|_| lost(self.count)),
        }
    }

    /// Blocks until the work is done, for at most `patience`; `None` if it is not done then. For
    /// those who show meanwhile how far it is. Not for asynchronous code.
    pub fn wait_for(&mut self, patience: Duration) -> Option<T> {
        // A time that the clock cannot show never comes.
        let until = Instant::now().checked_add(patience);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut *self).poll(&mut context) {
                return Some(result);
            }
            let left =
                until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            std::thread::park_timeout(left);
        }
    }

    /// The result, if the work is done; afterwards `None`.
    pub fn try_take(&mut self) -> Option<T> {
        match self.receiver.try_recv() {
            Ok(result) => {
                self.is_taken = true;
                Some(result)
            }
            // A receiver whose result was taken says the same.
            Err(TryRecvError::Closed) if !self.is_taken => {
                self.is_taken = true;
                Some(lost(self.count))
            }
            Err(_) => None,
        }
    }
}

/// The answer to those who wait for a result that somebody had already.
fn taken<T: Lost>(count: usize) -> T {
    T::lost_all("the result of this work was taken before".to_owned(), count)
}

/// A sender is only ever dropped unused when its thread panics, or when there is none for the work.
fn lost<T: Lost>(count: usize) -> T {
    let reason = "the thread that did this work panicked, or could not be started";
    T::lost_all(reason.to_owned(), count)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T: Lost> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if self.is_taken {
            return Poll::Ready(taken(self.count));
        }
        let polled = Pin::new(&mut self.receiver).poll(context);
        self.is_taken = polled.is_ready();
        polled.map(|result| result.unwrap_or_else(|_| lost(self.count)))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Task").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    #[test]
    fn lost_work_has_as_many_answers_as_were_waited_for() {
        fn check(count: usize, look: fn(Task<Vec<Reply>>) -> Vec<Reply>) {
            let (sender, task) = Task::of(count);
            drop(sender);
            let replies = look(task);
            assert_eq!(replies.len(), count);
            assert!(replies.iter().all(|reply| reply.outcome.name() == "trapped"));
        }
        for count in [0, 1, 3] {
            check(count, Task::wait);
            check(count, |mut task| task.try_take().unwrap());
            check(count, |mut task| task.wait_for(Duration::MAX).unwrap());
        }
    }

    #[test]
    fn whoever_waits_for_a_result_that_was_taken_is_told_so() {
        type Look = fn(&mut Task<Result<u32, Outcome>>) -> Option<Result<u32, Outcome>>;
        let now = |task: &mut Task<_>| task.wait_for(Duration::MAX);
        let awaited = |task: &mut Task<_>| {
            let mut context = Context::from_waker(Waker::noop());
            match Pin::new(task).poll(&mut context) {
                Poll::Ready(result) => Some(result),
                Poll::Pending => None,
            }
        };
        let looks: [Look; 3] = [Task::try_take, now, awaited];
        let is_taken = |result: Result<u32, Outcome>| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("was taken before"), "{error}");
        };
        for first in looks {
            for second in looks {
                let (sender, mut task) = Task::new();
                sender.send(Ok(7)).unwrap();
                assert_eq!(first(&mut task), Some(Ok(7)));
                second(&mut task).into_iter().for_each(is_taken);
                is_taken(task.wait());
            }
        }
    }
}
