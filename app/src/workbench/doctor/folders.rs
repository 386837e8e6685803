//! The folders of this user, each by a file that is written and removed again.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use glovebox_files::{lets_code_run, private_folder};

use super::{Check, CheckResult, Section};
use crate::folders;

pub(super) fn examine() -> Section {
    let folder = |file: Option<PathBuf>| file.and_then(|it| it.parent().map(Path::to_owned));
    let all = [
        ("data", "consents, keys", folder(folders::consents())),
        ("recordings", "recordings of the window", folders::recordings()),
        ("settings", "the session of the window", folder(folders::session())),
        ("compiled code", "plugins are compiled once", folders::compiled_code()),
    ];
    let temporary = folders::scratch().unwrap_or_else(std::env::temp_dir);
    let checks = all.into_iter().map(|(name, what, folder)| try_out(name, what, folder));
    let checks = checks.chain([copies_run(
        try_out("temporary files", "private copies of plugins", Some(temporary.clone())),
        &temporary,
    )]);
    Section {
        name: "folders",
        about: "of this user; a file was written in each",
        checks: checks.collect(),
    }
}

/// The check of a folder from which libraries are run, too.
fn copies_run(check: Check, folder: &Path) -> Check {
    if check.result != CheckResult::Works || lets_code_run(folder) {
        return check;
    }
    let found =
        format!("no native plugin runs from it, it is mounted noexec: {}", folder.display());
    let remedy = "set XDG_CACHE_HOME or TMPDIR to a folder on another file system";
    Check::missing(check.name, found, remedy)
}

fn try_out(name: &str, what: &str, folder: Option<PathBuf>) -> Check {
    let Some(folder) = folder else {
        let remedy = "set HOME to a folder of this user; without it, nothing is kept";
        return Check::missing(name, "this user has no home", remedy);
    };
    let shown = folder.display();
    match write_and_remove(&folder) {
        Ok(()) => Check::works(name, format!("{shown} ({what})")),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
                _ => "make the folder one that this user, and nobody else, may write to",
            };
            Check::missing(name, format!("cannot write in it: {error}: {shown}"), remedy)
        }
    }
}

fn write_and_remove(folder: &Path) -> io::Result<()> {
    if folder != std::env::temp_dir() {
        private_folder(folder)?;
    }
    let mut file = tempfile::Builder::new().prefix(".glovebox-doctor-").tempfile_in(folder)?;
    file.write_all(b"a word")?;
    file.flush()?;
    file.close()
}

#[cfg(test)]
mod tests {
    use super::super::CheckResult;
    use super::*;

    #[test]
    fn a_folder_works_if_a_file_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: PathBuf, result: CheckResult| {
            let check = try_out("a", "b", Some(path));
            assert_eq!(check.result, result, "{}", check.found);
        };
        check(folder.path().join("new"), CheckResult::Works);
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
        std::fs::write(folder.path().join("file"), "").unwrap();
        check(folder.path().join("file/below"), CheckResult::Missing);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn copies_need_a_folder_that_lets_them_run() {
        let works = || Check::works("temporary files", "written");
        let proc = Path::new("/proc");
        assert_eq!(
            copies_run(works(), &std::env::temp_dir().join("missing")).result,
            CheckResult::Works
        );
        let expected = if lets_code_run(proc) { CheckResult::Works } else { CheckResult::Missing };
        assert_eq!(copies_run(works(), proc).result, expected);
    }
}
