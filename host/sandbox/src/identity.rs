//! Marks of processes, which stand in the names of what a process leaves behind: whoever finds one knows
//! whether that process is still there, however often its number was given away since.

use std::fs;
use std::sync::OnceLock;

/// The mark of this process: the boot of the machine, the namespace of numbers of processes, the number,
/// and when it started, with `-` between them.
pub fn own_mark() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let own = std::process::id();
        format!("{}-{}-{own}-{}", boot(), namespace(), started_at(own).unwrap_or(0))
    })
}

/// True if the process of this mark has ended. Of another namespace of numbers, that is only known after
/// another boot: nobody can tell here whether its processes are. A text that is no mark has no process.
pub fn has_ended(mark: &str) -> bool {
    let mut parts = mark.split('-');
    let its_boot = parts.next().unwrap_or_default();
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (Some(space), Some(process), Some(started)) = (number(), number(), number()) else {
        return false;
    };
    if parts.next().is_some() || its_boot.is_empty() {
        return false;
    }
    let process = u32::try_from(process).unwrap_or(0);
    its_boot != boot() || space == namespace() && started_at(process) != Some(started)
}

/// The fields of `/proc/PID/stat` from the third on: the second, a name, may hold anything.
pub fn status_fields(status: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(status.rsplit_once(')')?.1.split_whitespace())
}

/// When a process started, in ticks since the boot: with its number, it is the only one.
fn started_at(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Number 22 in proc(5).
    status_fields(&status)?.nth(19)?.parse().ok()
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
}
