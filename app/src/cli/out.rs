//! Writes results to a file or stdout, byte for byte; a terminal gets no control characters.
//!
//! All text for people passes [`to_stdout`] or [`say`], which make it inert wherever it goes.

use std::borrow::Cow;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, StdoutLock, Write};
use std::path::{Path, PathBuf};

use glovebox_abi::text::{Inert, cut, inert, inert_json, inert_lines};
use glovebox_files::{Output, OutputProblem, text_of_path};

use super::error::Problem;

/// The kind of content, which decides how a terminal gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Words for people, which are inert in files and pipes as well.
    Words,
    /// A text for programs.
    Text,
    /// JSON, in which escapes say the same.
    Json,
    /// Bytes that nobody can read: a terminal gets none of them.
    Binary,
}

impl Content {
    /// Makes it inert, unless it stays exact.
    fn inert(self, is_terminal: bool) -> Result<Option<MakeInert>, Problem> {
        Ok(match (self, is_terminal) {
            (Content::Words, _) | (Content::Text, true) => Some(inert_lines),
            (Content::Json, true) => Some(inert_json),
            (Content::Binary, true) => {
                let remedy = "name a file with --out <FILE>, or pipe it into a program";
                return Err(Problem::Usage(format!("this format is not for a terminal; {remedy}")));
            }
            (Content::Text | Content::Json | Content::Binary, false) => None,
        })
    }
}

type MakeInert = for<'a> fn(&'a str) -> Inert<'a>;

/// A result that is being written.
pub(super) struct Out {
    target: Target,
    inert: Option<MakeInert>,
    /// The first bytes of a character of which the others are still to come.
    begun: Vec<u8>,
}

enum Target {
    Stdout(BufWriter<StdoutLock<'static>>),
    File(Output, PathBuf),
}

impl Out {
    pub(super) fn stdout(content: Content) -> Result<Out, Problem> {
        let stdout = io::stdout().lock();
        let inert = content.inert(stdout.is_terminal())?;
        Ok(Out { target: Target::Stdout(BufWriter::new(stdout)), inert, begun: Vec::new() })
    }

    /// A file may be a terminal too, such as `/dev/tty`.
    pub(super) fn file(file: Output, path: &Path, content: Content) -> Result<Out, Problem> {
        let inert = content.inert(file.is_terminal())?;
        Ok(Out { target: Target::File(file, path.to_owned()), inert, begun: Vec::new() })
    }

    /// Writes a whole text. A reader of stdout that has gone is no error.
    pub(super) fn put(mut self, text: &str) -> Result<(), Problem> {
        let written = self.write_all(text.as_bytes()).and_then(|()| self.flush());
        match (written, self.target) {
            (Ok(()), Target::Stdout(_)) => Ok(()),
            (Ok(()), Target::File(file, _)) => Ok(file.finish()?),
            (Err(source), Target::File(_, path)) => Err(OutputProblem::Io { source, path }.into()),
            (Err(error), Target::Stdout(_)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            (Err(error), Target::Stdout(_)) => {
                Err(Problem::file("write", Path::new("stdout"))(error))
            }
        }
    }

    /// Gives a file its name, once everything is written and flushed.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.target {
            Target::Stdout(_) => Ok(()),
            Target::File(file, _) => Ok(file.finish()?),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(inert) = self.inert else {
            return self.target.write(bytes);
        };
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        // The end of a line, as CSV has it, moves nothing.
        if text.ends_with(b"\r") {
            text.pop();
            self.begun.push(b'\r');
        }
        for chunk in text.utf8_chunks() {
            let lines = chunk.valid().replace("\r\n", "\n");
            self.target.write_all(inert(&lines).to_cow().as_bytes())?;
            let is_begun = |rest| std::str::from_utf8(rest).is_err_and(|e| e.error_len().is_none());
            match chunk.invalid() {
                [] => {}
                rest if is_begun(rest) && text.ends_with(rest) && self.begun.is_empty() => {
                    self.begun = rest.to_vec();
                }
                _ => self.target.write_all("\u{FFFD}".as_bytes())?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::Stdout(stdout) => stdout.write(bytes),
            Target::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Stdout(stdout) => stdout.flush(),
            Target::File(file, _) => file.flush(),
        }
    }
}

/// Writes text for people to stdout; a reader that has gone is no error.
pub(super) fn to_stdout(text: &str) -> Result<(), Problem> {
    Out::stdout(Content::Words)?.put(text)
}

/// Writes one line to stderr. A reader that has gone is no error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", one_line(text));
}

/// Bytes of a line that people read.
const MAX_LINE: usize = 16 << 10;

/// A text that is one line, whatever a stranger put into it.
pub(super) fn one_line(text: &str) -> String {
    // Escapes make a text up to ten times as long.
    cut(&inert(&cut(text, MAX_LINE)).to_string(), MAX_LINE).into_owned()
}

/// A path for programs: JSON has no text but UTF-8.
pub(super) fn shown(path: impl AsRef<Path>) -> String {
    text_of_path(path.as_ref())
}

/// The name of a file in a text of several lines: on one of them, whatever it holds.
pub(super) fn named(path: impl AsRef<Path>) -> String {
    inert(&shown(path)).to_string()
}

/// Shows help, or what is wrong with the arguments: in colours unless it repeats something that is
/// not inert.
///
/// # Errors
///
/// If it cannot be written, unless the reader has gone.
pub(super) fn print_usage(error: &clap::Error) -> io::Result<()> {
    let plain = error.render().to_string();
    let written = match inert_lines(&plain).to_cow() {
        Cow::Owned(inert) => writeln!(io::stderr().lock(), "{}", inert.trim_end()),
        Cow::Borrowed(_) => error.print().and_then(|()| io::stdout().flush()),
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_it_obeys() {
        /// Checks a text that arrives byte by byte.
        #[track_caller]
        fn check(content: Content, text: &[u8], on_terminal: &str) {
            for (is_terminal, expected) in [(true, on_terminal.as_bytes()), (false, text)] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("out");
                let inert = content.inert(is_terminal).unwrap();
                let file = Output::create(&path, false, &[]).unwrap();
                let target = Target::File(file, path.clone());
                let mut out = Out { target, inert, begun: Vec::new() };
                text.iter().for_each(|byte| out.write_all(&[*byte]).unwrap());
                out.finish().unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), expected, "{text:?}, {is_terminal}");
            }
        }
        check(Content::Text, "a,ü\t\u{1b}[31m\u{202e}\n".as_bytes(), "a,ü\t\\u{1b}[31m\\u{202e}\n");
        check(Content::Text, b"a\xffb\xc3(", "a\u{FFFD}b\u{FFFD}(");
        check(Content::Text, b"a,b\r\nc\rd\r\r\n\xc3\r\n", "a,b\nc\\u{d}d\\u{d}\n\u{FFFD}\n");
        check(Content::Json, "\"\u{9b}🧤\"\n".as_bytes(), "\"\\u009b🧤\"\n");
        assert!(Content::Binary.inert(true).is_err());
        check(Content::Words, b"plain\n", "plain\n");
    }

    #[test]
    fn a_line_is_bounded_whatever_it_holds() {
        fn check(text: &str) {
            let line = one_line(text);
            assert!(line.len() <= MAX_LINE + 32, "{} bytes", line.len());
        }
        check(&"x".repeat(12 << 20));
        check(&"\u{1b}".repeat(12 << 20));
    }
}
