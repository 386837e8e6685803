//! An examination of this machine: what Glovebox needs here, tried, and what helps where it is missing.
//!
//! Read [`Examination`] first. The window and `glovebox doctor` show the same one. Each section has a
//! file, and a function that fills it; nothing here is believed that can be tried.

mod containers;
mod folders;
mod machine;
mod sandbox;
mod tools;

use std::time::Duration;

use super::words::{count, count_of};

/// How long each program that is asked may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The findings about this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Its parts, the most important first.
    pub sections: Vec<Section>,
}

/// Checks that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The name, also in JSON.
    pub name: &'static str,
    /// The meaning of its lines, for people.
    pub about: &'static str,
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The subject.
    pub name: String,
    /// The result.
    pub result: CheckResult,
    /// The attempt and its result, in words.
    pub found: String,
    /// The remedy, something to install or configure; empty if nothing is to be done, or nothing helps.
    pub remedy: String,
    /// True for what Glovebox promises wherever it runs.
    pub is_promised: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// It is there and works.
    Works,
    /// It is not there, or does not work.
    Missing,
    /// Nobody tried: the words say why.
    NotTried,
}

impl CheckResult {
    /// The name for people, and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            CheckResult::Works => "works",
            CheckResult::Missing => "missing",
            CheckResult::NotTried => "not tried",
        }
    }
}

impl Check {
    fn works(name: impl Into<String>, found: impl Into<String>) -> Check {
        Check {
            name: name.into(),
            result: CheckResult::Works,
            found: found.into(),
            remedy: String::new(),
            is_promised: false,
        }
    }

    fn missing(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check { result: CheckResult::Missing, remedy: remedy.into(), ..Check::works(name, found) }
    }

    fn not_tried(name: impl Into<String>, why: impl Into<String>) -> Check {
        Check { result: CheckResult::NotTried, ..Check::works(name, why) }
    }

    fn promised(self) -> Check {
        Check { is_promised: true, ..self }
    }
}

impl Examination {
    /// Examines this machine. Starts processes, writes and removes files, and takes up to a minute;
    /// a second or two as a rule.
    pub fn make() -> Examination {
        let [promises, layers] = sandbox::examine();
        Examination {
            sections: vec![
                promises,
                layers,
                machine::examine(),
                folders::examine(),
                containers::examine(),
                tools::examine(),
            ],
        }
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.sections.iter().flat_map(|section| &section.checks)
    }

    /// True if all that is promised holds here.
    pub fn holds(&self) -> bool {
        self.checks().all(|check| !check.is_promised || check.result == CheckResult::Works)
    }

    /// The findings in one sentence, with counts.
    pub fn sentence(&self) -> String {
        let promised = self.checks().filter(|check| check.is_promised).count();
        let kept =
            self.checks().filter(|check| check.is_promised && check.result == CheckResult::Works);
        let kept = kept.count();
        let promises = match kept == promised {
            true => format!("{} kept here", count_all(promised)),
            false => format!("{kept} of {} kept here", count_of(promised, "promise")),
        };
        let all = count_of(self.checks().count(), "check");
        format!("{promises}; {all} in all: {}", self.counts())
    }

    /// How many checks came out how, in few words.
    pub fn counts(&self) -> String {
        let of = |result| self.checks().filter(|check| check.result == result).count();
        let mut counts = format!("{} good", of(CheckResult::Works));
        for result in [CheckResult::Missing, CheckResult::NotTried] {
            match of(result) {
                0 => {}
                some => counts.push_str(&format!(", {some} {}", result.name())),
            }
        }
        counts
    }
}

fn count_all(promised: usize) -> String {
    match promised {
        1 => "the promise is".to_owned(),
        more => format!("all {} are", count(more as u64, "promise")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_is_counted_and_told() {
        fn check(checks: Vec<Check>, holds: bool, sentence: &str) {
            let section = Section { name: "a", about: "b", checks };
            let examination = Examination { sections: vec![section] };
            assert_eq!((examination.holds(), &*examination.sentence()), (holds, sentence));
        }
        let good = || Check::works("a", "b").promised();
        let bad = || Check::missing("a", "b", "c");
        check(vec![good()], true, "the promise is kept here; 1 check in all: 1 good");
        check(
            vec![good(), good(), bad(), Check::not_tried("a", "b")],
            true,
            "all 2 promises are kept here; 4 checks in all: 2 good, 1 missing, 1 not tried",
        );
        check(
            vec![good(), bad().promised()],
            false,
            "1 of 2 promises kept here; 2 checks in all: 1 good, 1 missing",
        );
        // Nobody knows that it is kept.
        check(
            vec![Check::not_tried("a", "b").promised()],
            false,
            "0 of 1 promise kept here; 1 check in all: 0 good, 1 not tried",
        );
    }
}
