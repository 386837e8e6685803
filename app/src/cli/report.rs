//! What a verb found, and how it gets out: data to stdout or a file, one sentence to stderr.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::error::{Exit, Problem};
use super::observe::Recorded;
pub(super) use crate::workbench::words::{count, count_of};

/// Where the result goes.
#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// Write the result as JSON to this file; `-` is stdout, instead of the text
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
}

/// What a verb found.
#[derive(Debug, Clone)]
pub struct Report {
    /// For people.
    pub text: String,
    /// The same for programs.
    pub json: Map<String, Json>,
    /// One true sentence with counts.
    pub sentence: String,
    /// What the process tells its caller.
    pub exit: Exit,
}

impl Report {
    /// A report of a JSON object; anything else counts as none.
    pub fn new(text: String, json: Json, sentence: impl Into<String>, exit: Exit) -> Report {
        let json = match json {
            Json::Object(fields) => fields,
            _ => Map::new(),
        };
        Report { text, json, sentence: sentence.into(), exit }
    }

    /// Says what a recording lacks that was made meanwhile; that is never good.
    #[must_use]
    pub(super) fn with_loss(mut self, recorded: Option<&Recorded>) -> Report {
        if let Some(loss) = recorded.and_then(|recorded| recorded.loss.as_ref()) {
            self.sentence.push_str(&format!("; {}", one_line(loss)));
            if self.exit == Exit::Good {
                self.exit = Exit::Different;
            }
        }
        self
    }

    /// The report of a verb that could not do its work.
    pub fn of_problem(nothing: &str, problem: &Problem) -> Report {
        let message = one_line(&problem.to_string());
        let sentence = match problem {
            Problem::After { .. } => message.clone(),
            _ => format!("{nothing}: {message}"),
        };
        let json = json!({ "error": { "stage": problem.stage(), "message": message } });
        Report::new(String::new(), json, sentence, problem.exit())
    }

    /// Writes the data where it belongs, then the sentence to stderr.
    ///
    /// # Errors
    ///
    /// If the data cannot be written. That nobody reads it any more is none: a pipe into `head`
    /// is meant that way.
    pub fn write(&self, verb: &str, output: &Output) -> Result<(), Problem> {
        let written = self.write_data(verb, output);
        say(&self.sentence);
        written
    }

    fn write_data(&self, verb: &str, output: &Output) -> Result<(), Problem> {
        let Some(path) = &output.json else {
            return to_stdout(self.text.as_bytes());
        };
        let mut object = Map::new();
        object.insert("verb".to_owned(), verb.into());
        object.insert("exit".to_owned(), (self.exit as u8).into());
        object.insert("sentence".to_owned(), self.sentence.as_str().into());
        object.extend(self.json.clone());
        let text = format!("{:#}\n", Json::Object(object));
        if path == Path::new("-") {
            return to_stdout(text.as_bytes());
        }
        std::fs::write(path, text).map_err(Problem::file("write", path))?;
        to_stdout(self.text.as_bytes())
    }
}

/// Writes to stdout; a reader that has gone is no error.
pub(super) fn to_stdout(bytes: &[u8]) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::file("write", Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

/// Writes one line to stderr; that nobody reads it is no reason to fail.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_recording_lacks_is_never_good() {
        /// What is lost, the exit code without it, and both as they are told.
        fn check(loss: Option<&str>, exit: Exit, expected: (&str, Exit)) {
            let recorded = Recorded {
                path: PathBuf::from("a.mcap"),
                events: 1,
                dropped: 0,
                bytes: 1,
                snapshots: 0,
                snapshots_dropped: 0,
                loss: loss.map(str::to_owned),
                lag: None,
            };
            let report = Report::new(String::new(), Json::Null, "Replayed 1 frame", exit);
            let report = report.with_loss(Some(&recorded));
            assert_eq!((report.sentence.as_str(), report.exit), expected);
        }
        check(None, Exit::Good, ("Replayed 1 frame", Exit::Good));
        let told = "Replayed 1 frame; 7 events were not recorded: no space";
        let loss = Some("7 events were not recorded:\n no space");
        check(loss, Exit::Good, (told, Exit::Different));
        check(loss, Exit::Crashed, (told, Exit::Crashed));
    }
}
