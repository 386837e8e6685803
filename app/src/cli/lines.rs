//! Lines that a person types while a verb runs: they steer the generations of its plugins.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use clap::Args;
use glovebox_host::{CandidateRole, Host, PluginStatus, Source};

use super::report::say;
use super::waiting::wait;

/// Lines that wait while one is carried out; whoever types more waits.
const WAITING: usize = 16;

/// Whether lines are read.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LinesArgs {
    /// Read commands about generations from standard input, one a line, although it is no terminal:
    /// `help` lists them
    #[arg(long)]
    pub commands: bool,
}

/// The commands, for people.
const HELP: &str = "generations: which one runs, and which are kept; \
    back [PLUGIN] [N]: go back to the one before, or to generation N; \
    shadow [PLUGIN] [FILE]: let the artifact on disk, or another one, make all calls again, and compare; \
    canary N [PLUGIN] [FILE]: let it answer one frame of N; \
    promote [PLUGIN]: let that take over; \
    dismiss [PLUGIN]: end its trial";

/// Carries lines out, one after the other, for as long as it lives.
pub(super) struct Lines {
    sender: SyncSender<Said>,
    thread: Option<JoinHandle<()>>,
}

enum Said {
    Line(String),
    End,
}

impl Lines {
    /// Listens, if somebody can type: on a terminal in the foreground, or where a person asked for it. A
    /// reader of the standard input of a script would take it away from the script.
    pub(super) fn listen(host: &Host, arguments: &LinesArgs) -> Option<Lines> {
        let is_typed = io::stdin().is_terminal() && is_in_foreground();
        if !is_typed && !arguments.commands {
            return None;
        }
        let (sender, receiver) = sync_channel(WAITING);
        let host = host.clone();
        let thread = thread::Builder::new().name("glovebox-lines".to_owned());
        let thread = thread.spawn(move || carry_out(&host, &receiver)).ok()?;
        let lines = sender.clone();
        // Nothing ends a read that waits, so that nobody waits for this thread.
        let reader = thread::Builder::new().name("glovebox-stdin".to_owned());
        reader.spawn(move || read(&lines)).ok()?;
        if is_typed {
            say("Type `help` and Enter for what can be done with generations");
        }
        Some(Lines { sender, thread: Some(thread) })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // The thread has a handle to the host, and must not have the last one.
        let _ = self.sender.send(Said::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(to: &SyncSender<Said>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if to.send(Said::Line(line)).is_err() {
            return;
        }
    }
}

fn carry_out(host: &Host, lines: &Receiver<Said>) {
    while let Ok(Said::Line(line)) = lines.recv() {
        match perform(host, line.trim()) {
            Ok(None) => {}
            Ok(Some(text)) => text.lines().for_each(say),
            Err(problem) => say(&format!("Not done: {problem}")),
        }
    }
}

/// True unless a shell has put the process into the background, where to read from the terminal would
/// stop it.
fn is_in_foreground() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/stat") else { return true };
    // As in proc(5): the group of the process is field 5, that of the terminal's foreground field 8. The
    // name before them may hold anything.
    let Some((_, rest)) = status.rsplit_once(") ") else { return true };
    let fields: Vec<&str> = rest.split(' ').collect();
    fields.get(2) == fields.get(5)
}

/// A line, taken apart.
#[derive(Debug, PartialEq)]
enum Wanted<'a> {
    Nothing,
    Help,
    Generations,
    Back(Option<u32>),
    Try(CandidateRole, Option<&'a Path>),
    Promote,
    Dismiss,
}

/// Takes a line apart: the id of a plugin, if the line names one of these, and what is wanted.
fn parse<'a>(line: &'a str, ids: &[&str]) -> Result<(Option<&'a str>, Wanted<'a>), String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut rest = rest.trim();
    let mut first = |is_it: &dyn Fn(&str) -> bool| {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        is_it(word).then(|| {
            rest = after.trim();
            word
        })
    };
    let is_number = |word: &str| word.parse::<u32>().is_ok();
    let share = match verb {
        "canary" => {
            let share = first(&is_number).and_then(|word| word.parse().ok()).filter(|one| *one > 0);
            Some(
                share
                    .ok_or("`canary` needs how many frames it answers one of, e.g. `canary 10`")?,
            )
        }
        _ => None,
    };
    let plugin = first(&|word| ids.contains(&word));
    let number = match verb {
        "back" => first(&is_number).and_then(|word| word.parse().ok()),
        _ => None,
    };
    let file = (!rest.is_empty()).then(|| Path::new(rest));
    let wanted = match (verb, share) {
        ("shadow", _) => return Ok((plugin, Wanted::Try(CandidateRole::Shadow, file))),
        ("canary", Some(one_in)) => {
            let role = CandidateRole::Canary { one_in, seed: 0 };
            return Ok((plugin, Wanted::Try(role, file)));
        }
        ("", _) => Wanted::Nothing,
        ("help", _) => Wanted::Help,
        ("generations", _) => Wanted::Generations,
        ("back", _) => Wanted::Back(number),
        ("promote", _) => Wanted::Promote,
        ("dismiss", _) => Wanted::Dismiss,
        (verb, _) => return Err(format!("`{verb}` is no command; `help` lists them")),
    };
    match file {
        None => Ok((plugin, wanted)),
        Some(more) => Err(format!(
            "`{}` is neither a plugin that runs ({}) nor anything that `{verb}` takes",
            more.display(),
            ids.join(", ")
        )),
    }
}

fn perform(host: &Host, line: &str) -> Result<Option<String>, String> {
    let plugins = host.plugins();
    let ids: Vec<&str> = plugins.iter().map(|one| &*one.manifest.plugin.id).collect();
    let (named, wanted) = parse(line, &ids)?;
    let is_named = |one: &&PluginStatus| named.is_none_or(|id| one.manifest.plugin.id == id);
    let all: Vec<&PluginStatus> = plugins.iter().filter(is_named).collect();
    match wanted {
        Wanted::Nothing => return Ok(None),
        Wanted::Help => return Ok(Some(HELP.replace("; ", "\n"))),
        Wanted::Generations => {
            let told: Vec<String> = all.into_iter().map(generations).collect();
            return Ok(Some(told.join("\n")));
        }
        _ => {}
    }
    let [plugin] = all[..] else {
        return Err(match all.is_empty() {
            true => "no plugin runs".to_owned(),
            false => format!("several plugins run; name one of {}", ids.join(", ")),
        });
    };
    let (instance, id) = (plugin.instance, &plugin.manifest.plugin.id);
    let now = |generation: u32| {
        let version = host.plugin(instance).map(|now| now.manifest.plugin.version.to_string());
        format!("generation {generation}, version {}", version.unwrap_or_default())
    };
    let done = |how: &str, result: Result<u32, glovebox_host::LoadError>| {
        let generation = result.map_err(|error| error.to_string())?;
        Ok(Some(format!("{id} {how}: {} runs", now(generation))))
    };
    match wanted {
        Wanted::Back(None) => done("went back", wait(host, host.roll_back(instance))),
        Wanted::Back(Some(number)) => {
            done("went back", wait(host, host.roll_back_to(instance, number)))
        }
        Wanted::Promote => done("takes what was tried", wait(host, host.promote(instance))),
        Wanted::Dismiss => match wait(host, host.dismiss(instance)) {
            true => Ok(Some(format!("{id}: the trial is over"))),
            false => Err(format!("nothing is tried beside {id}")),
        },
        Wanted::Try(role, file) => {
            let trying = match file {
                Some(file) => host.try_beside_with(instance, Source::path(file), role),
                None => host.try_beside(instance, role),
            };
            let generation = wait(host, trying).map_err(|error| error.to_string())?;
            Ok(Some(format!("{id}: generation {generation} is tried as {role}")))
        }
        Wanted::Nothing | Wanted::Help | Wanted::Generations => Ok(None),
    }
}

/// The generations of a plugin, in a line.
fn generations(plugin: &PluginStatus) -> String {
    let about = &plugin.manifest.plugin;
    let mut text =
        format!("{}: generation {}, version {}, runs", about.id, plugin.generation, about.version);
    let kept = plugin.kept.iter();
    let kept: Vec<String> =
        kept.map(|kept| format!("{} (version {})", kept.generation, kept.version)).collect();
    match kept.is_empty() {
        true => text.push_str("; none is kept"),
        false => text.push_str(&format!("; kept: {}", kept.join(", "))),
    }
    if let Some(candidate) = &plugin.candidate {
        let (generation, role) = (candidate.generation, candidate.role);
        text.push_str(&format!("; generation {generation} is tried as {role}: {candidate}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        #[track_caller]
        fn check(line: &str, expected: Result<(Option<&str>, Wanted<'_>), &str>) {
            match (parse(line, &["a", "b"]), expected) {
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{line}"),
            }
        }
        let canary = |one_in| CandidateRole::Canary { one_in, seed: 0 };
        check("", Ok((None, Wanted::Nothing)));
        check("help", Ok((None, Wanted::Help)));
        check("generations b", Ok((Some("b"), Wanted::Generations)));
        check("back", Ok((None, Wanted::Back(None))));
        check("back 3", Ok((None, Wanted::Back(Some(3)))));
        check("back a 3", Ok((Some("a"), Wanted::Back(Some(3)))));
        check("back c", Err("`c` is neither a plugin that runs (a, b) nor anything that `back`"));
        check("back a 3 4", Err("`4` is neither"));
        let file = Some(Path::new("my file.wasm"));
        check("shadow a my file.wasm", Ok((Some("a"), Wanted::Try(CandidateRole::Shadow, file))));
        check("shadow", Ok((None, Wanted::Try(CandidateRole::Shadow, None))));
        check("canary 10 my file.wasm", Ok((None, Wanted::Try(canary(10), file))));
        check("canary 2 b", Ok((Some("b"), Wanted::Try(canary(2), None))));
        check("canary", Err("e.g. `canary 10`"));
        check("canary 0", Err("e.g. `canary 10`"));
        check("promote b", Ok((Some("b"), Wanted::Promote)));
        check("dismiss", Ok((None, Wanted::Dismiss)));
        check("bak", Err("`bak` is no command; `help` lists them"));
    }
}
