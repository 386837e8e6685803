//! Whether code may be run from a folder.

use std::path::Path;

/// False if the file system of a folder is mounted so that no code in it runs (`noexec`), as of
/// libraries. True where nobody says so.
#[cfg(target_os = "linux")]
pub fn lets_code_run(folder: &Path) -> bool {
    use rustix::fs::{StatVfsMountFlags, statvfs};
    !statvfs(folder).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// False if the file system of a folder is mounted so that no code in it runs (`noexec`), as of
/// libraries. True where nobody says so.
#[cfg(not(target_os = "linux"))]
pub fn lets_code_run(_: &Path) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn mounts_without_code_are_known() {
        let program = std::env::current_exe().expect("a program knows where it is");
        assert!(lets_code_run(program.parent().expect("it is in a folder")));
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("there is `/proc`");
        let proc = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/proc"));
        let options = proc.and_then(|line| line.split(' ').nth(3)).expect("it is a mount");
        let forbids = options.split(',').any(|option| option == "noexec");
        assert_eq!(lets_code_run(Path::new("/proc")), !forbids, "{options}");
    }
}
