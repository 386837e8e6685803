//! Runs a compiler to its end, or until nobody waits for it any more.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

/// How often it is looked whether somebody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a compiler that wait to be handed on.
const LINES_AHEAD: usize = 64;

/// How a compiler ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command, and hands on each line of its standard error. Raising `cancel` ends it with all
/// that it started; then there is nothing to say of it. Bytes of its output that are no text are shown
/// as `\u{fffd}`.
///
/// # Errors
///
/// If it cannot be started, which `remedy` says more of, or its output cannot be read.
pub(super) fn run(
    command: &mut Command,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
    remedy: impl FnOnce() -> String,
) -> Result<Option<Ended>> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = system::alone(command).spawn().with_context(remedy)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let messages = thread::spawn(move || {
        let mut messages = Vec::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut messages))?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&messages).into_owned())
    });
    let (tell, lines) = sync_channel(LINES_AHEAD);
    let listener = thread::spawn(move || {
        for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
            let line = line?;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if tell.send(String::from_utf8_lossy(line).into_owned()).is_err() {
                break;
            }
        }
        Ok::<_, io::Error>(())
    });
    let mut said = String::new();
    let is_cancelled = loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                progress(&line);
                said.push_str(&line);
                said.push('\n');
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break false,
        }
        if cancel.load(Ordering::Relaxed) {
            break true;
        }
    };
    if is_cancelled {
        system::kill(&mut child);
    }
    drop(lines);
    let status = child.wait().context("cannot wait for its end")?;
    let broken = |_| anyhow!("the thread that reads its output panicked");
    listener.join().map_err(broken)?.context("cannot read its messages")?;
    let stdout = messages.join().map_err(broken)?.context("cannot read its output")?;
    Ok((!is_cancelled).then_some(Ended { status, stdout, stderr: said }))
}

#[cfg(unix)]
mod system {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use rustix::process::{Pid, Signal, kill_process_group};

    /// Puts the command into a group of its own, so that the compilers that cargo starts end with it.
    pub(super) fn alone(command: &mut Command) -> &mut Command {
        command.process_group(0)
    }

    pub(super) fn kill(child: &mut Child) {
        // It may have ended meanwhile.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
}

#[cfg(not(unix))]
mod system {
    use std::process::{Child, Command};

    pub(super) fn alone(command: &mut Command) -> &mut Command {
        command
    }

    /// The compilers that cargo started end by themselves: each has one crate to compile.
    pub(super) fn kill(child: &mut Child) {
        let _ = child.kill();
    }
}
