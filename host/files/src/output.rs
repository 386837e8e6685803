//! Writes output files, and never over a file of value.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::used::{self, Use, note_written};

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputProblem {
    /// Something has that name.
    #[error("will not overwrite; choose another name, or add --force: {}", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// It is read by the same command, perhaps under another name.
    #[error("it is the input {}; choose another name: {}", input.display(), path.display())]
    IsInput {
        /// The name under which it is read.
        input: PathBuf,
        /// The file to write.
        path: PathBuf,
    },
    /// The same command writes it already.
    #[error("the same command writes it already; choose another name: {}", path.display())]
    IsOutput {
        /// The file to write.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot write: {source}{}: {}", remedy(source), path.display())]
    Io {
        /// The reason.
        source: io::Error,
        /// The file to write.
        path: PathBuf,
    },
}

/// The remedy for a file that cannot be written, behind a semicolon.
pub fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room, or write elsewhere",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder you may write to"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => "; make the folder first",
        ErrorKind::InvalidFilename => "; choose a shorter name",
        ErrorKind::FileTooLarge => "; raise the largest size of a file (`ulimit -f`)",
        ErrorKind::NotConnected => "; start the program that reads it first",
        _ => "; write elsewhere",
    }
}

/// For callers that name the path in their own error: the system's message comes without it.
impl From<OutputProblem> for io::Error {
    fn from(problem: OutputProblem) -> io::Error {
        match problem {
            OutputProblem::Exists { .. } => io::Error::new(ErrorKind::AlreadyExists, problem),
            OutputProblem::IsInput { .. } | OutputProblem::IsOutput { .. } => {
                io::Error::new(ErrorKind::InvalidInput, problem)
            }
            OutputProblem::Io { source, .. } => source,
        }
    }
}

/// A file that is being written. Until [`Output::finish`] it lies under another name in the same
/// folder; dropped before, it leaves nothing.
///
/// Output to a device or a pipe, such as `/dev/null` or a shell's `>(…)`, is written straight to
/// it.
#[derive(Debug)]
pub struct Output {
    writer: BufWriter<Target>,
    path: PathBuf,
    replaces: bool,
    /// It takes the place of no file that this process uses otherwise.
    spares: bool,
}

#[derive(Debug)]
enum Target {
    Beside(NamedTempFile),
    Straight(File),
}

impl Output {
    /// Starts a file at `path`. With `force` it replaces a file that is there, but never one of
    /// `inputs`, under whatever name, and after [`spare_what_is_used`](crate::spare_what_is_used)
    /// none that this process has read or written until it is finished.
    ///
    /// # Errors
    ///
    /// If something is there and `force` is false, if it is one of the inputs or a folder, or if
    /// nothing can be written there.
    pub fn create(path: &Path, force: bool, inputs: &[&Path]) -> Result<Output, OutputProblem> {
        refuse(path, force, inputs)?;
        Output::start(path, force, true)
    }

    /// Starts the next version of a file that this process may have read: that is what it is for.
    ///
    /// # Errors
    ///
    /// If it is a folder, or if nothing can be written there.
    pub fn update(path: &Path) -> Result<Output, OutputProblem> {
        refuse_folder(path, path.metadata().ok().as_ref())?;
        Output::start(path, true, false)
    }

    fn start(path: &Path, force: bool, spares: bool) -> Result<Output, OutputProblem> {
        let failed = |source| OutputProblem::Io { source, path: path.to_owned() };
        let (target, path, replaces) = match path.metadata() {
            // A file behind a descriptor has other writers: nothing of theirs is cut off.
            Ok(about) if !about.is_file() || is_descriptor(path) => {
                let file = straight(path, about.is_file()).map_err(failed)?;
                (Target::Straight(file), path.to_owned(), true)
            }
            Ok(about) => {
                // A link stays, and what it leads to is replaced.
                let path = path.canonicalize().map_err(failed)?;
                let file = beside(&path, Some(&about)).map_err(failed)?;
                (Target::Beside(file), path, true)
            }
            Err(_) => {
                // So does one that leads to nothing yet.
                let path = match path.is_symlink() {
                    true => place(path),
                    false => path.to_owned(),
                };
                let file = beside(&path, None).map_err(failed)?;
                (Target::Beside(file), path, force)
            }
        };
        Ok(Output { writer: BufWriter::new(target), path, replaces, spares })
    }

    /// True if it is a terminal, where a person sees at once what is written.
    pub fn is_terminal(&self) -> bool {
        matches!(self.writer.get_ref(), Target::Straight(file) if file.is_terminal())
    }

    /// Gives the file its name, once everything is written.
    ///
    /// # Errors
    ///
    /// If not all of it can be written, or another file took the name meanwhile and may not be
    /// replaced, or the file of that name was read or written meanwhile. The earlier file stays
    /// then.
    pub fn finish(self) -> Result<(), OutputProblem> {
        let Output { writer, path, replaces, spares } = self;
        let failed = |source| OutputProblem::Io { source, path: path.clone() };
        match writer.into_inner().map_err(|error| failed(error.into_error()))? {
            Target::Straight(mut file) => file.flush().map_err(failed),
            Target::Beside(file) => {
                // Otherwise a loss of power could leave an empty file in the place of the old one.
                file.as_file().sync_all().map_err(failed)?;
                if spares {
                    refuse_used(&path, path.metadata().ok().as_ref())?;
                }
                match replaces {
                    true => file.persist(&path).map(drop).map_err(|error| failed(error.error))?,
                    false => publish(file, &path)?,
                }
                note_written(&path);
                Ok(())
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::Beside(file) => file.write(bytes),
            Target::Straight(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Beside(file) => file.flush(),
            Target::Straight(file) => file.flush(),
        }
    }
}

/// Writes a whole file as [`Output`] does.
///
/// # Errors
///
/// Those of [`Output::create`] and [`Output::finish`].
pub fn write(
    path: &Path,
    bytes: &[u8],
    force: bool,
    inputs: &[&Path],
) -> Result<(), OutputProblem> {
    let mut output = Output::create(path, force, inputs)?;
    output
        .write_all(bytes)
        .map_err(|source| OutputProblem::Io { source, path: path.to_owned() })?;
    output.finish()
}

/// Refuses a name for a file that is written in some other way, or only later: the rules of
/// [`Output::create`].
///
/// # Errors
///
/// If something is there and `force` is false, or if it is one of the inputs, a file that this
/// process uses otherwise, or a folder.
pub fn refuse(path: &Path, force: bool, inputs: &[&Path]) -> Result<(), OutputProblem> {
    let about = match path.metadata() {
        // It cannot be there later either.
        Err(source) if source.kind() == ErrorKind::InvalidFilename => {
            return Err(OutputProblem::Io { source, path: path.to_owned() });
        }
        about => about.ok(),
    };
    refuse_folder(path, about.as_ref())?;
    if let Some(about) = &about
        && let Some(input) = inputs.iter().find(|input| is_same(path, about, input))
    {
        let (input, path) = (input.to_path_buf(), path.to_owned());
        return Err(OutputProblem::IsInput { input, path });
    }
    refuse_used(path, about.as_ref())?;
    match !force && is_replaceable(path) {
        true => Err(OutputProblem::Exists { path: path.to_owned() }),
        false => Ok(()),
    }
}

fn refuse_folder(path: &Path, about: Option<&Metadata>) -> Result<(), OutputProblem> {
    match about.is_some_and(Metadata::is_dir) {
        true => {
            let source = ErrorKind::IsADirectory.into();
            Err(OutputProblem::Io { source, path: path.to_owned() })
        }
        false => Ok(()),
    }
}

/// Refuses what this process uses otherwise.
fn refuse_used(path: &Path, about: Option<&Metadata>) -> Result<(), OutputProblem> {
    let found = about.and_then(|about| used::find(|used| is_same(path, about, used)));
    let path = path.to_owned();
    match found {
        None => Ok(()),
        Some((input, Use::Read)) => Err(OutputProblem::IsInput { input, path }),
        Some((_, Use::Written)) => Err(OutputProblem::IsOutput { path }),
    }
}

/// True if two names are those of one file, which need not be there yet. Devices and pipes take what
/// several write.
pub fn is_same_name(one: &Path, other: &Path) -> bool {
    match one.metadata() {
        Ok(about) => is_same(one, &about, other),
        Err(_) => place(one) == place(other),
    }
}

/// The name that a file gets that is written there, links followed.
fn place(path: &Path) -> PathBuf {
    /// As many links as systems follow at most.
    const MAX_LINKS: u32 = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        match path.read_link() {
            Ok(to) => path = folder.join(to),
            Err(_) => {
                let folder = folder.canonicalize().unwrap_or(folder);
                return path.file_name().map_or(folder.clone(), |name| folder.join(name));
            }
        }
    }
    path
}

/// A new file in the same folder, with the rights of the one it replaces or those of new files.
fn beside(path: &Path, known: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".glovebox-").suffix(".partial");
    // Opened here: the library would make it private for good, and name it in errors.
    let open = |path: &Path| File::options().write(true).create_new(true).open(path);
    let file = builder.make_in(folder.unwrap_or(Path::new(".")), open)?;
    if let Some(known) = known {
        file.as_file().set_permissions(known.permissions())?;
    }
    Ok(file)
}

/// Gives a file a name that nothing has.
fn publish(file: NamedTempFile, path: &Path) -> Result<(), OutputProblem> {
    let Err(error) = file.persist_noclobber(path) else {
        return Ok(());
    };
    let exists = path.symlink_metadata().is_ok();
    if exists {
        return Err(OutputProblem::Exists { path: path.to_owned() });
    }
    let failed = |source| OutputProblem::Io { source, path: path.to_owned() };
    // FAT can neither rename without overwriting nor link.
    match error.error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unsupported => {
            error.file.persist(path).map(drop).map_err(|error| failed(error.error))
        }
        _ => Err(failed(error.error)),
    }
}

/// Opens a pipe that somebody reads, a device, or a file behind a descriptor. To wait for a reader
/// could take for ever, and no signal would end it.
#[cfg(unix)]
fn straight(path: &Path, append: bool) -> io::Result<File> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use rustix::io::Errno;
    use std::os::unix::fs::OpenOptionsExt;
    // The flags of the system are a number of 32 bits, whose highest is not used.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = File::options().write(true).append(append).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => io::Error::new(ErrorKind::NotConnected, "nobody reads this pipe"),
        _ => error,
    })?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(not(unix))]
fn straight(path: &Path, append: bool) -> io::Result<File> {
    File::options().write(true).append(append).open(path)
}

/// True for a file, and for a link that leads to one or nowhere. Devices and pipes stay.
pub fn is_replaceable(path: &Path) -> bool {
    let is_file = path.metadata().map_or(true, |about| about.is_file());
    path.symlink_metadata().is_ok() && is_file && !is_descriptor(path)
}

/// True for a name of something that this process has open already.
fn is_descriptor(path: &Path) -> bool {
    let folders = ["/dev/fd", "/proc/self/fd"];
    let names = ["/dev/stdout", "/dev/stderr"];
    cfg!(unix)
        && (folders.iter().any(|folder| path.starts_with(folder))
            || names.iter().any(|name| path == Path::new(name)))
}

#[cfg(unix)]
fn is_same(_: &Path, about: &Metadata, input: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |other: Metadata| (other.dev(), other.ino()) == (about.dev(), about.ino());
    // Nobody loses anything if a device or a pipe is read and written.
    about.is_file() && input.metadata().is_ok_and(same)
}

#[cfg(not(unix))]
fn is_same(path: &Path, about: &Metadata, input: &Path) -> bool {
    about.is_file() && same_file::is_same_file(path, input).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks writing `out` in a folder with the files `in` and `old`.
    fn check(prepare: fn(&Path), out: &str, force: bool, expected: Result<(), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let [input, old, path] = ["in", "old", out].map(|name| folder.path().join(name));
        std::fs::write(&input, "precious").unwrap();
        std::fs::write(&old, "old").unwrap();
        prepare(folder.path());
        let before = listing(folder.path());
        let written = write(&path, b"new", force, &[&folder.path().join("none"), &input]);
        match (written, expected) {
            (Ok(()), Ok(())) => assert_eq!(std::fs::read(&path).unwrap(), b"new", "{out}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{out}: {error}");
                assert_eq!(listing(folder.path()), before, "{out}");
            }
            (written, expected) => panic!("{out}: {written:?}, expected {expected:?}"),
        }
        assert_eq!(std::fs::read(&input).unwrap(), b"precious", "{out}");
        let left = listing(folder.path());
        assert!(!left.iter().any(|(name, _)| name.ends_with(".partial")), "{left:?}");
    }

    fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
            .map(|(name, path)| (name, std::fs::read(path).unwrap_or_default()))
            .collect();
        all.sort();
        all
    }

    const NOTHING: fn(&Path) = |_| {};

    #[test]
    fn nothing_is_overwritten_unasked() {
        check(NOTHING, "new", false, Ok(()));
        check(NOTHING, "new", true, Ok(()));
        check(NOTHING, "old", false, Err("will not overwrite"));
        check(NOTHING, "old", true, Ok(()));
        check(NOTHING, "no/folder", true, Err("(os error 2); make the folder first"));
        check(
            |folder| std::fs::create_dir(folder.join("folder")).unwrap(),
            "folder",
            true,
            Err("directory"),
        );
    }

    #[test]
    fn an_input_is_never_written() {
        check(NOTHING, "in", false, Err("it is the input"));
        check(NOTHING, "in", true, Err("it is the input"));
        check(NOTHING, "./in", true, Err("it is the input"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_seen_through() {
        use std::os::unix::fs::symlink;
        fn linked(folder: &Path) {
            std::fs::hard_link(folder.join("in"), folder.join("hard")).unwrap();
            symlink("in", folder.join("soft")).unwrap();
            symlink("soft", folder.join("softer")).unwrap();
            symlink("old", folder.join("to-old")).unwrap();
            symlink("nowhere", folder.join("dangling")).unwrap();
        }
        check(linked, "hard", true, Err("it is the input"));
        check(linked, "soft", true, Err("it is the input"));
        check(linked, "softer", true, Err("it is the input"));
        check(linked, "to-old", false, Err("will not overwrite"));
        check(linked, "to-old", true, Ok(()));
        check(linked, "dangling", false, Err("will not overwrite"));
        check(linked, "dangling", true, Ok(()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn devices_and_pipes_are_written_straight() {
        use std::io::Read as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        write(Path::new("/dev/null"), b"new", false, &[Path::new("/dev/null")]).unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        // Nobody reads it yet: to wait for that could take for ever.
        let error = write(&pipe, b"new", false, &[]).unwrap_err();
        assert!(error.to_string().contains("nobody reads this pipe; start the"), "{error}");
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut reader = File::options().read(true).custom_flags(flags).open(&pipe).unwrap();
        write(&pipe, b"new", false, &[]).unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "new");
    }

    #[cfg(unix)]
    #[test]
    fn rights_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, b"new", true, &[]).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_name_taken_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let mut output = Output::create(&path, false, &[]).unwrap();
        output.write_all(b"new").unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert!(matches!(output.finish(), Err(OutputProblem::Exists { .. })));
        assert_eq!(listing(folder.path()), [("new".to_owned(), b"theirs".to_vec())]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&folder.path().join("new"), false, &[]).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert!(listing(folder.path()).is_empty());
    }
}
