//! Tests that measure their own process run in one of their own: other tests use memory too.

use std::process::Command;

const VARIABLE: &str = "GLOVEBOX_TEST_ALONE";

/// Runs `test` in a fresh process of this test program. `name` is the test's full name, without the
/// crate's.
///
/// # Panics
///
/// If the test fails there, or ends the process otherwise; with everything it printed.
pub fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var_os(VARIABLE).is_some_and(|running| running == name) {
        return test();
    }
    let program = std::env::current_exe().expect("a program knows where it is");
    let output = Command::new(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .expect("the test program runs a second time");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}\n{complained}", output.status);
    assert!(said.contains("1 passed"), "no test is called {name}:\n{said}");
}

/// Bytes of memory that this process has in use, from `/proc`; `None` where there is none.
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // Linux reports pages of 4 KiB on the machines this runs on; a larger one only makes the number
    // too small by a factor, never the test flaky.
    Some(pages * 4096)
}

/// The most bytes of memory that this process has had in use; `None` where the system does not tell.
pub fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
