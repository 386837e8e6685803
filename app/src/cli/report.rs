//! The report of a verb, and its way out: data to stdout or a file, one sentence to stderr.
//!
//! Text of plugins, traces and names of files cannot steer a terminal: [`Out`] sees to that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_files::{is_replaceable, is_same_name};
use glovebox_inspector::decode::Json;
use glovebox_trace::Replacing;
use serde_json::{Map, Value, json};

use super::error::{Exit, Problem};
use super::observe::Recorded;
pub(super) use super::out::{Content, Out, named, one_line, say, shown, to_stdout};
use crate::ending::Signal;
pub(super) use crate::workbench::words::{count, count_of};

/// Where the result goes.
#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// Write the result as JSON to this file; `-` prints the JSON instead of the text
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Overwrite existing files, but never an input
    #[arg(long)]
    pub force: bool,
}

/// How a verb writes files: as the command line says, and over none that it reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) output: &'a Output,
    pub(super) inputs: &'a [&'a Path],
}

impl Files<'_> {
    /// Refuses a file that is to be written at the end, before anything runs.
    pub(super) fn check(self, path: Option<&Path>) -> Result<(), Problem> {
        let path = path.filter(|path| *path != Path::new("-"));
        let refuse = |path| glovebox_files::refuse(path, self.output.force, self.inputs);
        Ok(path.map_or(Ok(()), refuse)?)
    }

    /// Starts a file; `-` is stdout.
    pub(super) fn create(self, path: &Path, content: Content) -> Result<Out, Problem> {
        if path == Path::new("-") {
            return Out::stdout(content);
        }
        let file = glovebox_files::Output::create(path, self.output.force, self.inputs)?;
        Out::file(file, path, content)
    }

    /// Writes a whole text; `-` is stdout.
    pub(super) fn write(self, path: &Path, content: Content, text: &str) -> Result<(), Problem> {
        self.create(path, content)?.put(text)
    }

    /// Refuses the file for JSON, which is written at the end, before anything runs.
    pub(super) fn check_json(self) -> Result<(), Problem> {
        self.check(self.output.json.as_deref())
    }

    /// Where a trace goes, which its writer names at the end.
    pub(super) fn new_trace(self, path: &Path) -> Result<Replacing<'_>, Problem> {
        if path == Path::new("-") {
            let reason = "`-` is stdout, and a trace is a file; for a file of that name write ./-";
            return Err(Problem::Usage(reason.to_owned()));
        }
        self.check(Some(path))?;
        // It is replaced as well, if nobody writes it.
        glovebox_files::refuse(&glovebox_trace::partial_path(path), true, self.inputs)?;
        // A device stays what it is; where nothing is, half of a trace may be.
        let is_free = path.symlink_metadata().is_err();
        let is_on = self.output.force && (is_free || is_replaceable(path));
        Ok(Replacing { path, is_on })
    }

    /// Refuses two outputs of one name, before anything runs.
    pub(super) fn check_names(self, outputs: &[&Path]) -> Result<(), Problem> {
        let outputs: Vec<&Path> =
            outputs.iter().copied().chain(self.output.json.as_deref()).collect();
        for (at, one) in outputs.iter().enumerate() {
            if let Some(other) = outputs[..at].iter().find(|other| is_same_output(one, other)) {
                if *one == Path::new("-") {
                    let reason = "two results want stdout, which takes one; give the other a file";
                    return Err(Problem::Usage(reason.to_owned()));
                }
                let (one, other) = (one.display(), other.display());
                let reason = format!("two outputs have one name, {other} and {one}");
                return Err(Problem::Usage(format!("{reason}; give each its own")));
            }
        }
        Ok(())
    }
}

fn is_same_output(one: &Path, other: &Path) -> bool {
    match (one == Path::new("-"), other == Path::new("-")) {
        (false, false) => is_same_name(one, other),
        (one, other) => one && other,
    }
}

/// The report of a verb.
#[derive(Debug, Clone)]
pub struct Report {
    /// For people.
    pub text: String,
    /// The same for programs.
    pub json: BTreeMap<String, Json>,
    /// One true sentence with counts.
    pub sentence: String,
    /// The exit code, unless a signal ended the work.
    pub exit: Exit,
    /// The signal that asked for the end before all was done.
    ended: Option<Signal>,
    is_exact: bool,
}

impl Report {
    /// A report of a JSON object; anything else counts as none.
    pub fn new(text: String, json: Value, sentence: impl Into<String>, exit: Exit) -> Report {
        let json = match json {
            Value::Object(fields) => {
                fields.into_iter().map(|(key, one)| (key, one.into())).collect()
            }
            _ => BTreeMap::new(),
        };
        Report { text, json, sentence: sentence.into(), exit, ended: None, is_exact: false }
    }

    /// The same, of a verb that a signal ended.
    pub(super) fn ended_by(mut self, signal: Signal) -> Report {
        self.sentence.push_str(&format!("; ended by {}", signal.name()));
        self.json.insert("ended_by".to_owned(), signal.name().into());
        Report { ended: Some(signal), ..self }
    }

    /// The same for programs alone.
    pub(super) fn without_text(self) -> Report {
        Report { text: String::new(), ..self }
    }

    /// The exit code of the process.
    pub(super) fn code(&self) -> u8 {
        self.ended.map_or(self.exit as u8, Signal::exit_code)
    }

    /// The same, with a text that is written as it is: somebody has looked at what is in it.
    pub(super) fn exact(self) -> Report {
        Report { is_exact: true, ..self }
    }

    /// Says what a recording lacks that was made meanwhile; that is never good.
    #[must_use]
    pub(super) fn with_loss(mut self, recorded: Option<&Recorded>) -> Report {
        if let Some(loss) = recorded.and_then(|recorded| recorded.loss.as_ref()) {
            self.sentence.push_str(&format!("; {}", joined(loss)));
            if self.exit == Exit::Good {
                self.exit = Exit::Different;
            }
        }
        self
    }

    /// The report of a verb that could not do its work.
    pub fn of_problem(nothing: &str, problem: &Problem) -> Report {
        let message = joined(&problem.to_string());
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
    /// If the data cannot be written. A closed stdout is no error: a pipe into `head` is meant that
    /// way.
    pub(super) fn write(
        &self,
        verb: &str,
        files: Files<'_>,
        outputs: &[&Path],
    ) -> Result<(), Problem> {
        let is_error = self.json.contains_key("error");
        if is_error && files.check_json().is_err() {
            // The error is most likely this one.
            say(&self.sentence);
            return Ok(());
        }
        // A verb that failed may not have come as far as to read what it must not replace.
        if is_error
            && let Some(path) = files.output.json.as_deref().filter(|path| is_something_else(path))
        {
            let why = "holds no earlier report, and stays as it is";
            say(&format!("{}; {} {why}", self.sentence, path.display()));
            return self.write_text();
        }
        // Nor may what a run that was refused was to write become a report.
        let is_file = files.output.json.as_deref() != Some(Path::new("-"));
        if is_error && is_file && files.check_names(outputs).is_err() {
            say(&self.sentence);
            return Ok(());
        }
        let written = self.write_data(verb, files);
        say(&self.sentence);
        written
    }

    fn write_data(&self, verb: &str, files: Files<'_>) -> Result<(), Problem> {
        let Some(path) = &files.output.json else {
            return self.write_text();
        };
        let mut object = BTreeMap::<String, Json>::new();
        object.insert("verb".to_owned(), verb.into());
        object.insert("exit".to_owned(), self.code().into());
        object.insert("sentence".to_owned(), self.sentence.as_str().into());
        object.extend(self.json.clone());
        let text = format!("{:#}\n", Json::Map(object));
        files.write(path, Content::Json, &text)?;
        match path == Path::new("-") {
            true => Ok(()),
            false => self.write_text(),
        }
    }

    fn write_text(&self) -> Result<(), Problem> {
        let content = if self.is_exact { Content::Text } else { Content::Words };
        Out::stdout(content)?.put(&self.text)
    }
}

/// True of a file that is there and holds no report of a verb.
fn is_something_else(path: &Path) -> bool {
    let Ok(about) = path.metadata() else { return false };
    let read = || -> Option<Map<String, Value>> {
        // Not as an input: an earlier report is to be replaced.
        let file = glovebox_files::open_own(path, File::options().read(true)).ok()?;
        serde_json::from_reader(BufReader::new(file.take(MAX_REPORT))).ok()
    };
    let keys = ["verb", "exit", "sentence"];
    let is_report = |found: Map<String, Value>| keys.iter().all(|key| found.contains_key(*key));
    about.is_file() && about.len() > 0 && !read().is_some_and(is_report)
}

/// The largest report that is recognized, in bytes.
const MAX_REPORT: u64 = 256 << 20;

pub(super) fn paths(paths: &[PathBuf]) -> Vec<&Path> {
    paths.iter().map(PathBuf::as_path).collect()
}

fn joined(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_recording_lacks_is_never_good() {
        /// Checks a loss, the exit code without it, and the sentence and the code with it.
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
            let report = Report::new(String::new(), Value::Null, "Replayed 1 frame", exit);
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
