//! The trace that a baseline belongs to.

use std::fmt;
use std::str::FromStr;

use glovebox_events::Event;
use glovebox_trace::TraceError;
use serde::Serialize;

use crate::replay::{Inputs, ReplayInput, ReplayPlan};

/// The trace whose inputs led to an accepted run.
///
/// It is known by the frames that were given to plugins, not by its name: a copy under another name is
/// the same, and so is a trace that was recorded of a replay of all of it. Such a recording names the
/// plugin that ran, whoever the first trace was about, and has the frames that plugins emitted to each
/// other, which come by themselves: neither counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceTrace {
    /// Name for people, e.g. that of the file.
    pub name: String,
    /// Number of its inputs.
    pub inputs: u64,
    /// CRC-32 of the frames of all inputs, in order.
    #[serde(serialize_with = "as_hex")]
    pub digest: u32,
}

fn as_hex<S: serde::Serializer>(digest: &u32, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{digest:08x}"))
}

impl SourceTrace {
    /// The trace with these events.
    pub fn of_events(name: impl Into<String>, events: &[Event]) -> SourceTrace {
        let mut trace = SourceTrace { name: name.into(), ..SourceTrace::default() };
        let plan = ReplayPlan::from_events(events.iter().cloned(), None);
        plan.inputs.iter().for_each(|input| trace.add(input));
        trace
    }

    /// The trace with these inputs, which are all that it has.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn of_inputs(
        name: impl Into<String>,
        inputs: &dyn Inputs,
    ) -> Result<SourceTrace, TraceError> {
        let mut trace = SourceTrace { name: name.into(), ..SourceTrace::default() };
        inputs.each(&mut |input| {
            trace.add(input);
            true
        })?;
        Ok(trace)
    }

    fn add(&mut self, input: &ReplayInput) {
        if input.cause.is_some() {
            return;
        }
        let frame = &input.frame;
        self.inputs += 1;
        let mut digest = crc32fast::Hasher::new_with_initial(self.digest);
        digest.update(&[frame.kind.0]);
        for part in [frame.header.as_bytes(), &frame.payload] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        self.digest = digest.finalize();
    }

    /// True if another trace has the same inputs.
    pub fn has_inputs_of(&self, other: &SourceTrace) -> bool {
        (self.inputs, self.digest) == (other.inputs, other.digest)
    }
}

impl fmt::Display for SourceTrace {
    /// As it stands in a baseline.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.replace(['\n', '\r'], " ");
        write!(out, "{} {:08x} {name}", self.inputs, self.digest)
    }
}

impl FromStr for SourceTrace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<SourceTrace, &'static str> {
        let read = || {
            let (inputs, rest) = text.split_once(' ')?;
            let (digest, name) = rest.split_once(' ').unwrap_or((rest, ""));
            let is_digest = digest.len() == 8 && digest.bytes().all(|c| c.is_ascii_hexdigit());
            let digest = u32::from_str_radix(digest, 16).ok().filter(|_| is_digest)?;
            Some(SourceTrace { name: name.to_owned(), inputs: inputs.parse().ok()?, digest })
        };
        read().ok_or("expected `trace INPUTS DIGEST NAME`, e.g. `trace 1200 3f2a81c0 shop.mcap`")
    }
}
