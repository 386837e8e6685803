//! JUnit XML: a test case per call, so that continuous integration shows which ones failed.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::diff::{Change, Diff, Run};

/// The calls that become the test cases of a suite.
#[derive(Debug, Clone, Copy)]
pub enum Suite<'a> {
    /// A test case fails if its call does not complete.
    Run(&'a Run),
    /// A test case fails if its call differs.
    Diff(&'a Diff),
}

/// The report of these suites, each with its name.
///
/// # Errors
///
/// If the XML cannot be made.
pub fn of(suites: &[(String, Suite<'_>)]) -> Result<String, SerializeError> {
    let suites = suites.iter().map(|(name, suite)| match suite {
        Suite::Run(run) => (name, of_run(run)),
        Suite::Diff(diff) => (name, of_diff(diff)),
    });
    write(suites)
}

fn of_diff(diff: &Diff) -> Vec<TestCase> {
    let cases = diff.entries.iter().enumerate().map(|(at, entry)| {
        let run = if entry.after.is_some() { &diff.after } else { &diff.before };
        let position = entry.after.or(entry.before).unwrap_or(u32::MAX) as usize;
        let status = match entry.class {
            class if !class.is_different() => TestCaseStatus::success(),
            class => {
                let title =
                    diff.group_of(entry).map(|group| format!("{} {}", group.id, group.title()));
                let row = diff.row(at);
                let changes = row.iter().flat_map(|row| &row.changes).map(line);
                let changes = changes.collect::<Vec<_>>().join("\n");
                failure(class.name(), title.unwrap_or_default(), changes)
            }
        };
        case(run, position, status)
    });
    let mut cases: Vec<TestCase> = cases.collect();
    if let Some(factor) = diff.options.slower_factor {
        cases.extend(diff.latency.iter().map(|shift| {
            let is_slower = shift.is_significant() && shift.factor() > factor;
            let status = match is_slower {
                false => TestCaseStatus::success(),
                true => failure("slower", "slower as a whole".to_owned(), shift.sentence()),
            };
            let mut case = TestCase::new("latency", status);
            case.set_classname(shift.plugin.as_str());
            case
        }));
    }
    cases
}

fn of_run(run: &Run) -> Vec<TestCase> {
    let cases = (0..run.len()).map(|at| {
        let status = match run.outcome(at) {
            None => failure("pending", "the call never ended".to_owned(), String::new()),
            Some(outcome) if outcome.is_completed() => TestCaseStatus::success(),
            Some(outcome) => failure(outcome.name(), outcome.to_string(), String::new()),
        };
        case(run, at, status)
    });
    cases.collect()
}

fn case(run: &Run, at: usize, status: TestCaseStatus) -> TestCase {
    let number = run.id(at).map_or_else(String::new, |id| id.to_string());
    let mut case = TestCase::new(format!("call {number}"), status);
    case.set_classname(run.plugin(at).map_or("", |plugin| &**plugin));
    case.set_time(run.latency(at).unwrap_or_default());
    case
}

fn failure(sort: &str, message: String, more: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(sort).set_message(message);
    if !more.is_empty() {
        status.set_description(more);
    }
    status
}

/// A change in one line.
fn line(change: &Change) -> String {
    let output = change.output.map_or_else(String::new, |n| format!("output {n} "));
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    let moved = change.moved_from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    format!("{output}{}{moved}: {} -> {}", change.path, text(&change.before), text(&change.after))
}

fn write<'a>(
    suites: impl Iterator<Item = (&'a String, Vec<TestCase>)>,
) -> Result<String, SerializeError> {
    let mut report = Report::new("glovebox");
    for (name, cases) in suites {
        let mut suite = TestSuite::new(name.as_str());
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    Ok(allowed(&report.to_string()?))
}

/// The same without characters that XML forbids even as references: the writer takes out control
/// characters only (<https://www.w3.org/TR/xml/#charsets>).
fn allowed(xml: &str) -> String {
    let is_allowed = |character: char| match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        character => character >= ' ',
    };
    xml.replace(|character| !is_allowed(character), "\u{FFFD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_has_no_characters_that_it_forbids() {
        let all: String = ('\0'..='\u{10FFFF}').collect();
        let status = failure("a", all.clone(), all.clone());
        let mut case = TestCase::new(all.clone(), status);
        case.set_classname(all.clone());
        let xml = write([(&all, vec![case])].into_iter()).expect("it is a report");
        let is_forbidden = |character: &char| {
            matches!(character, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F')
                || matches!(character, '\u{FFFE}' | '\u{FFFF}')
        };
        assert_eq!(xml.chars().find(is_forbidden), None);
        assert!(xml.contains("\u{FFFD}\u{FFFD}\u{FFFD}\u{10000}"), "they are replaced");
    }
}
