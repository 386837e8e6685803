//! Reads a file that a person named, which may be anything.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::used::note_read;

/// Most bytes of a text that people write by hand: a manifest, a policy, a workspace.
pub const MAX_TEXT: u64 = 4 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it is {what}, not a file")]
    NotAFile { what: &'static str },
    #[error("it has {size} bytes, and at most {limit} are read")]
    TooLarge { size: u64, limit: u64 },
    #[error("it has more than {limit} bytes, and at most those are read")]
    Endless { limit: u64 },
    #[error("it is no UTF-8 text from byte {at} on")]
    NotText { at: usize },
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        let kind = match refused {
            Refused::NotAFile { .. } => ErrorKind::InvalidInput,
            Refused::TooLarge { .. } | Refused::Endless { .. } => ErrorKind::FileTooLarge,
            Refused::NotText { .. } => ErrorKind::InvalidData,
        };
        io::Error::new(kind, refused)
    }
}

/// Opens a file of at most `limit` bytes, and says how many it has. It never waits: what a pipe or a
/// device gives has no end that could be known.
///
/// # Errors
///
/// If it cannot be opened, is a folder, a pipe, a socket or a device, or is larger.
pub fn open(path: &Path, limit: u64) -> io::Result<(File, u64)> {
    opened(open_own(path, File::options().read(true))?, path, limit)
}

/// Opens a file that this program keeps for itself, such as a key or a lock: it is no input of
/// anybody. Where something else lies in its place, that is an error at once, and nothing waits.
///
/// # Errors
///
/// If it cannot be opened, or is a folder, a pipe, a socket or a device.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Before it is opened, since opening alone makes some devices act.
    match path.metadata() {
        Ok(about) => only_files(&about)?,
        // The options may say that it is made.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = without_waiting(options).open(path)?;
    // Once more, of what is open: another may have taken the name meanwhile.
    only_files(&file.metadata()?)?;
    Ok(file)
}

/// The same of a file that is open, which was found under `path`.
///
/// # Errors
///
/// Those of [`open`] about what it is.
pub fn opened(file: File, path: &Path, limit: u64) -> io::Result<(File, u64)> {
    let about = file.metadata()?;
    only_files(&about)?;
    match about.len() {
        size if size > limit => Err(Refused::TooLarge { size, limit }.into()),
        size => {
            note_read(path);
            Ok((file, size))
        }
    }
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
///
/// Those of [`open`], and if it cannot be read or grows beyond the limit meanwhile.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open(path, limit)?;
    // Some files of the system say that they are empty, and are not.
    read_all(file, size, limit)
}

/// Reads a file as [`read`] does, or standard input to its end if the path is `-`.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_or_stdin(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    match path == Path::new("-") {
        true => read_all(io::stdin().lock(), 0, limit),
        false => read(path, limit),
    }
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
///
/// Those of [`read`], and if it is not UTF-8.
pub fn read_to_string(path: &Path, limit: u64) -> io::Result<String> {
    let not_text = |error: std::string::FromUtf8Error| Refused::NotText {
        at: error.utf8_error().valid_up_to(),
    };
    Ok(String::from_utf8(read(path, limit)?).map_err(not_text)?)
}

fn read_all(source: impl Read, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or_default());
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(Refused::Endless { limit }.into()),
        false => Ok(bytes),
    }
}

fn only_files(about: &Metadata) -> io::Result<()> {
    match what(about) {
        None => Ok(()),
        Some("a folder") => Err(ErrorKind::IsADirectory.into()),
        Some(what) => Err(Refused::NotAFile { what }.into()),
    }
}

/// Its kind, if it is no file.
#[cfg(unix)]
fn what(about: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = about.file_type();
    Some(match () {
        () if kind.is_file() => return None,
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    })
}

#[cfg(not(unix))]
fn what(about: &Metadata) -> Option<&'static str> {
    match () {
        () if about.is_file() => None,
        () if about.is_dir() => Some("a folder"),
        () => Some("a device"),
    }
}

/// Opens a pipe without waiting for the other end, and no terminal as that of this process.
#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    // The flags of the system are a number of 32 bits, whose highest is not used.
    options.custom_flags(flags.bits().cast_signed())
}

#[cfg(not(unix))]
fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &Path, limit: u64, expected: Result<&[u8], &str>) {
        match (read(path, limit), expected) {
            (Ok(bytes), Ok(expected)) => assert_eq!(bytes, expected, "{path:?}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{path:?}: {error}");
            }
            (found, expected) => panic!("{path:?}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn files_are_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("four");
        std::fs::write(&path, "four").unwrap();
        check(&path, 4, Ok(b"four"));
        check(&path, 3, Err("it has 4 bytes, and at most 3 are read"));
        check(folder.path(), 3, Err("directory"));
        check(&folder.path().join("none"), 3, Err("No such file"));
    }

    #[test]
    fn texts_are_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, b"abc\xff").unwrap();
        let error = read_to_string(&path, 100).unwrap_err();
        assert!(error.to_string().contains("from byte 3 on"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_end_is_refused() {
        check(Path::new("/dev/zero"), 1 << 40, Err("it is a device, not a file"));
        // It says that it has no byte.
        check(Path::new("/proc/self/status"), 10, Err("it has more than 10 bytes"));
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        check(&socket, 10, Err("it is a socket, not a file"));
        // This waits for ever if the pipe is opened as a file.
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        check(&pipe, 10, Err("it is a pipe, not a file"));
        for options in [File::options().read(true), File::options().write(true).create(true)] {
            let error = open_own(&pipe, options).unwrap_err().to_string();
            assert_eq!(error, "it is a pipe, not a file");
        }
        let lock = folder.path().join("lock");
        open_own(&lock, File::options().write(true).create(true)).unwrap();
        open_own(&lock, File::options().read(true)).unwrap();
    }
}
