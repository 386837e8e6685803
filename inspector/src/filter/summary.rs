use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::expression::{Condition, Expression, NameTest, NumberField, Root};
use super::{Filter, Subject, nanoseconds};
use glovebox_trace::index::HeaderValues;
use glovebox_trace::{Directions, Kinds, Numbers, Statuses};

/// Plugins that are listed one by one; a chunk with more may hold any.
const MAX_PLUGINS: usize = 256;

/// The common properties of the frames of a chunk, small enough to be kept for every chunk of a
/// trace.
///
/// [`Filter::may_match`] tells by it alone that no frame of a chunk can match, so that the chunk
/// need not be read. The default is the summary of no frames, which nothing matches.
///
/// ```
/// use glovebox_inspector::filter::{ChunkSummary, Filter};
///
/// let mut summary = ChunkSummary::default();
/// summary.sizes.grow(64);
/// summary.latencies.grow(90_000);
/// assert!(Filter::parse("latency<5ms")?.may_match(&summary));
/// assert!(!Filter::parse("latency>5ms")?.may_match(&summary));
/// # Ok::<(), glovebox_inspector::filter::FilterError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSummary {
    /// When its frames were seen, in nanoseconds since the first event of the trace.
    pub times: Numbers,
    /// Ids of its plugins; `None` if there are too many to list.
    pub plugins: Option<BTreeSet<String>>,
    /// Kinds of its frames.
    pub kinds: Kinds,
    /// Ways its frames went.
    pub directions: Directions,
    /// Where the calls of its frames stand in the end, `denied` and `injected` included.
    pub statuses: Statuses,
    /// Bytes of its encoded frames.
    pub sizes: Numbers,
    /// Latencies of those of its calls that ended, in nanoseconds; empty if none did.
    pub latencies: Numbers,
    /// Numbers of its calls.
    pub calls: Numbers,
    /// Values in the headers of its frames, as far as they are known.
    pub header_values: HeaderValues,
}

impl ChunkSummary {
    /// Takes in a frame.
    ///
    /// Status and latency must be those the frame has in the end: the end of its call may stand in
    /// a later chunk. If they are not known when the summary is written, call
    /// [`forget_ends`](Self::forget_ends).
    pub fn add(&mut self, subject: &Subject<'_>) {
        self.times.grow(nanoseconds(subject.time));
        if let Some(plugins) = &mut self.plugins
            && !plugins.contains(subject.plugin)
        {
            if plugins.len() < MAX_PLUGINS {
                plugins.insert(subject.plugin.to_owned());
            } else {
                self.plugins = None;
            }
        }
        self.kinds.insert(subject.kind);
        self.directions = self.directions.with(Directions::of(subject.direction));
        self.statuses = self.statuses.with(subject.status);
        self.sizes.grow(subject.size());
        if let Some(latency) = subject.latency {
            self.latencies.grow(nanoseconds(latency));
        }
        self.calls.grow(subject.call.0);
    }

    /// Says that the calls of its frames may have ended in any way.
    pub fn forget_ends(&mut self) {
        self.statuses = Statuses::ALL;
        self.latencies = Numbers::ALL;
    }
}

impl Default for ChunkSummary {
    fn default() -> Self {
        ChunkSummary {
            times: Numbers::NONE,
            plugins: Some(BTreeSet::new()),
            kinds: Kinds::default(),
            directions: Directions::default(),
            statuses: Statuses::NONE,
            sizes: Numbers::NONE,
            latencies: Numbers::NONE,
            calls: Numbers::NONE,
            header_values: HeaderValues::default(),
        }
    }
}

impl Filter {
    /// False if no frame of the chunk can match; true says nothing.
    pub fn may_match(&self, summary: &ChunkSummary) -> bool {
        let has_frames = !summary.sizes.is_empty();
        has_frames && possible(&self.0, summary).yes
    }
}

/// The possible results of an expression for the frames of a chunk. `not` needs both.
struct Possible {
    /// Some frame may fulfil it.
    yes: bool,
    /// Some frame may not.
    no: bool,
}

impl Possible {
    const ANYTHING: Possible = Possible { yes: true, no: true };
}

fn possible(expression: &Expression, summary: &ChunkSummary) -> Possible {
    let each = |parts: &[Expression]| -> Vec<Possible> {
        parts.iter().map(|part| possible(part, summary)).collect()
    };
    match expression {
        Expression::All(parts) => {
            let parts = each(parts);
            Possible {
                yes: parts.iter().all(|part| part.yes),
                no: parts.iter().any(|part| part.no),
            }
        }
        Expression::Any(parts) => {
            let parts = each(parts);
            Possible {
                yes: parts.iter().any(|part| part.yes),
                no: parts.iter().all(|part| part.no),
            }
        }
        Expression::Not(part) => {
            let Possible { yes, no } = possible(part, summary);
            Possible { yes: no, no: yes }
        }
        Expression::Condition(condition) => of_condition(condition, summary),
    }
}

fn of_condition(condition: &Condition, summary: &ChunkSummary) -> Possible {
    match condition {
        Condition::Plugin(test) => of_plugins(test, summary),
        Condition::Kind(wanted) => Possible {
            yes: summary.kinds.iter().any(|kind| wanted.contains(kind)),
            no: summary.kinds.iter().any(|kind| !wanted.contains(kind)),
        },
        Condition::Direction(wanted) => Possible {
            yes: wanted.overlaps(summary.directions),
            no: !wanted.holds(summary.directions),
        },
        // A call stands in one way, so all of them must be wanted for every frame to match;
        // `denied` and `injected` are beside it and may be missing.
        Condition::Status(wanted) => Possible {
            yes: wanted.overlaps(summary.statuses),
            no: !wanted.holds(summary.statuses.of_calls()),
        },
        Condition::Number(field, spans) => {
            let found = match field {
                NumberField::Time => summary.times,
                NumberField::Size => summary.sizes,
                NumberField::Call => summary.calls,
                NumberField::Instance | NumberField::Generation => Numbers::ALL,
                // A call that runs has none and fulfils nothing.
                NumberField::Latency => {
                    let yes = spans.iter().any(|span| span.overlaps(summary.latencies));
                    return Possible { yes, no: true };
                }
            };
            Possible {
                yes: spans.iter().any(|span| span.overlaps(found)),
                no: !spans.iter().any(|span| span.holds(found)),
            }
        }
        Condition::Value(Root::Header, path, test) => Possible {
            yes: test.wanted().is_none_or(|wanted| {
                let steps = path.0.iter().map(|step| &*step.name);
                summary.header_values.may_hold(steps, &wanted)
            }),
            no: true,
        },
        Condition::Version(_) | Condition::Value(..) | Condition::Search(..) => Possible::ANYTHING,
    }
}

fn of_plugins(test: &NameTest, summary: &ChunkSummary) -> Possible {
    let Some(plugins) = &summary.plugins else {
        return Possible::ANYTHING;
    };
    Possible {
        yes: plugins.iter().any(|plugin| test.holds(plugin)),
        no: plugins.iter().any(|plugin| !test.holds(plugin)),
    }
}
