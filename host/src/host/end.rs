//! How a host ends: all instances after one another, within a time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::{Host, Inner, POOL};
use crate::guard::caught;
use crate::instance::Instance;
use crate::task::{Lost, Task};

/// The result of shutting a host down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Shutdown {
    /// Instances that ended.
    pub ended: u64,
    /// Frames that were finished meanwhile.
    pub processed: u64,
    /// Frames that were refused because the deadline came first.
    pub refused: u64,
    /// True if nothing was left at the deadline.
    pub in_time: bool,
}

impl Lost for Shutdown {
    fn lost(_: String) -> Shutdown {
        Shutdown::default()
    }
}

impl Host {
    /// Lets all instances finish what waits, takes nothing new meanwhile, and ends them, those that
    /// were loaded last first. At the deadline all work is cancelled, as with
    /// [`cancel_all`](Self::cancel_all), and what is left is refused; plugins still save their state
    /// and clean up, for which [`HostBuilder::end_deadline`](crate::HostBuilder::end_deadline) allows
    /// more time.
    ///
    /// From then on nothing can be loaded, and what is being loaded is refused. The handles stay valid,
    /// and find no instance.
    pub fn shut_down(&self, deadline: Duration) -> Task<Shutdown> {
        let (sender, task) = Task::new();
        let host = self.clone();
        let spawned =
            std::thread::Builder::new().name("glovebox-work".to_owned()).spawn(move || {
                let shutdown = host.drain_all(deadline);
                // A caller that has the result may count on its own handle being the last one.
                drop(host);
                // Nobody may be waiting for it.
                let _ = sender.send(shutdown);
            });
        if let Err(error) = spawned {
            // The task says that it was lost.
            tracing::error!(%error, "no thread to shut down on");
        }
        task
    }

    fn drain_all(&self, deadline: Duration) -> Shutdown {
        // A load that is under way finds out before its instance is listed.
        let rules = self.inner.rules.lock();
        self.inner.closing.store(true, Relaxed);
        drop(rules);
        let instances = self.inner.registry.last_first();
        let processed = |instances: &[Arc<Instance>]| -> u64 {
            instances.iter().map(|instance| instance.processed()).sum()
        };
        let before = processed(&instances);
        for instance in &instances {
            instance.queue.close();
            self.inner.registry.set_needs_instance(instance.id, true);
            instance.begin_draining("the host is shut down");
        }
        let idle = async {
            for instance in &instances {
                instance.queue.wait_idle().await;
            }
        };
        let in_time =
            self.runtime().block_on(async { tokio::time::timeout(deadline, idle).await.is_ok() });
        if !in_time {
            self.cancel_all();
        }
        let mut shutdown = Shutdown { in_time, ..Shutdown::default() };
        for instance in &instances {
            shutdown.refused += self.refuse_rest(instance);
        }
        let patience = self.inner.end_deadline;
        let (host, ending) = (self.clone(), instances.clone());
        shutdown.ended = within(patience, move |ended| {
            for instance in &ending {
                match host.inner.registry.remove(instance.id) {
                    Some(instance) => host.end(&instance),
                    // Somebody else ends it.
                    None => host.runtime().block_on(instance.has_ended()),
                }
                ended();
            }
        });
        shutdown.in_time &= shutdown.ended == instances.len() as u64;
        shutdown.processed = processed(&instances) - before;
        shutdown
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // No handle is left, so no call is under way that an application made. A step in a plugin's
        // life may be, and no code of this process can be stopped that never returns: so this is done
        // on a thread of its own, which is waited for, but not for ever.
        let instances = self.registry.last_first();
        let Some(runtime) = self.runtime.take() else { return };
        let total = instances.len();
        let end = move |ended: &mut dyn FnMut()| {
            end_all(instances, ended);
            runtime.shutdown_background();
        };
        // The last handle may go on a thread of the pool itself, which work that ends may need.
        if std::thread::current().name() == Some(POOL) {
            drop(in_background(end));
            return;
        }
        let ended = within(self.end_deadline, end);
        if ended < total as u64 {
            let deadline = self.end_deadline;
            tracing::error!(ended, total, ?deadline, "plugins do not end, and are left behind");
        }
    }
}

/// Ends instances one after the other.
fn end_all(instances: Vec<Arc<Instance>>, ended: &mut dyn FnMut()) {
    for instance in instances {
        // Hooks and plugins of the application are caught closer to them; this is for our own.
        if let Err(reason) = caught(|| instance.stop()) {
            tracing::error!(plugin = &*instance.plugin, reason, "the end of a plugin panicked");
        }
        ended();
    }
}

/// Does the work on another thread and waits for it for so long; gives how often it said `ended`.
fn within(deadline: Duration, work: impl FnOnce(&mut dyn FnMut()) + Send + 'static) -> u64 {
    let ended = in_background(work);
    // A time that the clock cannot show never comes.
    let until = Instant::now().checked_add(deadline);
    let mut count = 0;
    loop {
        let left = until.map_or(deadline, |until| until.saturating_duration_since(Instant::now()));
        match ended.recv_timeout(left) {
            Ok(()) => count += 1,
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return count,
        }
    }
}

/// Does the work on another thread; the receiver hears of each end, and is disconnected at the last.
fn in_background(work: impl FnOnce(&mut dyn FnMut()) + Send + 'static) -> Receiver<()> {
    let (sender, receiver) = sync_channel(usize::from(u16::MAX));
    let work = move || {
        // Nobody may be waiting any more.
        work(&mut || sender.try_send(()).unwrap_or_default());
    };
    let spawned = std::thread::Builder::new().name("glovebox-end".to_owned()).spawn(work);
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to end plugins on, so they are left behind");
    }
    receiver
}
