//! Named pipes in folders for reading: the kernel lets everybody write to one whom its own mode permits it,
//! whatever the mount of its folder says.

use std::fs;
use std::path::Path;

use glovebox_sandbox::Access;

use super::super::process::ProcessGrants;

/// The most entries of a folder for reading that are looked at.
const MAX_ENTRIES: usize = 1 << 20;

/// Refuses a folder for reading in which a named pipe lies. A container makes none itself; one that somebody
/// else makes later is not found.
pub(super) fn refuse(grants: &ProcessGrants) -> Result<(), String> {
    let for_reading = grants.outermost().filter(|place| place.access == Access::Read);
    for_reading.map(|place| place.path).try_for_each(|folder| refuse_in(folder, MAX_ENTRIES))
}

fn refuse_in(folder: &Path, most: usize) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt;
    let (mut left, mut seen) = (vec![folder.to_owned()], 0);
    while let Some(next) = left.pop() {
        // A folder that this user cannot read is none that the container reads.
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            seen += 1;
            if seen > most {
                return Err(format!(
                    "a folder for reading has more than {most} entries, so that nobody can tell whether \
                     pipes are among them; grant a smaller one: {}",
                    folder.display()
                ));
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_fifo() {
                return Err(format!(
                    "a folder for reading has a named pipe, to which a container could write; take it \
                     out, or grant the folder for writing: {}",
                    entry.path().display()
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", inner.join("link")).unwrap();
        assert_eq!(refuse_in(folder.path(), 4), Ok(()));
        let error = refuse_in(folder.path(), 3).unwrap_err();
        assert!(error.contains("more than 3 entries"), "{error}");
        let made = std::process::Command::new("mkfifo").arg(inner.join("pipe")).status().unwrap();
        assert!(made.success());
        let error = refuse_in(folder.path(), 100).unwrap_err();
        assert!(error.contains("has a named pipe") && error.ends_with("a/b/pipe"), "{error}");
    }
}
