//! The folders of this user, each by a file that is written and removed again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use glovebox_files::private_folder;

use super::{Check, Section};
use crate::folders;

pub(super) fn examine() -> Section {
    let folder = |file: Option<PathBuf>| file.and_then(|it| it.parent().map(Path::to_owned));
    let all = [
        ("data", "consents, keys", folder(folders::consents())),
        ("recordings", "recordings of the window", folders::recordings()),
        ("settings", "the session of the window", folder(folders::session())),
        ("compiled code", "plugins are compiled once", folders::compiled_code()),
        (
            "temporary files",
            "private copies of plugins",
            Some(folders::scratch().unwrap_or_else(std::env::temp_dir)),
        ),
    ];
    let checks = all.into_iter().map(|(name, what, folder)| try_out(name, what, folder));
    Section {
        name: "folders",
        about: "of this user; a file was written in each",
        checks: checks.collect(),
    }
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
            let remedy = "make the folder one that this user, and nobody else, may write to";
            Check::missing(name, format!("cannot write in it: {error}: {shown}"), remedy)
        }
    }
}

fn write_and_remove(folder: &Path) -> std::io::Result<()> {
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
}
