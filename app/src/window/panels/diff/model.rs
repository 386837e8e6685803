//! The state of the diff: listed lines, selection, and decisions.

use std::collections::{BTreeMap, BTreeSet};

use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::{Class, Diff};

use super::choice::Choice;

/// The state of the diff panel.
#[derive(Debug)]
pub(crate) struct State {
    /// Which runs are to be compared, and how.
    pub(crate) choice: Choice,
    /// True if both sides stand beside each other.
    pub(super) split: bool,
    /// The listed lines, the selection and the decisions.
    pub review: Review,
}

impl Default for State {
    fn default() -> Self {
        State { choice: Choice::default(), split: true, review: Review::default() }
    }
}

/// A line of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// A group, by its position in [`Diff::groups`].
    Group(u32),
    /// A call, by its position in [`Diff::entries`].
    Call(usize),
}

/// A review of one diff.
#[derive(Debug, Default)]
pub(crate) struct Review {
    /// Counts diffs, as the workbench does.
    seen: u64,
    hidden: BTreeSet<Class>,
    /// The group whose calls are listed.
    open: Option<u32>,
    lines: Vec<Line>,
    selected: Option<Line>,
    /// The line to scroll to.
    reveal: Option<usize>,
    decisions: BTreeMap<usize, Decision>,
    /// True if a person decided anything.
    is_changed: bool,
}

impl Review {
    /// Starts again if this is another diff. Groups that were `rejected` before are so again, until
    /// a person says otherwise; they are named by position in [`Diff::groups`].
    pub(crate) fn look_at(
        &mut self,
        number: u64,
        diff: &Diff,
        rejected: impl FnOnce() -> Vec<usize>,
    ) {
        if self.seen == number {
            return;
        }
        // Where nothing is different, that is what there is to see.
        let hidden = match diff.counts.different() {
            0 => BTreeSet::new(),
            _ => BTreeSet::from([Class::Same]),
        };
        let wrong = rejected().into_iter().flat_map(|group| diff.members(group as u32));
        let decisions = wrong.map(|at| (at, Decision::Reject)).collect();
        *self = Review { seen: number, hidden, decisions, ..Review::default() };
        self.list(diff);
        self.selected = self.lines.first().copied();
    }

    /// The listed lines.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The selection.
    pub(crate) fn selected(&self) -> Option<Line> {
        self.selected
    }

    /// The line to scroll to, once.
    pub(crate) fn take_reveal(&mut self) -> Option<usize> {
        self.reveal.take()
    }

    /// True if calls of this class are listed.
    pub(crate) fn shows(&self, class: Class) -> bool {
        !self.hidden.contains(&class)
    }

    /// Lists calls of this class, or no longer.
    pub(crate) fn toggle(&mut self, class: Class, diff: &Diff) {
        if !self.hidden.remove(&class) {
            self.hidden.insert(class);
        }
        self.list(diff);
    }

    /// Selects a line; a group that was selected already opens or closes.
    pub(crate) fn select(&mut self, line: Line, diff: &Diff) {
        if let Line::Group(number) = line {
            let again = self.selected == Some(line) && self.open == Some(number);
            self.open = (!again).then_some(number);
            self.list(diff);
        }
        self.selected = Some(line);
    }

    /// Selects the line so many further down, or up.
    pub(crate) fn step(&mut self, by: isize) {
        let position = self.lines.iter().position(|line| Some(*line) == self.selected);
        let last = self.lines.len().saturating_sub(1);
        let next = position.map_or(0, |at| at.saturating_add_signed(by).min(last));
        self.selected = self.lines.get(next).copied();
        self.reveal = Some(next);
    }

    fn list(&mut self, diff: &Diff) {
        self.lines.clear();
        for (number, group) in diff.groups.iter().enumerate() {
            if self.hidden.contains(&group.class) {
                continue;
            }
            let number = number as u32;
            self.lines.push(Line::Group(number));
            if self.open == Some(number) {
                self.lines.extend(diff.members(number).map(Line::Call));
            }
        }
        if self.shows(Class::Same) {
            let all = diff.entries.iter().enumerate();
            let same = all.filter(|(_, entry)| entry.class == Class::Same);
            self.lines.extend(same.map(|(at, _)| Line::Call(at)));
        }
    }

    /// Decides about what is selected, and goes on to what is undecided.
    pub(crate) fn decide(&mut self, decision: Decision, diff: &Diff) {
        let Some(line) = self.selected else {
            return;
        };
        for at in calls_of(line, diff) {
            self.put(at, decision);
        }
        let position = self.lines.iter().position(|known| *known == line).unwrap_or(0);
        let after = self.lines.iter().enumerate().skip(position + 1);
        let before = self.lines.iter().enumerate().take(position);
        let undecided = after
            .chain(before)
            // A skipped one was looked at: the next is what counts.
            .find(|(_, line)| self.is_open(**line, diff) || decision == Decision::Skip);
        if let Some((position, line)) = undecided {
            self.selected = Some(*line);
            self.reveal = Some(position);
        }
    }

    /// Decides about everything that is undecided.
    pub(crate) fn decide_remaining(&mut self, decision: Decision, diff: &Diff) {
        for at in diff.different() {
            if !self.decisions.contains_key(&at) {
                self.put(at, decision);
            }
        }
    }

    fn put(&mut self, at: usize, decision: Decision) {
        self.is_changed = true;
        match decision {
            Decision::Skip => self.decisions.remove(&at),
            decision => self.decisions.insert(at, decision),
        };
    }

    /// True if some of it is undecided.
    fn is_open(&self, line: Line, diff: &Diff) -> bool {
        calls_of(line, diff).any(|at| !self.decisions.contains_key(&at))
    }

    /// The decision about a line; `None` if not all of it is decided, or not in one way.
    pub(crate) fn decision(&self, line: Line, diff: &Diff) -> Option<Decision> {
        if self.decisions.is_empty() {
            return None;
        }
        let mut decisions = calls_of(line, diff).map(|at| self.decisions.get(&at));
        let first = *decisions.next()??;
        decisions.all(|decision| decision == Some(&first)).then_some(first)
    }

    /// Calls about which this was decided.
    pub(crate) fn count(&self, decision: Decision) -> usize {
        self.decisions.values().filter(|known| **known == decision).count()
    }

    /// Calls about which something was decided.
    pub(crate) fn decided(&self) -> usize {
        self.decisions.len()
    }

    /// True if a person decided anything since the diff is shown.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Everything that was decided, by position in [`Diff::entries`].
    pub(crate) fn decisions(&self) -> &BTreeMap<usize, Decision> {
        &self.decisions
    }
}

/// The calls of a line that are different.
fn calls_of(line: Line, diff: &Diff) -> Box<dyn Iterator<Item = usize> + '_> {
    let is_different =
        |at: &usize| diff.entries.get(*at).is_some_and(|entry| entry.class.is_different());
    match line {
        Line::Group(number) => Box::new(diff.members(number).filter(is_different)),
        Line::Call(at) => Box::new(Some(at).filter(is_different).into_iter()),
    }
}

/// The name of a call.
pub(super) fn call_name(diff: &Diff, at: usize) -> String {
    let Some(entry) = diff.entries.get(at) else {
        return String::new();
    };
    let id = match (entry.before, entry.after) {
        (Some(before), _) => diff.before.id(before as usize),
        (None, Some(after)) => diff.after.id(after as usize),
        (None, None) => None,
    };
    let plugin = diff.plugin(entry).map_or("", |plugin| &**plugin);
    id.map_or_else(|| "call".to_owned(), |id| format!("{id} {plugin}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Outcome};
    use glovebox_inspector::diff::{DiffOptions, Run, RunCall, diff};

    use super::*;

    fn run(answers: &[&str]) -> Arc<Run> {
        let calls = answers.iter().enumerate().map(|(number, answer)| RunCall {
            id: CallId(number as u64 + 1),
            plugin: "a".into(),
            input: Frame::data(number.to_string()),
            outputs: vec![Frame::data(answer.as_bytes().to_vec()).into()],
            host_calls: Vec::new(),
            outcome: Some(Outcome::Completed),
            latency: None,
        });
        Arc::new(Run::from_calls("run", calls))
    }

    /// Two groups: three calls that differ in `/payload/*`, one in `/payload/x`; and one same call.
    fn example() -> Diff {
        let before = run(&["[1]", "[2]", r#"{"x":1}"#, "[3]", "same"]);
        let after = run(&["[7]", "[8]", r#"{"x":2}"#, "[9]", "same"]);
        diff(before, after, &DiffOptions::default())
    }

    #[test]
    fn decisions_are_made_by_row_and_by_group() {
        use Decision::{Accept, Reject, Skip};
        /// Each step: what is done, then accepted, rejected and the selected line.
        fn check(steps: &[(&str, usize, usize, Line)]) {
            let diff = example();
            let mut review = Review::default();
            review.look_at(1, &diff, Vec::new);
            assert_eq!(review.lines(), [Line::Group(0), Line::Group(1)]);
            for (step, accepted, rejected, selected) in steps {
                match *step {
                    "a" => review.decide(Accept, &diff),
                    "r" => review.decide(Reject, &diff),
                    "s" => review.decide(Skip, &diff),
                    "A" => review.decide_remaining(Accept, &diff),
                    "R" => review.decide_remaining(Reject, &diff),
                    "S" => review.decide_remaining(Skip, &diff),
                    "n" => review.step(1),
                    "N" => review.step(-1),
                    "open" => review.select(Line::Group(0), &diff),
                    _ => panic!("the test knows no step {step}"),
                }
                let found = (review.count(Accept), review.count(Reject), review.selected());
                assert_eq!(found, (*accepted, *rejected, Some(*selected)), "{step} of {steps:?}");
            }
        }
        use Line::{Call, Group};
        check(&[("a", 3, 0, Group(1)), ("r", 3, 1, Group(1))]);
        check(&[("s", 0, 0, Group(1)), ("A", 4, 0, Group(1))]);
        check(&[("r", 0, 3, Group(1)), ("A", 1, 3, Group(1)), ("S", 1, 3, Group(1))]);
        check(&[("n", 0, 0, Group(1)), ("n", 0, 0, Group(1)), ("N", 0, 0, Group(0))]);
        check(&[
            ("open", 0, 0, Group(0)),
            ("n", 0, 0, Call(0)),
            ("a", 1, 0, Call(1)),
            ("r", 1, 1, Call(3)),
            ("R", 1, 3, Call(3)),
            ("s", 1, 2, Group(1)),
        ]);
    }

    #[test]
    fn lists_show_what_was_asked_for() {
        let diff = example();
        let mut review = Review::default();
        review.look_at(1, &diff, Vec::new);
        review.toggle(Class::Same, &diff);
        assert_eq!(review.lines(), [Line::Group(0), Line::Group(1), Line::Call(4)]);
        review.toggle(Class::Changed, &diff);
        assert_eq!(review.lines(), [Line::Call(4)]);
        // Nothing can be decided about what is the same.
        review.step(0);
        review.decide(Decision::Accept, &diff);
        assert_eq!(review.decided(), 0);
        let same = run(&["x"]);
        review.look_at(
            2,
            &glovebox_inspector::diff::diff(same.clone(), same, &DiffOptions::default()),
            Vec::new,
        );
        assert_eq!(review.lines(), [Line::Call(0)]);
    }
}
