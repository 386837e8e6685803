//! The command line: one verb per file, each over the same library code as the window.
//!
//! Read [`run`] first. A verb returns a [`Report`] or a
//! [`Problem`]; nothing but [`run`] prints or ends the process. Data goes to
//! stdout, all else to stderr, and the last line on stderr is one true sentence with counts.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | good |
//! | 1 | differences or failures |
//! | 2 | the command line makes no sense |
//! | 3 | a plugin cannot be loaded |
//! | 4 | a plugin crashed, trapped, or was stopped at its deadline or a limit |
//! | 5 | a trace or capture cannot be read |
//! | 128 and more | it was ended by the signal of that number less 128 |

mod against;
mod asked;
mod build;
mod call;
mod dependencies;
mod diff;
mod discover;
mod doctor;
mod error;
mod filter;
mod findings;
mod frame;
mod inspect;
mod lines;
mod load;
mod observe;
mod out;
mod plugins;
mod policy;
mod replay;
mod report;
mod run;
mod surroundings;
mod timing;
mod trace;
mod trace_file;
mod waiting;
mod watch;
mod window;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use glovebox_abi::LogLevel;

pub use error::{Exit, Problem};
use report::Files;
pub use report::{Output, Report};

use crate::ending::{self, Signal};
use crate::window::WindowOptions;
use surroundings::Surroundings;

/// A workbench for plugins
///
/// Without a verb, the window opens with the given plugins and traces. Each verb does a part of the
/// window's work without a window.
#[derive(Debug, Parser)]
#[command(
    name = "glovebox",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 good; 1 differences or failures; 2 wrong usage; 3 a plugin cannot be \
        loaded; 4 a plugin crashed or was stopped; 5 a trace or capture cannot be read; 128 + N signal N \
        ended it. Data goes to stdout and everything else to stderr; the last line there is one sentence \
        with counts.\n\
        The variable GLOVEBOX_LOG sets the log level, e.g. GLOVEBOX_LOG=debug."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    window: WindowOptions,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Inspect(inspect::Inspect),
    Call(Box<call::Call>),
    Replay(Box<replay::Replay>),
    Run(Box<run::Run>),
    Watch(Box<watch::Watch>),
    #[command(name = "diff")]
    Compare(diff::Compare),
    Discover(Box<discover::Discover>),
    Doctor(doctor::Doctor),
    Findings(findings::Findings),
    Trace(trace::Trace),
    Build(build::Build),
    Policy(policy::Policy),
}

/// Does what the arguments ask for, the first being the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    ending::survive_file_size_limit();
    crate::crashes::report();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = match out::print_usage(&error) {
                _ if error.use_stderr() => Exit::Usage,
                Ok(()) => Exit::Good,
                Err(error) => {
                    report::say(&format!("Showed no help: cannot write it: {error}"));
                    Exit::Different
                }
            };
            return code.into();
        }
    };
    let Some(verb) = arguments.verb else {
        log_to_stderr(None);
        return window::open(arguments.window);
    };
    let (name, nothing) = verb.name();
    let first = |signal: Signal| {
        let ends = "cancelling what runs; a second signal ends the process at once";
        report::say(&format!("Heard {}: {ends}", signal.name()));
    };
    let asks = verb.asks_for_the_end();
    ending::listen(asks, first, move |signal| {
        report::say(&last_words(asks, name, nothing, signal.name()));
    });
    let inputs = verb.inputs();
    let files = Files { output: verb.output(), inputs: &inputs };
    glovebox_files::spare_what_is_used();
    let outputs = verb.outputs();
    let prepared = files.check_names(&outputs).and_then(|()| files.check_json()).and_then(|()| {
        let surroundings = verb.surroundings()?;
        // Once more: a workspace was found, perhaps.
        files.check_json()?;
        Ok(surroundings)
    });
    let report = prepared.map(|surroundings| {
        log_to_stderr(surroundings.log());
        let report = verb.run(&surroundings, files);
        let mut report = report.unwrap_or_else(|problem| Report::of_problem(nothing, &problem));
        surroundings.asked().add_to(&mut report);
        report
    });
    let report = report.unwrap_or_else(|problem| Report::of_problem(nothing, &problem));
    let report = match outputs.contains(&Path::new("-")) {
        // Stdout is taken.
        true => report.without_text(),
        false => report,
    };
    let report = match ending::signal() {
        Some(signal) => report.ended_by(signal),
        None => report,
    };
    match report.write(name, files, &outputs) {
        Ok(()) => report.code().into(),
        Err(problem) => {
            let report = Report::of_problem(&report.sentence, &problem);
            report::say(&report.sentence);
            report.exit.into()
        }
    }
}

/// The sentence of a process that a signal ends wherever it is.
fn last_words(asks: bool, name: &str, nothing: &str, signal: &str) -> String {
    match asks {
        // It did something, perhaps all, and nobody counts that any more.
        true => format!("Ended {name} by a second {signal}, before it could say what it did"),
        false => format!("{nothing}: ended by {signal}"),
    }
}

impl Verb {
    /// The workspace, profile and mocks of a verb that has any.
    fn surroundings(&self) -> Result<Surroundings, Problem> {
        match self {
            Verb::Call(verb) => verb.with.surroundings.read(),
            Verb::Replay(verb) => verb.with.surroundings.read(),
            Verb::Run(verb) => verb.with.surroundings.read(),
            Verb::Watch(verb) => verb.with.surroundings.read(),
            Verb::Inspect(_)
            | Verb::Compare(_)
            | Verb::Discover(_)
            | Verb::Doctor(_)
            | Verb::Findings(_)
            | Verb::Trace(_)
            | Verb::Build(_)
            | Verb::Policy(_) => Ok(Surroundings::default()),
        }
    }

    fn run(&self, surroundings: &Surroundings, files: Files<'_>) -> Result<Report, Problem> {
        match self {
            Verb::Inspect(verb) => verb.run(),
            Verb::Call(verb) => verb.run(surroundings),
            Verb::Replay(verb) => verb.run(surroundings),
            Verb::Run(verb) => verb.run(surroundings),
            Verb::Watch(verb) => verb.run(surroundings),
            Verb::Compare(verb) => verb.run(),
            Verb::Discover(verb) => verb.run(),
            Verb::Doctor(verb) => verb.run(),
            Verb::Findings(verb) => verb.run(),
            Verb::Trace(trace) => trace.verb.run(files),
            Verb::Build(verb) => verb.run(),
            Verb::Policy(policy) => policy.verb.run(),
        }
    }

    /// The files that it reads, none of which it may write.
    fn inputs(&self) -> Vec<&Path> {
        match self {
            Verb::Inspect(verb) => verb.inputs(),
            Verb::Call(verb) => verb.inputs(),
            Verb::Replay(verb) => verb.inputs(),
            Verb::Run(verb) => verb.inputs(),
            Verb::Watch(verb) => verb.inputs(),
            Verb::Compare(verb) => verb.inputs(),
            Verb::Discover(verb) => report::paths(&verb.folders),
            Verb::Trace(trace) => trace.verb.inputs(),
            Verb::Policy(policy) => policy.verb.inputs(),
            Verb::Doctor(_) | Verb::Findings(_) | Verb::Build(_) => Vec::new(),
        }
    }

    /// The files that it writes besides its report.
    fn outputs(&self) -> Vec<&Path> {
        match self {
            Verb::Replay(verb) => verb.outputs(),
            Verb::Run(verb) => verb.record.as_deref().into_iter().collect(),
            Verb::Compare(verb) => verb.reports.outputs().collect(),
            Verb::Trace(trace) => trace.verb.outputs(),
            Verb::Inspect(_)
            | Verb::Call(_)
            | Verb::Watch(_)
            | Verb::Discover(_)
            | Verb::Doctor(_)
            | Verb::Findings(_)
            | Verb::Build(_)
            | Verb::Policy(_) => Vec::new(),
        }
    }

    fn output(&self) -> &Output {
        match self {
            Verb::Inspect(verb) => &verb.output,
            Verb::Call(verb) => &verb.with.output,
            Verb::Replay(verb) => &verb.with.output,
            Verb::Run(verb) => &verb.with.output,
            Verb::Watch(verb) => &verb.with.output,
            Verb::Compare(verb) => &verb.output,
            Verb::Discover(verb) => &verb.output,
            Verb::Doctor(verb) => &verb.output,
            Verb::Findings(verb) => &verb.output,
            Verb::Trace(trace) => trace.verb.output(),
            Verb::Build(verb) => &verb.output,
            Verb::Policy(policy) => policy.verb.output(),
        }
    }

    /// True if it looks now and then whether a signal asked for the end, because it has something to
    /// close then. The others are ended wherever they are.
    fn asks_for_the_end(&self) -> bool {
        match self {
            Verb::Call(_)
            | Verb::Replay(_)
            | Verb::Run(_)
            | Verb::Watch(_)
            | Verb::Compare(_)
            | Verb::Build(_)
            | Verb::Trace(_) => true,
            Verb::Inspect(_)
            | Verb::Discover(_)
            | Verb::Doctor(_)
            | Verb::Findings(_)
            | Verb::Policy(_) => false,
        }
    }

    /// Its name, and what is true if it could do nothing.
    fn name(&self) -> (&'static str, &'static str) {
        match self {
            Verb::Inspect(_) => ("inspect", "Inspected 0 plugins"),
            Verb::Call(_) => ("call", "Sent 0 frames"),
            Verb::Replay(_) => ("replay", "Replayed 0 frames"),
            Verb::Run(_) => ("run", "Ran 0 frames"),
            Verb::Watch(_) => ("watch", "Replayed 0 times"),
            Verb::Compare(_) => ("diff", "Compared 0 calls"),
            Verb::Discover(_) => ("discover", "Found 0 plugins"),
            Verb::Doctor(_) => ("doctor", "Examined nothing"),
            Verb::Findings(_) => ("findings", "Listed 0 rules"),
            Verb::Trace(trace) => trace.verb.name(),
            Verb::Build(_) => ("build", "Built 0 artifacts"),
            Verb::Policy(policy) => policy.verb.name(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Writes log lines from this level on, errors alone without one. `GLOVEBOX_LOG` wins.
fn log_to_stderr(level: Option<LogLevel>) {
    let level = match level {
        Some(LogLevel::Trace) => "error,glovebox=trace",
        Some(LogLevel::Debug) => "error,glovebox=debug",
        Some(LogLevel::Info) => "error,glovebox=info",
        Some(LogLevel::Warn) => "warn",
        Some(LogLevel::Error) | None => "error",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("GLOVEBOX_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    // Without colours: they are control characters, which are not let through.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(out::InertStderr::default);
    // Only a program that embeds this one can have set a log up already; then that one holds.
    let _ = log.try_init();
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    #[test]
    fn a_process_that_is_ended_claims_nothing_that_it_does_not_know() {
        fn check(asks: bool, expected: &str) {
            assert_eq!(super::last_words(asks, "call", "Sent 0 frames", "SIGINT"), expected);
        }
        check(true, "Ended call by a second SIGINT, before it could say what it did");
        check(false, "Sent 0 frames: ended by SIGINT");
    }

    #[test]
    fn arguments_make_sense() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_a_build_need_one() {
        #[track_caller]
        fn check(option: &[&str]) {
            let watch = [&["glovebox", "watch", ".", "--trace", "in.mcap"], option].concat();
            let parse = |watch: &[&str]| super::Arguments::try_parse_from(watch);
            let refused = parse(&watch).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.contains("not provided:\n  --build"), "{option:?}: {refused}");
            let built = parse(&[&watch, &["--build"][..]].concat());
            assert!(built.is_ok(), "{option:?}: {:?}", built.err());
        }
        check(&["--binding", "native"]);
        check(&["--out", "folder"]);
        check(&["--name", "a"]);
        check(&["--features", "a,b"]);
        check(&["--target", "wasm32-wasip1"]);
        check(&["--include", "folder"]);
        let parse = super::Arguments::try_parse_from(["glovebox", "watch", ".", "--trace", "t"]);
        assert!(parse.is_ok(), "{:?}", parse.err());
    }
}
