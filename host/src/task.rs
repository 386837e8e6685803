use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Work that goes on elsewhere: await it, [`wait`](Task::wait) for it, or look now and then.
///
/// Dropping it does not stop the work.
pub struct Task<T> {
    receiver: oneshot::Receiver<T>,
}

impl<T> Task<T> {
    pub(crate) fn new() -> (oneshot::Sender<T>, Task<T>) {
        let (sender, receiver) = oneshot::channel();
        (sender, Task { receiver })
    }

    /// Blocks until the work is done. Not for asynchronous code, which awaits the task instead.
    ///
    /// # Panics
    ///
    /// If the thread that did the work panicked, or if called inside an asynchronous runtime.
    pub fn wait(self) -> T {
        self.receiver.blocking_recv().unwrap_or_else(|_| worker_died())
    }

    /// Blocks until the work is done, for at most `patience`; `None` if it is not done then. For
    /// those who show meanwhile how far it is. Not for asynchronous code.
    ///
    /// # Panics
    ///
    /// If the thread that did the work panicked.
    pub fn wait_for(&mut self, patience: Duration) -> Option<T> {
        let until = Instant::now() + patience;
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut *self).poll(&mut context) {
                return Some(result);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            std::thread::park_timeout(left);
        }
    }

    /// The result, if the work is done; afterwards `None`.
    pub fn try_take(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

// A sender is only ever dropped unused when its thread panics, which is our bug and not data.
fn worker_died() -> ! {
    panic!("the thread that did this work panicked")
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.receiver)
            .poll(context)
            .map(|result| result.unwrap_or_else(|_| worker_died()))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Task").finish_non_exhaustive()
    }
}
