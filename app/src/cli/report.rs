//! What a verb found, and how it gets out: data to stdout or a file, one sentence to stderr.
//!
//! All text for people passes [`to_stdout`] or [`say`], which make it inert: plugins, traces and
//! names of files are not to steer a terminal. JSON stays exact.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_abi::text::{cut, inert, inert_lines};
use glovebox_files::{is_replaceable, is_same_name};
use glovebox_inspector::trace::Replacing;
use serde_json::{Map, Value as Json, json};

use super::error::{Exit, Problem};
use super::observe::Recorded;
use crate::ending::Signal;
pub(super) use crate::workbench::words::{count, count_of};

/// Where the result goes.
#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// Write the result as JSON to this file; `-` is stdout, instead of the text
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Replace files that exist, but never one that is read
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

    /// Starts a file.
    pub(super) fn create(self, path: &Path) -> Result<glovebox_files::Output, Problem> {
        Ok(glovebox_files::Output::create(path, self.output.force, self.inputs)?)
    }

    /// Writes a whole text; `-` is stdout.
    pub(super) fn write(self, path: &Path, text: &str) -> Result<(), Problem> {
        if path == Path::new("-") {
            return match is_seen() {
                true => to_stdout(text),
                false => write_stdout(text.as_bytes()),
            };
        }
        Ok(glovebox_files::write(path, text.as_bytes(), self.output.force, self.inputs)?)
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
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        // It is replaced as well, if nobody writes it.
        glovebox_files::refuse(Path::new(&partial), true, self.inputs)?;
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
    /// What asked for the end before all was done.
    ended: Option<Signal>,
    is_exact: bool,
}

impl Report {
    /// A report of a JSON object; anything else counts as none.
    pub fn new(text: String, json: Json, sentence: impl Into<String>, exit: Exit) -> Report {
        let json = match json {
            Json::Object(fields) => fields,
            _ => Map::new(),
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

    /// What the process tells its caller.
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
    /// If the data cannot be written. That nobody reads it any more is none: a pipe into `head`
    /// is meant that way.
    pub(super) fn write(&self, verb: &str, files: Files<'_>) -> Result<(), Problem> {
        // A verb that failed may not have come as far as to read what it must not replace.
        if self.json.contains_key("error")
            && let Some(path) = files.output.json.as_deref().filter(|path| is_something_else(path))
        {
            let why = "holds no earlier report, and stays as it is";
            say(&format!("{}; {} {why}", self.sentence, path.display()));
            return self.write_text();
        }
        let written = self.write_data(verb, files);
        say(&self.sentence);
        written
    }

    fn write_data(&self, verb: &str, files: Files<'_>) -> Result<(), Problem> {
        let Some(path) = &files.output.json else {
            return self.write_text();
        };
        let mut object = Map::new();
        object.insert("verb".to_owned(), verb.into());
        object.insert("exit".to_owned(), self.code().into());
        object.insert("sentence".to_owned(), self.sentence.as_str().into());
        object.extend(self.json.clone());
        let text = format!("{:#}\n", Json::Object(object));
        if path == Path::new("-") {
            return write_stdout(text.as_bytes());
        }
        files.write(path, &text)?;
        self.write_text()
    }

    fn write_text(&self) -> Result<(), Problem> {
        match self.is_exact {
            true => write_stdout(self.text.as_bytes()),
            false => to_stdout(&self.text),
        }
    }
}

/// True of a file that is there and holds no report of a verb.
fn is_something_else(path: &Path) -> bool {
    let Ok(about) = path.metadata() else { return false };
    let read = || -> Option<Map<String, Json>> {
        // Not as an input: an earlier report is to be replaced.
        let file = File::open(path).ok()?;
        serde_json::from_reader(BufReader::new(file.take(MAX_REPORT))).ok()
    };
    let keys = ["verb", "exit", "sentence"];
    let is_report = |found: Map<String, Json>| keys.iter().all(|key| found.contains_key(*key));
    about.is_file() && about.len() > 0 && !read().is_some_and(is_report)
}

/// The largest report that is recognized, in bytes.
const MAX_REPORT: u64 = 256 << 20;

/// True if a person sees stdout at once.
pub(super) fn is_seen() -> bool {
    io::stdout().is_terminal()
}

/// A path for programs. What is no UTF-8 in it is replaced, as for people: JSON has no other text.
pub(super) fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// The name of a file in a text of several lines: on one of them, whatever it holds.
pub(super) fn named(path: impl AsRef<Path>) -> String {
    inert(&path.as_ref().display().to_string()).to_string()
}

/// Writes text for people to stdout; a reader that has gone is no error.
pub(super) fn to_stdout(text: &str) -> Result<(), Problem> {
    write_stdout(inert_lines(text).to_cow().as_bytes())
}

fn write_stdout(bytes: &[u8]) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::file("write", Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

/// Writes one line to stderr. A reader that has gone is no error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", one_line(text));
}

/// Bytes of a line that people read.
const MAX_LINE: usize = 16 << 10;

/// A text that is one line, whatever a stranger put into it.
pub(super) fn one_line(text: &str) -> String {
    inert(&cut(text, MAX_LINE)).to_string()
}

/// Log lines on stderr, each made inert.
#[derive(Debug, Default)]
pub(super) struct InertStderr;

impl Write for InertStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        io::stderr().lock().write_all(inert_lines(&line).to_cow().as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows help, or what is wrong with the arguments: in colours unless it repeats something that is
/// not inert. A reader that has gone is no error.
pub(super) fn print_usage(error: &clap::Error) {
    let plain = error.render().to_string();
    let _ = match inert_lines(&plain).to_cow() {
        Cow::Owned(inert) => writeln!(io::stderr().lock(), "{}", inert.trim_end()),
        Cow::Borrowed(_) => error.print(),
    };
}

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
