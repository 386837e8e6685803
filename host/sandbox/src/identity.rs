//! Marks of processes, which stand in the names of what a process leaves behind: whoever finds one knows
//! whether that process is still there, however often its number was given away since.

use std::sync::OnceLock;
use std::{fs, io};

/// The mark of this process: the boot of the machine, the namespace of numbers of processes, the number,
/// and when it started, with `-` between them.
pub fn own_mark() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let own = std::process::id();
        let started = started_at(own).ok().flatten().unwrap_or(0);
        format!("{}-{}-{own}-{started}", boot(), namespace())
    })
}

/// True if it is known that the process of this mark has ended. Of another namespace of numbers, that is only
/// known after another boot: nobody can tell here whether its processes are. A text that is no mark has no
/// process, and nothing is known where the system does not tell.
pub fn has_ended(mark: &str) -> bool {
    has_ended_here(mark, &boot(), namespace(), started_at)
}

/// The same on this boot, in this namespace of numbers, where `started_at` looks a process up.
fn has_ended_here(
    mark: &str,
    boot: &str,
    namespace: u64,
    started_at: impl Fn(u32) -> io::Result<Option<u64>>,
) -> bool {
    let mut parts = mark.split('-');
    let its_boot = parts.next().unwrap_or_default();
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (Some(space), Some(process), Some(started)) = (number(), number(), number()) else {
        return false;
    };
    if parts.next().is_some() || its_boot.is_empty() || boot.is_empty() {
        return false;
    }
    if its_boot != boot {
        return true;
    }
    // 0 stands for what the host of the mark could not tell, or this process cannot.
    if space != namespace || space == 0 || started == 0 {
        return false;
    }
    match u32::try_from(process) {
        Ok(process) => started_at(process).is_ok_and(|found| found != Some(started)),
        Err(_) => true,
    }
}

/// The fields of `/proc/PID/stat` from the third on: the second, a name, may hold anything.
pub fn status_fields(status: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(status.rsplit_once(')')?.1.split_whitespace())
}

/// When a process started, in ticks since the boot: with its number, it is the only one. `None` if there is no
/// such process; an error if that cannot be told.
fn started_at(process: u32) -> io::Result<Option<u64>> {
    let status = match fs::read_to_string(format!("/proc/{process}/stat")) {
        Err(error) if is_gone(&error) => {
            let Ok(number) = i32::try_from(process) else { return Ok(None) };
            // SAFETY: it takes numbers, and the signal 0 is sent to nobody.
            let found = unsafe { libc::kill(number, 0) };
            // A `/proc` that hides processes, or is not there, says the same of one that runs.
            return match found == -1
                && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
            {
                true => Ok(None),
                false => Err(error),
            };
        }
        status => status?,
    };
    // Number 22 in proc(5).
    let started = status_fields(&status).and_then(|mut fields| fields.nth(19)?.parse().ok());
    started.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// True of what is said about a process that is not there, or ended while it was read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The namespace in which numbers of processes mean what they do here; 0 if it cannot be told.
fn namespace() -> u64 {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let name = link.to_string_lossy();
    let number = name.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok());
    number.unwrap_or(0)
}

/// The start of the id of this boot.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_have_ended_are_known() {
        #[track_caller]
        fn check(mark: &str, expected: bool) {
            assert_eq!(has_ended(mark), expected, "{mark}");
        }
        let own = own_mark();
        check(own, false);
        let parts: Vec<&str> = own.split('-').collect();
        let [boot, space, process, started] = parts[..] else { panic!("{own}") };
        assert_ne!(space, "0", "Linux tells it");
        // Its number was given to another one.
        check(&format!("{boot}-{space}-{process}-1"), true);
        // There is no such number.
        check(&format!("{boot}-{space}-4194305-{started}"), true);
        check(&format!("{boot}-{space}-{}-{started}", u64::MAX), true);
        check(&format!("0000-{space}-{process}-{started}"), true);
        check("0000-1-1-1", true);
        // Nobody can tell.
        check(&format!("{boot}-1-{process}-1"), false);
        check("0000-1-1", false);
        check("", false);
        check("mine", false);
        check("-0-0-0", false);
        check(&format!("{own}-0"), false);
    }

    #[test]
    fn what_is_not_known_is_no_end() {
        type Found = io::Result<Option<u64>>;
        /// On the boot `ab`, in namespace 7, unless they cannot be told.
        #[track_caller]
        fn check(mark: &str, boot: &str, namespace: u64, found: fn(u32) -> Found, expected: bool) {
            assert_eq!(has_ended_here(mark, boot, namespace, found), expected, "{mark}");
        }
        let gone: fn(u32) -> Found = |_| Ok(None);
        let refused: fn(u32) -> Found = |_| Err(io::Error::from_raw_os_error(libc::EMFILE));
        check("ab-7-9-5", "ab", 7, gone, true);
        check("ab-7-9-5", "ab", 7, |_| Ok(Some(6)), true);
        check("ab-7-9-5", "ab", 7, |_| Ok(Some(5)), false);
        check("cd-7-9-5", "ab", 7, refused, true);
        check("ab-7-9-5", "ab", 7, refused, false);
        // The own boot or namespace cannot be told.
        check("ab-7-9-5", "", 7, gone, false);
        check("ab-0-9-5", "ab", 0, gone, false);
        check("ab-7-9-5", "ab", 0, gone, false);
        // The host of the mark could not tell its boot, or when it started.
        check("-7-9-5", "ab", 7, gone, false);
        check("ab-7-9-0", "ab", 7, |_| Ok(Some(5)), false);
    }
}
