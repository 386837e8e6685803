//! The stages read, sniff and parse manifest: an artifact in memory, with its manifest.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use glovebox_abi::Manifest;
use glovebox_abi::manifest::{Artifact as Artifacts, DIGEST_PREFIX};
use glovebox_events::LoadStage;
use glovebox_files::FileKind;
use wasmparser::{BinaryReaderError, Parser, Payload, Validator, WasmFeatures};
use wast::Wat;
use wast::core::{Func, FuncKind, ModuleField, ModuleKind};
use wast::parser::{self, ParseBuffer};

use super::budget::budget_of_source;
use super::classify::{Class, Classified, classify};
use super::file::absolute;
use super::manifest::{MAX_MANIFEST_LEN, bare, parse_embedded, read_manifest};
use super::prepare::Prepared;
use super::tree::Tree;
use super::{Place, Source, file, library, tree};
use crate::problem::{ArtifactKind, LoadError, LoadProblem, Origin, shorten};
use crate::record::span;

/// The largest artifact that is read: 256 MiB.
pub const MAX_ARTIFACT_LEN: u64 = 256 << 20;
/// The largest text that is assembled, which takes many times its size: 4 MiB.
pub(super) const MAX_TEXT_LEN: u64 = 4 << 20;
/// An artifact whose bytes are in memory and recognized, with its manifest; nothing ran yet.
#[derive(Clone)]
pub(crate) struct Artifact {
    pub(crate) origin: Origin,
    pub(crate) kind: ArtifactKind,
    pub(super) class: Class,
    /// Binary: text was assembled. Of an image its name, of a root folder the list of what lies in it.
    pub(crate) bytes: Bytes,
    /// How much there is of it, in bytes.
    pub(crate) size: u64,
    pub(crate) digest: String,
    pub(crate) manifest: Manifest,
    /// True if there is no manifest, so that defaults hold.
    pub(crate) bare: bool,
    /// Where relative paths of the manifest start; `None` for one from memory.
    pub(crate) base: Option<PathBuf>,
}

impl Artifact {
    /// The artifact that a library was prepared from, read again; `None` if these are other bytes.
    pub(super) fn again(prepared: &Prepared, bytes: Bytes) -> Option<Artifact> {
        let is_same = digest(prepared.manifest.runtime.command.iter(), &bytes) == prepared.digest;
        is_same.then(|| Artifact {
            origin: prepared.origin.clone(),
            kind: ArtifactKind::of(&bytes),
            class: Class::Plugin,
            size: bytes.len() as u64,
            bytes,
            digest: prepared.digest.clone(),
            manifest: (*prepared.manifest).clone(),
            bare: prepared.bare,
            base: prepared.base.clone(),
        })
    }
}

/// The facts about an artifact before it is opened.
struct Unopened {
    origin: Origin,
    /// Its name if nothing gives it another one.
    name: String,
    bytes: Bytes,
    /// Bytes of it that lie elsewhere.
    size: Option<u64>,
    /// The manifest that holds in place of the one inside.
    manifest: Option<Manifest>,
    base: Option<PathBuf>,
    fallback: Option<PathBuf>,
}

/// Reads an artifact; nothing of it runs.
pub(crate) fn read(source: &Source) -> Result<Artifact, LoadError> {
    let given = source.manifest.as_deref().cloned();
    let name = source.name();
    match &source.place {
        Place::Path(path) => {
            let Located { artifact, opened, manifest, base, fallback } = locate(path)?;
            let _span = span::stage(LoadStage::Read).entered();
            let kind = manifest.as_ref().and_then(framed);
            let named = manifest.as_ref().map(|manifest| &manifest.artifact);
            let read = match (kind, named) {
                // It is the engine's; its name tells what is in it.
                (Some(ArtifactKind::Image), Some(Artifacts { image: Some(image), .. })) => {
                    Ok((image.clone().into_bytes(), None))
                }
                (Some(ArtifactKind::Rootfs), Some(Artifacts { rootfs: Some(rootfs), .. })) => {
                    open_rootfs(&base, rootfs).and_then(|folder| {
                        let Tree { list, size } = tree::read(&folder)?;
                        Ok((list.into_bytes(), Some(size)))
                    })
                }
                _ => match opened {
                    Some(opened) => file::read_opened(opened, MAX_ARTIFACT_LEN),
                    None => file::read(&artifact, MAX_ARTIFACT_LEN),
                }
                .map(|bytes| (bytes, None)),
            };
            let (bytes, size) = read.map_err(|problem| {
                LoadError::new(LoadStage::Read, Some(artifact.as_path().into()), problem)
            })?;
            drop(_span);
            let name = artifact.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            take_apart(Unopened {
                name,
                origin: Origin::File(artifact),
                bytes: bytes.into(),
                size,
                manifest: given.or(manifest),
                base: Some(base),
                fallback,
            })
        }
        Place::Bytes { bytes, .. } => {
            let (origin, size) = (source.origin(), bytes.len() as u64);
            if size > MAX_ARTIFACT_LEN {
                let problem = LoadProblem::TooLarge { size, limit: MAX_ARTIFACT_LEN };
                return Err(LoadError::new(LoadStage::Read, Some(origin), problem));
            }
            let bytes = bytes.clone();
            take_apart(Unopened {
                origin,
                name,
                bytes,
                size: None,
                manifest: given,
                base: None,
                fallback: None,
            })
        }
        Place::Core { .. } => {
            let problem = LoadProblem::Nothing("artifact: the plugin is part of the application");
            Err(LoadError::new(LoadStage::Read, Some(source.origin()), problem))
        }
    }
}

fn take_apart(unopened: Unopened) -> Result<Artifact, LoadError> {
    let Unopened { origin, name, bytes, size, manifest, base, fallback } = unopened;
    let at = |stage, problem| LoadError::new(stage, Some(origin.clone()), problem);
    let framed = manifest.as_ref().and_then(framed);
    let command = manifest.iter().flat_map(|manifest| &manifest.runtime.command);
    let digest = digest(command, &bytes);
    // Before anybody looks inside: a digest is the only proof that nothing was changed or lost.
    if let Some(manifest) = &manifest {
        span::stage(LoadStage::Signature)
            .in_scope(|| check_digest(manifest, &digest))
            .map_err(|problem| at(LoadStage::Signature, problem))?;
    }
    let found = framed.unwrap_or_else(|| ArtifactKind::of(&bytes));
    let (kind, bytes) = span::stage(LoadStage::Sniff)
        .in_scope(|| recognize(found, bytes))
        .map_err(|problem| at(LoadStage::Sniff, problem))?;
    let classified = classify(kind, &*bytes, bytes.len() as u64);
    let Classified { class, manifest: inside, asks } =
        classified.map_err(|problem| at(LoadStage::Sniff, problem))?;
    if kind.is_library() {
        span::stage(LoadStage::Sniff)
            .in_scope(|| class.refuse().and_then(|()| library::check(&bytes)))
            .map_err(|problem| at(LoadStage::Sniff, problem))?;
    }
    let embedded = || {
        span::stage(LoadStage::ParseManifest)
            .in_scope(|| inside.map_or(Ok(None), parse_embedded))
            .map_err(|problem| at(LoadStage::ParseManifest, problem))
    };
    let found = match manifest {
        Some(manifest) => Some(manifest),
        None => match (embedded()?, fallback) {
            (Some(manifest), _) => Some(manifest),
            (None, Some(beside)) => Some(read_manifest(&beside)?),
            (None, None) => None,
        },
    };
    let is_bare = found.is_none();
    let mut manifest = found.unwrap_or_else(|| bare(&name, &asks));
    manifest.budget = budget_of_source(kind, &bytes)
        .and_then(|attribute| Ok(manifest.budget.merged(attribute)?))
        .map_err(|problem| at(LoadStage::ParseManifest, problem))?;
    let size = size.unwrap_or(bytes.len() as u64);
    Ok(Artifact { origin, kind, class, bytes, size, digest, manifest, bare: is_bare, base })
}

/// Opens the root folder of a plugin, which lies in the folder of its manifest, wherever links lead.
pub(super) fn open_rootfs(base: &Path, rootfs: &str) -> Result<File, LoadProblem> {
    file::open_dir_below(base, rootfs).map_err(|problem| match problem {
        LoadProblem::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            LoadProblem::NoArtifact { reason: format!("{rootfs} does not exist") }
        }
        problem => problem,
    })
}

/// Where an artifact lies and what is said about it outside of it.
pub(super) struct Located {
    pub(super) artifact: PathBuf,
    /// A program, open, with its length: another file of its name is not it.
    pub(super) opened: Option<(File, u64)>,
    /// The manifest that names the artifact.
    pub(super) manifest: Option<Manifest>,
    /// The folder of the manifest; that of the artifact if there is none.
    pub(super) base: PathBuf,
    /// A `plugin.toml` beside the artifact that names no artifact at all: it counts if the artifact
    /// has no manifest inside.
    pub(super) fallback: Option<PathBuf>,
}

/// Finds the artifact that `path` means, and the manifest that lies beside it.
pub(super) fn locate(path: &Path) -> Result<Located, LoadError> {
    let is_manifest = path.extension().is_some_and(|extension| extension == "toml");
    let manifest_path = if path.is_dir() {
        path.join("plugin.toml")
    } else if is_manifest {
        path.to_owned()
    } else {
        return beside(path);
    };
    let manifest = read_manifest(&manifest_path)?;
    let folder = manifest_path.parent().unwrap_or(Path::new(""));
    if matches!(framed(&manifest), Some(ArtifactKind::Image | ArtifactKind::Rootfs)) {
        let base = absolute(folder);
        let artifact = manifest_path.clone();
        let (opened, fallback) = (None, None);
        return Ok(Located { artifact, opened, manifest: Some(manifest), base, fallback });
    }
    let Artifacts { wasm, native, program, .. } = &manifest.artifact;
    let named = [wasm.clone(), native.clone(), program.clone()];
    let mut candidates = named.iter().flatten().map(|name| folder.join(name));
    match candidates.find(|candidate| candidate.exists()) {
        Some(artifact) => {
            let base = absolute(folder);
            let opened = open_program(&manifest, &manifest_path)?;
            Ok(Located { artifact, opened, manifest: Some(manifest), base, fallback: None })
        }
        None => {
            let names: Vec<&str> = named.iter().flatten().map(String::as_str).collect();
            let reason = match names.as_slice() {
                [] => {
                    "[artifact] names neither `wasm` nor `native` nor `program` nor `rootfs` nor \
                       `image`"
                        .to_owned()
                }
                names => format!("{} does not exist", names.join(" or ")),
            };
            let problem = LoadProblem::NoArtifact { reason };
            Err(LoadError::new(LoadStage::Read, Some(manifest_path.into()), problem))
        }
    }
}

/// Opens the program of a plugin, if that is its artifact. One that is not in the folder of its manifest,
/// wherever links lead, is refused: the plugin reads its program, and a file from elsewhere would be one
/// that nobody granted.
fn open_program(
    manifest: &Manifest,
    manifest_path: &Path,
) -> Result<Option<(File, u64)>, LoadError> {
    let Some(program) = manifest.artifact.program.as_ref().filter(|_| framed(manifest).is_some())
    else {
        return Ok(None);
    };
    let folder = manifest_path.parent().unwrap_or(Path::new(""));
    let opened = file::open_below(folder, program, MAX_ARTIFACT_LEN).map_err(|problem| {
        // The manifest is what leads out; any other problem is the program's.
        let origin = match problem {
            LoadProblem::LeadsOut { .. } => manifest_path.to_owned(),
            _ => folder.join(program),
        };
        LoadError::new(LoadStage::Read, Some(origin.into()), problem)
    })?;
    Ok(Some(opened))
}

/// The files on which it depends what `path` is: those that [`locate`] reads or looks for.
pub(crate) fn files_of(path: &Path) -> Vec<PathBuf> {
    let is_manifest = path.extension().is_some_and(|extension| extension == "toml");
    let (manifest, mut files) = if path.is_dir() {
        (path.join("plugin.toml"), Vec::new())
    } else if is_manifest {
        (path.to_owned(), Vec::new())
    } else {
        (path.with_file_name("plugin.toml"), vec![path.to_owned()])
    };
    let folder = manifest.parent().unwrap_or(Path::new(""));
    files.extend(names_in(&manifest).into_iter().map(|name| folder.join(name)));
    files.push(manifest);
    files
}

/// An artifact by its own path. A `plugin.toml` in the same folder must be right only if it is about
/// this artifact: folders may hold many.
fn beside(path: &Path) -> Result<Located, LoadError> {
    let artifact = path.to_owned();
    let beside = path.with_file_name("plugin.toml");
    let folder = path.parent().unwrap_or(Path::new(""));
    let base = absolute(folder);
    if !beside.is_file() {
        return Ok(Located { artifact, opened: None, manifest: None, base, fallback: None });
    }
    let names = names_in(&beside);
    if names.iter().any(|name| folder.join(name) == path) {
        let manifest = read_manifest(&beside)?;
        let opened = open_program(&manifest, &beside)?;
        return Ok(Located { artifact, opened, manifest: Some(manifest), base, fallback: None });
    }
    let fallback = names.is_empty().then_some(beside);
    Ok(Located { artifact, opened: None, manifest: None, base, fallback })
}

/// The artifacts that a manifest names, whatever else is wrong with it.
pub fn names_in(manifest: &Path) -> Vec<String> {
    let text = file::read(manifest, MAX_MANIFEST_LEN).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let section = table.get("artifact").and_then(toml::Value::as_table);
    let values = section.into_iter().flat_map(toml::Table::values);
    values.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// The kind of the artifact of a manifest, if it is one of which its bytes tell nothing.
pub(super) fn framed(manifest: &Manifest) -> Option<ArtifactKind> {
    match &manifest.artifact {
        Artifacts { wasm: None, native: None, program: Some(_), .. } => {
            Some(ArtifactKind::FramedProgram)
        }
        Artifacts { wasm: None, native: None, rootfs: Some(_), .. } => Some(ArtifactKind::Rootfs),
        Artifacts { wasm: None, native: None, image: Some(_), .. } => Some(ArtifactKind::Image),
        _ => None,
    }
}

/// The digest of an artifact, with the command that starts it, if there is one: the same file does other
/// things under another interpreter.
fn digest<'a>(command: impl Iterator<Item = &'a String>, bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for word in command {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.update(bytes).finalize().to_hex().to_string()
}

fn check_digest(manifest: &Manifest, digest: &str) -> Result<(), LoadProblem> {
    let found = format!("{DIGEST_PREFIX}{digest}");
    let expected = &manifest.artifact.digest;
    if expected.is_empty() || expected.contains(&found) {
        return Ok(());
    }
    Err(LoadProblem::Digest { found, expected: expected.join(" or ") })
}

/// Turns text into bytes.
fn recognize(kind: ArtifactKind, bytes: Bytes) -> Result<(ArtifactKind, Bytes), LoadProblem> {
    match kind {
        ArtifactKind::WasmText if bytes.len() as u64 > MAX_TEXT_LEN => {
            let (what, size) = ("WebAssembly text", bytes.len() as u64);
            Err(LoadProblem::TextTooLarge { what, size, limit: MAX_TEXT_LEN })
        }
        ArtifactKind::WasmText => assemble(&bytes),
        kind => Ok((kind, bytes)),
    }
}

/// The module or component that a text describes, which may have a byte order mark in front.
pub(super) fn assemble(text: &[u8]) -> Result<(ArtifactKind, Bytes), LoadProblem> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let bytes = wat::parse_bytes(text).map_err(|error| wrong_text(&error))?;
    // A place in the text helps its author; the compiler knows only one in the binary.
    match Validator::new_with_features(WasmFeatures::all()).validate_all(&bytes) {
        Ok(_) => Ok((ArtifactKind::of(&bytes), bytes.into_owned().into())),
        Err(error) => Err(invalid_text(text, &bytes, &error)),
    }
}

/// A text that follows its grammar and describes what cannot be. If it is wrong in a function of a module,
/// the place is where the function begins.
fn invalid_text(text: &[u8], bytes: &[u8], error: &BinaryReaderError) -> LoadProblem {
    let message = shorten(&error.message().replace('\n', "; "));
    match function_at(bytes, error.offset()).and_then(|number| place_of_function(text, number)) {
        Some(place) => {
            let reason = format!("in the function that begins there, {message}");
            LoadProblem::WrongText { reason, place: Some(place) }
        }
        None => LoadProblem::WrongText { reason: message, place: None },
    }
}

/// The number of the function of a module whose code stands at an offset, among those with code.
fn function_at(module: &[u8], offset: usize) -> Option<usize> {
    let payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    let code = payloads.filter_map(|payload| match payload {
        Payload::CodeSectionEntry(body) => Some(body.range()),
        _ => None,
    });
    let mut code = code.take_while(|_| FileKind::of(module) == FileKind::CoreModule);
    code.position(|range| (range.start..=range.end).contains(&offset))
}

/// Line and column, from 1, of a function of a module in its text, by its number among those with code.
fn place_of_function(text: &[u8], number: usize) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let buffer = ParseBuffer::new(text).ok()?;
    let Ok(Wat::Module(module)) = parser::parse(&buffer) else { return None };
    let ModuleKind::Text(fields) = module.kind else { return None };
    let mut functions = fields.iter().filter_map(|field| match field {
        ModuleField::Func(Func { span, kind: FuncKind::Inline { .. }, .. }) => Some(span),
        _ => None,
    });
    let (line, column) = functions.nth(number)?.linecol_in(text);
    Some((line as u64 + 1, column as u64 + 1))
}

/// Takes apart what the library shows: what is wrong, `--> FILE:LINE:COLUMN`, and the line itself.
fn wrong_text(error: &wat::Error) -> LoadProblem {
    let shown = error.to_string();
    let mut lines = shown.lines().map(str::trim);
    let reason = shorten(lines.next().unwrap_or_default());
    let place = lines.find_map(|line| line.strip_prefix("--> ")).and_then(|place| {
        let (rest, column) = place.rsplit_once(':')?;
        let (_, line) = rest.rsplit_once(':')?;
        Some((line.parse().ok()?, column.parse().ok()?))
    });
    LoadProblem::WrongText { reason, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that was checked is the one that is read, whatever takes its name in between.
    #[cfg(unix)]
    #[test]
    fn a_program_is_opened_once() {
        fn check(swap: impl Fn(&Path, &Path)) {
            let outer = tempfile::tempdir().unwrap();
            let (folder, secret) = (outer.path().join("plugin"), outer.path().join("secret"));
            std::fs::create_dir_all(folder.join("bin")).unwrap();
            std::fs::write(&secret, "of this user").unwrap();
            std::fs::write(folder.join("bin/program"), "its own").unwrap();
            let text = "[plugin]\nid = \"a\"\n[artifact]\nprogram = \"bin/program\"\n";
            std::fs::write(folder.join("plugin.toml"), text).unwrap();
            let Located { opened, .. } = locate(&folder).unwrap();
            swap(&folder, &secret);
            let read = file::read_opened(opened.expect("it is a program"), MAX_ARTIFACT_LEN);
            assert_eq!(read.unwrap(), b"its own");
            // From then on, it is refused.
            let error = locate(&folder).err().expect("it leads out");
            assert!(matches!(error.problem(), LoadProblem::LeadsOut { .. }), "{error}");
        }
        use std::os::unix::fs::symlink;
        check(|folder, secret| {
            std::fs::rename(folder.join("bin/program"), folder.join("old")).unwrap();
            symlink(secret, folder.join("bin/program")).unwrap();
        });
        check(|folder, secret| {
            std::fs::rename(folder.join("bin"), folder.join("old")).unwrap();
            let elsewhere = secret.with_file_name("elsewhere");
            std::fs::create_dir(&elsewhere).unwrap();
            std::fs::write(elsewhere.join("program"), "of this user").unwrap();
            symlink(elsewhere, folder.join("bin")).unwrap();
        });
    }

    #[test]
    fn errors_of_a_text_point_to_it() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = assemble(text.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!(format!("{error}; {}", error.remedy()), expected, "{text}");
        }
        check(
            "(module\n  (memory 1)\n  (fun))",
            "the WebAssembly text is wrong in line 3, column 4: expected valid module field; correct it \
             there",
        );
        let mismatch = "in the function that begins there, type mismatch: expected i32, found i64";
        check(
            "\u{FEFF}(module (import \"a\" \"b\" (func))\n  (func)\n  (func (export \"x\") (result i32)\n    \
             i64.const 1))",
            &format!(
                "the WebAssembly text is wrong in line 3, column 4: {mismatch}; correct it there"
            ),
        );
        check(
            "(module (func (import \"a\" \"b\")) (func (result i32) (i64.const 1)))",
            &format!(
                "the WebAssembly text is wrong in line 1, column 34: {mismatch}; correct it there"
            ),
        );
        check(
            "(component (import \"a B\" (func)))",
            "the WebAssembly text is wrong: import name `a B` is not a valid extern name; `a B` is not in \
             kebab case; correct it",
        );
    }
}
