//! Frames of any Rust application in a trace: without a host, and without plugins.
//!
//! A [`Capture`] writes the file on a thread of its own. An [`Endpoint`] is a part of the application
//! that takes frames and answers them; in the trace it stands where a plugin does. An [`Exchange`]
//! is one frame it took, until it is answered.
//!
//! ```
//! use glovebox_abi::Frame;
//! use glovebox_trace::capture::Capture;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("orders.mcap");
//! let capture = Capture::start(&path)?;
//! let orders = capture.endpoint("orders", "1.2.0")?;
//!
//! let exchange = orders.received(Frame::data("one tea, please"));
//! exchange.answered(Frame::data("here you are"));
//! exchange.completed();
//!
//! let status = capture.finish()?;
//! assert_eq!((status.events, status.loss()), (4, None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Memory, back-pressure and what happens when the disk is full are those of a [`Recorder`]. This module deliberately reads
//! no network and knows no protocol: the application says what its frames are.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use glovebox_abi::Frame;
use glovebox_abi::manifest::{Tier, is_kebab_case};
use glovebox_events::{Binding, CallId, Event, Outcome, Sink, Timing, What};

use crate::{PluginRecord, Recorder, RecorderOptions, RecorderStatus, TraceError};

/// Why nothing can be captured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file cannot be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// An endpoint is called what no plugin may be called.
    #[error("`{name}` is no name for an endpoint; use lower-case words joined by `-`")]
    Name {
        /// The name.
        name: String,
    },
}

/// A trace that an application writes about itself.
#[derive(Debug)]
pub struct Capture {
    journal: Arc<Journal>,
    endpoints: AtomicU64,
}

/// Numbers events, as a host would.
#[derive(Debug)]
struct Journal {
    recorder: Recorder,
    sequence: AtomicU64,
    calls: AtomicU64,
}

impl Capture {
    /// Starts writing `<path>.partial`; nothing is overwritten.
    ///
    /// # Errors
    ///
    /// As [`Recorder::start`].
    pub fn start(path: impl AsRef<Path>) -> Result<Capture, CaptureError> {
        Self::start_with(path, &RecorderOptions::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    ///
    /// As [`Recorder::start`].
    pub fn start_with(
        path: impl AsRef<Path>,
        options: &RecorderOptions,
    ) -> Result<Capture, CaptureError> {
        let recorder = Recorder::start(path, options)?;
        let (sequence, calls) = (AtomicU64::new(0), AtomicU64::new(1));
        let journal = Arc::new(Journal { recorder, sequence, calls });
        Ok(Capture { journal, endpoints: AtomicU64::new(0) })
    }

    /// Names a part of the application. `name` is kebab-case; `version` may be anything.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Name`] if the name is not in kebab-case.
    pub fn endpoint(&self, name: &str, version: &str) -> Result<Endpoint, CaptureError> {
        if !is_kebab_case(name) {
            return Err(CaptureError::Name { name: name.to_owned() });
        }
        let endpoint = Endpoint {
            journal: self.journal.clone(),
            name: name.into(),
            number: self.endpoints.fetch_add(1, Ordering::Relaxed),
        };
        self.journal.recorder.describe_plugin(PluginRecord {
            id: name.to_owned(),
            version: version.to_owned(),
            digest: String::new(),
            binding: Some(Binding::Core),
            manifest: None,
            instances: Vec::new(),
        });
        endpoint.record(What::Loaded {
            version: version.to_owned(),
            tier: Tier::Core,
            binding: Binding::Core,
            digest: String::new(),
            took: std::time::Duration::ZERO,
            cached: false,
        });
        Ok(endpoint)
    }

    /// How it is doing; cheap.
    pub fn status(&self) -> RecorderStatus {
        self.journal.recorder.status()
    }

    /// Writes the events that wait, closes the file and gives it its name. Finishing twice is fine;
    /// events that endpoints record after that are counted as dropped. Earlier losses, as on a full
    /// disk, are no error: [`RecorderStatus::loss`] tells them.
    ///
    /// # Errors
    ///
    /// As [`Recorder::finish`].
    pub fn finish(&self) -> Result<RecorderStatus, CaptureError> {
        Ok(self.journal.recorder.finish()?)
    }
}

/// A part of an application, in the place of a plugin. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Endpoint {
    journal: Arc<Journal>,
    name: Arc<str>,
    number: u64,
}

impl Endpoint {
    /// A frame came in. It is recorded before this returns.
    pub fn received(&self, frame: Frame) -> Exchange {
        let call = CallId(self.journal.calls.fetch_add(1, Ordering::Relaxed));
        let exchange = Exchange {
            endpoint: self.clone(),
            call,
            started: Instant::now(),
            bytes_in: frame.encoded_len() as u64,
            frames_out: AtomicU32::new(0),
            bytes_out: AtomicU64::new(0),
            outcome: None,
        };
        self.record(What::FrameIn { call, frame });
        exchange
    }

    fn record(&self, what: What) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.journal.recorder.record(&Event {
            sequence: self.journal.sequence.fetch_add(1, Ordering::Relaxed),
            at: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            plugin: self.name.clone(),
            instance: self.number,
            generation: 1,
            what,
        });
    }
}

/// A frame that came in and what became of it. Dropped without a word, it counts as cancelled.
#[derive(Debug)]
#[must_use = "an exchange that is dropped at once is recorded as cancelled"]
pub struct Exchange {
    endpoint: Endpoint,
    call: CallId,
    started: Instant,
    bytes_in: u64,
    frames_out: AtomicU32,
    bytes_out: AtomicU64,
    outcome: Option<Outcome>,
}

impl Exchange {
    /// Which call it is in the trace.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// A frame went out as an answer, or as a part of it.
    pub fn answered(&self, frame: Frame) {
        let index = self.frames_out.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(frame.encoded_len() as u64, Ordering::Relaxed);
        self.endpoint.record(What::FrameOut { call: self.call, index, emitted: false, frame });
    }

    /// All is done.
    pub fn completed(mut self) {
        self.outcome = Some(Outcome::Completed);
    }

    /// It went wrong. The codes are the application's; the message is for people.
    pub fn failed(mut self, code: u32, message: impl Into<String>) {
        let message = message.into();
        self.outcome = Some(Outcome::Failed { code, message });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let timing = Timing { guest: self.started.elapsed(), ..Timing::default() };
        self.endpoint.record(What::CallEnded {
            call: self.call,
            outcome: self.outcome.take().unwrap_or(Outcome::Cancelled),
            timing,
            bytes_in: self.bytes_in,
            bytes_out: *self.bytes_out.get_mut(),
            frames_out: *self.frames_out.get_mut(),
            memory: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_become_calls() {
        fn check(end: impl FnOnce(Exchange), expected: &str, answers: u32) {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let path = folder.path().join("a.mcap");
            let capture = Capture::start(&path).expect("the folder is empty");
            let endpoint = capture.endpoint("orders", "1.2.0").expect("the name is fine");
            let frame =
                Frame::new(glovebox_abi::Kind::CONTROL, glovebox_abi::Header::empty(), "in");
            end(endpoint.received(frame.clone()));
            let status = capture.finish().expect("there is space");
            assert_eq!((status.events, status.dropped), (3 + u64::from(answers), 0));
            let whole = crate::read(&path).expect("it is a trace");
            let ended = whole.events.last().expect("there are some");
            let What::CallEnded { outcome, bytes_in, frames_out, .. } = &ended.what else {
                panic!("{ended:?}");
            };
            assert_eq!(outcome.to_string(), expected);
            assert_eq!((*bytes_in, *frames_out), (frame.encoded_len() as u64, answers));
            assert_eq!((&*ended.plugin, &*whole.plugins[0].version), ("orders", "1.2.0"));
            let first = &whole.events[1].what;
            assert_eq!(first, &What::FrameIn { call: CallId(1), frame });
        }
        check(Exchange::completed, "completed", 0);
        check(|exchange| exchange.failed(7, "no tea"), "failed: no tea (code 7)", 0);
        check(drop, "cancelled", 0);
        let answer = |exchange: Exchange| {
            exchange.answered(Frame::data("a"));
            exchange.answered(Frame::data("b"));
            exchange.completed();
        };
        check(answer, "completed", 2);
    }

    #[test]
    fn sources_are_named_like_plugins() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let capture = Capture::start(folder.path().join("a.mcap")).expect("the folder is empty");
        let error = capture.endpoint("My Orders", "1").expect_err("it has a space").to_string();
        assert_eq!(
            error,
            "`My Orders` is no name for an endpoint; use lower-case words joined by `-`"
        );
    }
}
