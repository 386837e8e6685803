use std::fs;
use std::time::Duration;

use glovebox_sandbox::status_fields;

/// The usage of a worker, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time in its own code.
    pub user: Duration,
    /// Processor time in the kernel for it.
    pub system: Duration,
    /// Bytes of memory that it holds now, shared ones included.
    pub resident: u64,
    /// Page faults that needed no disk.
    pub minor_faults: u64,
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Threads.
    pub threads: u64,
    /// Bytes read and written through files, pipes and sockets. The kernel tells them of a process
    /// that cannot be dumped, as a sandboxed one, to root alone.
    pub carried: Option<(u64, u64)>,
}

/// Asks the kernel about a process; nothing if there is none.
pub(crate) fn of_process(process: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let carried = fs::read_to_string(format!("/proc/{process}/io"));
    parse(&status, carried.as_deref().unwrap_or_default(), units())
}

/// Ticks of a second, and bytes of a page.
fn units() -> (u64, u64) {
    // SAFETY: it takes a number.
    let ask = |name| u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0);
    (ask(libc::_SC_CLK_TCK).max(1), ask(libc::_SC_PAGESIZE))
}

/// True if a signal has stopped the process, or somebody traces it.
pub(crate) fn is_stopped(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status_fields(&status)
        .and_then(|mut fields| fields.next())
        .is_some_and(|state| "Tt".contains(state))
}

fn parse(status: &str, carried: &str, (ticks, page): (u64, u64)) -> Option<Usage> {
    let fields: Vec<&str> = status_fields(status)?.collect();
    // Counted as in proc(5), where the first one here is number 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let time = |number| Some(Duration::from_millis(field(number)?.saturating_mul(1000) / ticks));
    let line = |name: &str| {
        let line = carried.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<u64>().ok())
    };
    Some(Usage {
        user: time(14)?,
        system: time(15)?,
        resident: field(24)?.saturating_mul(page),
        minor_faults: field(10)?,
        major_faults: field(12)?,
        threads: field(20)?,
        carried: line("rchar:").zip(line("wchar:")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let status = "42 (a ) name) S 1 42 42 0 -1 4194560 900 0 3 0 150 50 0 0 20 0 2 0 100 9999 \
                      25 18446744073709551615 1 1 0";
        let expected = Usage {
            user: Duration::from_millis(1500),
            system: Duration::from_millis(500),
            resident: 25 * 4096,
            minor_faults: 900,
            major_faults: 3,
            threads: 2,
            carried: Some((77, 88)),
        };
        let units = (100, 4096);
        assert_eq!(parse(status, "rchar: 77\nwchar: 88\nsyscr: 1\n", units), Some(expected));
        assert_eq!(parse(status, "", units), Some(Usage { carried: None, ..expected }));
        assert_eq!(parse("42 (cut) S 1", "", units), None);
        assert_eq!(parse("", "", units), None);
        let own = of_process(std::process::id()).unwrap();
        assert!(own.resident > 0 && own.threads > 0 && own.carried.is_some(), "{own:?}");
        assert!(!is_stopped(std::process::id()));
    }
}
