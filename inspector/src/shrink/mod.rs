//! Makes a failing replay small: fewer inputs first, then less in them.
//!
//! [`shrink`] is told how to find out whether some inputs still fail, and tries until nothing can
//! be left out or the budget is used up. It is delta debugging (Zeller and Hildebrandt 2002): halves
//! are left out first, then quarters, down to single inputs; then the same inside each payload, along
//! the structure of JSON and CBOR, and along the bytes of anything else.
//!
//! ```
//! use std::time::Duration;
//! use glovebox_abi::Frame;
//! use glovebox_events::CallId;
//! use glovebox_inspector::replay::ReplayInput;
//! use glovebox_inspector::shrink::{Effort, shrink};
//!
//! let inputs: Vec<ReplayInput> = (0..100u64)
//!     .map(|number| ReplayInput {
//!         frame: Frame::data(format!("a long text about {number}")),
//!         plugin: "redact".into(),
//!         offset: Duration::ZERO,
//!         cause: None,
//!         call: CallId(number + 1),
//!     })
//!     .collect();
//! let mut fails = |inputs: &[ReplayInput]| -> Result<bool, std::io::Error> {
//!     Ok(inputs.iter().any(|input| input.frame.payload.windows(2).any(|at| at == b"77")))
//! };
//! let effort = Effort { budget: Duration::from_secs(60), payloads: true };
//! let shrunk = shrink(&inputs, effort, &mut fails, &mut |_| {})?.expect("all of it fails");
//! assert_eq!(shrunk.inputs.len(), 1);
//! assert_eq!(&shrunk.inputs[0].frame.payload[..], b"77");
//! assert!(shrunk.complete);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! This module deliberately runs nothing, and does not know what failing means.

mod payload;

use std::time::{Duration, Instant};

use crate::replay::ReplayInput;

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// No attempt starts after so long.
    pub budget: Duration,
    /// Whether payloads and headers are made smaller too.
    pub payloads: bool,
}

/// The parts that are being left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Whole inputs.
    Frames,
    /// Parts of inputs.
    Payloads,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The parts that are being left out.
    pub stage: Stage,
    /// Attempts so far.
    pub attempts: usize,
    /// Inputs of the smallest that fails.
    pub frames: usize,
    /// Their headers and payloads, in bytes.
    pub bytes: usize,
}

/// The smallest that was found.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The inputs that still fail.
    pub inputs: Vec<ReplayInput>,
    /// How often it was tried whether something fails.
    pub attempts: usize,
    /// True if nothing more can be left out; false if the budget was used up before.
    pub complete: bool,
}

/// Finds a small part of `inputs` that still fails; `None` if all of them together do not.
///
/// Every part is tried from its first input on, so `fails` must not remember what was tried before.
///
/// # Errors
///
/// The first of `fails`.
pub fn shrink<E>(
    inputs: &[ReplayInput],
    effort: Effort,
    fails: &mut dyn FnMut(&[ReplayInput]) -> Result<bool, E>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Shrunk>, E> {
    if !fails(inputs)? {
        return Ok(None);
    }
    let mut search = Search {
        fails,
        progress,
        best: inputs.to_vec(),
        attempts: 1,
        stage: Stage::Frames,
        // A budget beyond all times is none.
        end: Instant::now().checked_add(effort.budget),
    };
    let complete = match search.run(effort.payloads) {
        Ok(()) => true,
        Err(Stop::Budget) => false,
        Err(Stop::Failed(error)) => return Err(error),
    };
    Ok(Some(Shrunk { inputs: search.best, attempts: search.attempts, complete }))
}

/// Why the search ends early.
enum Stop<E> {
    Budget,
    Failed(E),
}

struct Search<'a, E> {
    fails: &'a mut dyn FnMut(&[ReplayInput]) -> Result<bool, E>,
    progress: &'a mut dyn FnMut(Progress),
    best: Vec<ReplayInput>,
    attempts: usize,
    stage: Stage,
    end: Option<Instant>,
}

impl<E> Search<'_, E> {
    fn run(&mut self, payloads: bool) -> Result<(), Stop<E>> {
        loop {
            self.stage = Stage::Frames;
            self.frames()?;
            if !payloads {
                return Ok(());
            }
            self.stage = Stage::Payloads;
            let before = self.size();
            self.payloads()?;
            // A smaller payload can make another input superfluous.
            if self.size() == before || self.best.len() <= 1 {
                return Ok(());
            }
        }
    }

    fn frames(&mut self) -> Result<(), Stop<E>> {
        let all = self.best.clone();
        minimize(all, &mut |inputs: &[ReplayInput]| self.attempt(inputs.to_vec()))?;
        Ok(())
    }

    fn payloads(&mut self) -> Result<(), Stop<E>> {
        for at in 0..self.best.len() {
            let frame = self.best[at].frame.clone();
            payload::minimize_frame(&frame, &mut |frame| {
                let mut inputs = self.best.clone();
                inputs[at].frame = frame;
                self.attempt(inputs)
            })?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.best.iter().map(|input| input.frame.size()).sum()
    }

    /// Tries, and keeps what fails.
    fn attempt(&mut self, inputs: Vec<ReplayInput>) -> Result<bool, Stop<E>> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(Stop::Budget);
        }
        self.attempts += 1;
        let fails = (self.fails)(&inputs).map_err(Stop::Failed)?;
        if fails {
            self.best = inputs;
        }
        let (frames, bytes) = (self.best.len(), self.size());
        (self.progress)(Progress { stage: self.stage, attempts: self.attempts, frames, bytes });
        Ok(fails)
    }
}

/// The smallest part of `items` that still fails and from which no single item can be left out;
/// `fails` is true for all of them together.
fn minimize<T: Clone, E>(
    mut items: Vec<T>,
    fails: &mut dyn FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    if items.is_empty() || fails(&[])? {
        return Ok(Vec::new());
    }
    let mut parts = 2;
    while items.len() > 1 {
        let size = items.len().div_ceil(parts);
        let mut start = 0;
        let mut found = false;
        // From the end on: what fails late rarely needs all that came before.
        while start < items.len() {
            let end = items.len() - start;
            let range = end.saturating_sub(size)..end;
            let mut rest = items.clone();
            rest.drain(range.clone());
            if !rest.is_empty() && fails(&rest)? {
                items = rest;
                found = true;
            } else {
                start += range.len();
            }
        }
        if size == 1 && !found {
            break;
        }
        parts = if size == 1 { items.len() } else { (parts * 2).min(items.len()) };
        parts = parts.max(2);
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
