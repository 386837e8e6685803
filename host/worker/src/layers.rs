//! Which layers of the sandbox work here, for a process with many threads: the executable is run
//! again with one, and tries.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use glovebox_sandbox::LayerCheck;

use crate::system::{never_wait, poll};

/// The first argument of a process that tries the layers.
pub(crate) const ARGUMENT: &str = "--glovebox-check-layers";

/// How long all trials may take together.
const DEADLINE: Duration = Duration::from_secs(20);

/// The longest answer that is read.
const MAX_ANSWER: usize = 1 << 20;

/// Why nobody knows which layers work.
#[derive(Debug, thiserror::Error)]
pub enum LayerCheckError {
    /// The system refused something.
    #[error("cannot {action}")]
    System {
        /// The failed action.
        action: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The other process gave no answer.
    #[error("the process that tries the layers gave no answer{}", behind(.printed))]
    NoAnswer {
        /// Its words instead, if it had any.
        printed: String,
    },
    /// It was still at it after this time, and was ended.
    #[error("trying the layers took longer than {} s", .after.as_secs())]
    TooLong {
        /// The time.
        after: Duration,
    },
}

fn behind(printed: &str) -> String {
    match printed.trim() {
        "" => "; `main` may not begin with `run_if_requested`".to_owned(),
        printed => format!(": {printed}"),
    }
}

/// Tries each layer of the sandbox in a child of a process with one thread, as
/// [`glovebox_sandbox::check_layers`] does; this process may have many. `main` must begin with
/// [`run_if_requested`](crate::run_if_requested). Takes up to 20 s, and much less as a rule.
///
/// # Errors
///
/// If this executable cannot be run again, or does not answer.
pub fn check_layers() -> Result<Vec<LayerCheck>, LayerCheckError> {
    let failed = |action| move |source| LayerCheckError::System { action, source };
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("glovebox-check-layers")
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(failed("run this executable again"))?;
    let group = child.id() as libc::pid_t;
    let heard = (|| {
        let (mut stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let answer = stdout.as_mut().map_or(Ok(Some(Vec::new())), read_until_end);
        let answer = answer.map_err(failed("hear the process that tries the layers"))?;
        let answer = answer.ok_or(LayerCheckError::TooLong { after: DEADLINE })?;
        serde_json::from_slice(&answer).map_err(|_| {
            let mut printed = String::new();
            let _ = stderr.map(|it| it.take(1 << 10).read_to_string(&mut printed));
            LayerCheckError::NoAnswer { printed }
        })
    })();
    // SAFETY: it takes numbers. The process was not waited for, so that its group is nobody else's.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    let _ = child.wait();
    heard
}

/// Reads what comes until the end, the longest answer, or the deadline, for which there is nothing.
fn read_until_end(pipe: &mut std::process::ChildStdout) -> io::Result<Option<Vec<u8>>> {
    never_wait(pipe.as_fd())?;
    let end = Instant::now() + DEADLINE;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => return Ok(Some(answer)),
            Ok(length) if answer.len() < MAX_ANSWER => answer.extend(&piece[..length]),
            Ok(_) => return Ok(Some(answer)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(None);
                }
                let events = libc::POLLIN;
                poll(&mut [libc::pollfd { fd: pipe.as_raw_fd(), events, revents: 0 }], Some(left))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The trials, in the process that was started for them. Gives its exit code.
pub(crate) fn answer() -> i32 {
    let answer = glovebox_sandbox::check_layers().map_err(|error| error.to_string());
    let answer = answer.and_then(|it| serde_json::to_vec(&it).map_err(|error| error.to_string()));
    match answer {
        Ok(answer) => {
            let mut stdout = io::stdout();
            i32::from(stdout.write_all(&answer).and_then(|()| stdout.flush()).is_err())
        }
        Err(error) => {
            // Heard by the host.
            let _ = write!(io::stderr(), "{error}");
            1
        }
    }
}
