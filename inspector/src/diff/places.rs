//! Whether rules are about anything that two runs have.

use super::compare::asked;
use super::path::children;
use super::{DiffOptions, PathPattern, Run, RunCall};
use crate::decode::document::{Document, Item, Sort};
use crate::decode::{self, PayloadFormat};
use glovebox_abi::Frame;

/// The places that every call has.
const EVERYWHERE: [&str; 7] =
    ["/outcome", "/order", "/latency", "/output", "/emitted", "/kind", "/input/kind"];

/// The rules with a path that leads to nothing in any of the runs, as a baseline writes them: `ignore
/// /payload/a`, and then `tolerance /payload/b=0.1`. A rule about numbers has to lead to one.
pub fn rules_about_nothing(options: &DiffOptions, runs: &[&Run]) -> Vec<String> {
    let ignored = options.ignore.iter().map(|pattern| Rule {
        pattern,
        written: format!("ignore {}", pattern.as_str()),
        of_numbers: false,
    });
    let tolerated = options.tolerances.iter().filter_map(|tolerance| {
        let pattern = tolerance.pattern.as_ref()?;
        Some(Rule { pattern, written: format!("tolerance {tolerance}"), of_numbers: true })
    });
    let mut places = Places { idle: ignored.chain(tolerated).collect() };
    for call in runs.iter().flat_map(|run| run.iter()) {
        if places.idle.is_empty() {
            break;
        }
        places.call(&call);
    }
    places.idle.into_iter().map(|rule| rule.written).collect()
}

struct Rule<'r> {
    pattern: &'r PathPattern,
    written: String,
    of_numbers: bool,
}

/// Rules that were about nothing yet.
struct Places<'r> {
    idle: Vec<Rule<'r>>,
}

impl Places<'_> {
    fn call(&mut self, call: &RunCall) {
        EVERYWHERE.iter().for_each(|path| self.seen(path, false));
        self.frame("/input", &call.input);
        call.outputs.iter().for_each(|output| self.frame("", &output.frame));
        for (at, host_call) in call.host_calls.iter().enumerate() {
            let bytes = asked(host_call);
            let place = format!("/host/{at}/{}", host_call.service);
            self.seen(&place, false);
            if let Ok(document) = Document::cbor(&bytes) {
                self.document(&place, &document);
            }
        }
    }

    fn frame(&mut self, path: &str, frame: &Frame) {
        if let Some(header) = decode::header_document(&frame.header) {
            self.document(&format!("{path}/header"), &header);
        }
        let place = format!("{path}/payload");
        self.seen(&place, false);
        match decode::payload_document(frame) {
            Some(document) => {
                self.seen(&format!("{place}/format"), false);
                self.document(&place, &document);
            }
            None => {
                let parts = match decode::payload_format(frame) {
                    PayloadFormat::Text => "lines",
                    _ => "bytes",
                };
                // Which of them there are is different in each run.
                let (whole, inside) = (format!("{place}/{parts}"), format!("/payload/{parts}"));
                self.idle.retain(|rule| {
                    let path = rule.pattern.as_str();
                    rule.of_numbers || !(path.starts_with(&whole) || path.starts_with(&inside))
                });
                self.seen(&format!("{whole}/1"), false);
            }
        }
    }

    fn document(&mut self, place: &str, document: &Document<'_>) {
        let mut left: Vec<(Item<'_>, String)> = vec![(document.root(), place.to_owned())];
        while let Some((item, path)) = left.pop().filter(|_| !self.idle.is_empty()) {
            let item = item.untagged();
            self.seen(&path, item.sort() == Sort::Number);
            left.extend(children(item, &path));
        }
    }

    /// Something stands there. A pattern for frames holds for inputs too.
    fn seen(&mut self, path: &str, is_number: bool) {
        let inside = path.strip_prefix("/input").filter(|inside| !inside.is_empty());
        self.idle.retain(|rule| {
            let matches = rule.pattern.matches(path)
                || inside.is_some_and(|inside| rule.pattern.matches(inside));
            !matches || rule.of_numbers && !is_number
        });
    }
}
