use std::time::Duration;

use super::ReplayPlan;

/// How fast to replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// One input after the other, without waiting.
    Max,
    /// As it was recorded.
    Original,
    /// So many times as fast as it was recorded; anything but a number above 0 is as `Original`.
    Times(f64),
    /// One input per [`Schedule::step`].
    Step,
}

/// What a [`Schedule`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The input at this position of [`ReplayPlan::inputs`] is due.
    Now(usize),
    /// Nothing is due for so long.
    In(Duration),
    /// Nothing is due before the next [`Schedule::step`].
    OnStep,
    /// Every input was sent.
    Finished,
}

/// Says when each input is due. Pure: the caller tells how much time has passed.
///
/// A selection starts at once: time counts from the first input of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    offsets: Vec<Duration>,
    pace: Pace,
    sent: usize,
    steps: usize,
}

impl Schedule {
    /// A schedule of the inputs of a plan.
    pub fn new(plan: &ReplayPlan, pace: Pace) -> Schedule {
        let start = plan.inputs.first().map_or(Duration::ZERO, |input| input.offset);
        let inputs = plan.inputs.iter();
        Schedule {
            offsets: inputs.map(|input| input.offset.saturating_sub(start)).collect(),
            pace,
            sent: 0,
            steps: 0,
        }
    }

    /// What is due when `elapsed` has passed since the start; an input that is due counts as sent.
    pub fn next(&mut self, elapsed: Duration) -> Due {
        let Some(offset) = self.offsets.get(self.sent) else {
            return Due::Finished;
        };
        let due_at = match self.pace {
            Pace::Max => Duration::ZERO,
            Pace::Original => *offset,
            Pace::Times(factor) => scaled(*offset, factor),
            Pace::Step if self.steps == 0 => return Due::OnStep,
            Pace::Step => {
                self.steps -= 1;
                Duration::ZERO
            }
        };
        match due_at.saturating_sub(elapsed) {
            Duration::ZERO => {
                self.sent += 1;
                Due::Now(self.sent - 1)
            }
            wait => Due::In(wait),
        }
    }

    /// Lets one more input go in [`Pace::Step`].
    pub fn step(&mut self) {
        self.steps += 1;
    }

    /// Changes the pace; what was sent stays sent. The caller starts counting time anew, see
    /// [`elapsed_at`](Self::elapsed_at).
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.steps = 0;
    }

    /// How much time must have passed, at this pace, when the next input is due; so a pause or a
    /// change of pace goes on from there instead of sending everything it missed at once.
    pub fn elapsed_at(&self) -> Duration {
        let last = self.offsets.last().copied().unwrap_or_default();
        let offset = self.offsets.get(self.sent).copied().unwrap_or(last);
        match self.pace {
            Pace::Times(factor) => scaled(offset, factor),
            _ => offset,
        }
    }

    /// Inputs sent, of inputs in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.sent, self.offsets.len())
    }
}

fn scaled(offset: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(offset.as_secs_f64() / factor).unwrap_or(offset)
}
