//! The stages before a plugin runs: read, sniff, parse manifest, policy, compile, link.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use glovebox_abi::manifest::{DIGEST_PREFIX, Isolation, Tier};
use glovebox_abi::{Manifest, frame_abi, native};
use glovebox_events::{Binding, LoadStage};
use glovebox_files::Scratch;
use object::{Object, ObjectSection};
use wasmtime::Module;
use wasmtime::component::Component;

use super::budget::budget_of_source;
use super::compile::{CompileStatus, Compiles, MAX_DEADLINE, deadline_of_size};
use super::foreign;
use super::interface::Interface;
use super::sniff::without_mark;
use super::{ArtifactKind, LoadError, LoadProblem, LoadRequest, Source, file};
use crate::backend::Code;
use crate::backend::native::NativeCode;
use crate::backend::wasm::{Engines, Program, Setting, WasmEngine};
use crate::observe::span;
use crate::policy::Subject;

/// The largest artifact that is read: 256 MiB.
pub const MAX_ARTIFACT_LEN: u64 = 256 << 20;
/// The largest manifest that is read: 1 MiB.
pub(super) const MAX_MANIFEST_LEN: u64 = 1 << 20;

/// An artifact whose bytes are in memory and recognized, with its manifest; nothing ran yet.
pub(crate) struct Artifact {
    pub(crate) path: PathBuf,
    pub(crate) kind: ArtifactKind,
    /// Binary: text was assembled.
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    pub(crate) manifest: Manifest,
    /// True if there is no manifest, so that defaults hold.
    pub(crate) bare: bool,
    /// Where relative paths of the manifest start.
    pub(crate) base: PathBuf,
}

/// Checked, compiled code and what is known about it.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) code: Code,
    pub(crate) manifest: Arc<Manifest>,
    /// True if there is no manifest, so that defaults hold.
    pub(crate) bare: bool,
    pub(crate) binding: Binding,
    pub(crate) tier: Tier,
    pub(crate) digest: String,
    pub(crate) path: Option<PathBuf>,
    /// Where relative paths of the manifest start; `None` for the core tier.
    pub(crate) base: Option<PathBuf>,
    pub(crate) cached: bool,
}

/// What preparing needs from the host.
pub(crate) struct Preparer {
    pub(crate) engines: Arc<Engines>,
    compiles: Compiles,
    /// What no compile takes longer than unless its load says so.
    max_compile_deadline: Duration,
    /// Private copies of libraries; removed with the host.
    copies: Scratch,
    /// Libraries that were opened, and so stay mapped.
    pub(crate) mapped: AtomicU64,
}

impl Prepared {
    /// What rules are applied to, beside its manifest.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            digest: &self.digest,
            path: self.path.as_deref(),
            bare: self.bare,
            base: self.base.as_deref(),
        }
    }

    /// True if nothing is different: neither the artifact nor what is said about it.
    pub(crate) fn is_as(&self, other: &Prepared) -> bool {
        self.digest == other.digest && self.manifest == other.manifest
    }
}

impl Preparer {
    pub(crate) fn new(
        engines: Engines,
        max_compile_deadline: Option<Duration>,
        copies: Scratch,
    ) -> Preparer {
        Preparer {
            engines: Arc::new(engines),
            compiles: Compiles::new(),
            max_compile_deadline: max_compile_deadline.unwrap_or(MAX_DEADLINE),
            copies,
            mapped: AtomicU64::new(0),
        }
    }

    /// The compiles that are under way, those first that began first.
    pub(crate) fn compiling(&self) -> Vec<CompileStatus> {
        self.compiles.list()
    }

    /// Ends the wait for one of them.
    pub(crate) fn cancel_compile(&self, id: u64) -> bool {
        self.compiles.cancel(id)
    }

    pub(crate) fn prepare(&self, request: &LoadRequest) -> Result<Prepared, LoadError> {
        let path = match &request.source {
            Source::Path(path) => path,
            Source::Core(manifest, factory) => {
                let manifest = configured((**manifest).clone(), request)
                    .map_err(|problem| LoadError::new(LoadStage::ParseManifest, None, problem))?;
                return Ok(Prepared {
                    code: Code::Core(factory.clone()),
                    manifest: Arc::new(manifest),
                    bare: false,
                    binding: Binding::Core,
                    tier: Tier::Core,
                    digest: String::new(),
                    path: None,
                    base: None,
                    cached: false,
                });
            }
        };
        let artifact = admitted(path, request)?;
        let stage_of = |problem: &LoadProblem| match problem {
            LoadProblem::Incompatible(_) => LoadStage::Link,
            LoadProblem::Foreign(_) => LoadStage::Sniff,
            _ => LoadStage::Compile,
        };
        let (code, binding, cached) = self.compile(&artifact, request).map_err(|problem| {
            LoadError::new(stage_of(&problem), Some(artifact.path.clone()), problem)
        })?;
        let tier = if binding == Binding::Native { Tier::Native } else { Tier::Wasm };
        Ok(Prepared {
            code,
            manifest: Arc::new(artifact.manifest),
            bare: artifact.bare && request.permissions.is_none(),
            binding,
            tier,
            digest: artifact.digest,
            path: Some(artifact.path),
            base: Some(artifact.base),
            cached,
        })
    }

    /// What is known of an artifact before it is compiled. A core plugin has nothing to wait for.
    pub(crate) fn glance(&self, request: &LoadRequest) -> Result<Prepared, LoadError> {
        let Source::Path(path) = &request.source else {
            return self.prepare(request);
        };
        let artifact = admitted(path, request)?;
        let (binding, tier) = match artifact.kind {
            ArtifactKind::Component => (Binding::Component, Tier::Wasm),
            ArtifactKind::CoreModule => (Binding::FrameAbi, Tier::Wasm),
            _ => (Binding::Native, Tier::Native),
        };
        Ok(Prepared {
            code: Code::Asleep,
            manifest: Arc::new(artifact.manifest),
            bare: artifact.bare && request.permissions.is_none(),
            binding,
            tier,
            digest: artifact.digest,
            path: Some(artifact.path),
            base: Some(artifact.base),
            cached: false,
        })
    }

    fn compile(
        &self,
        artifact: &Artifact,
        request: &LoadRequest,
    ) -> Result<(Code, Binding, bool), LoadProblem> {
        let manifest = &artifact.manifest;
        let metered = manifest.limits.fuel.is_some() || request.seed(manifest).is_some();
        let deadline = self.compile_deadline(artifact, request);
        match artifact.kind {
            ArtifactKind::Component => {
                let (code, cached) = self.machine_code::<Component>(artifact, metered, deadline)?;
                Ok((Code::Component(code), Binding::Component, cached))
            }
            ArtifactKind::CoreModule => {
                let (code, cached) = self.machine_code::<Module>(artifact, metered, deadline)?;
                Ok((Code::FrameAbi(code), Binding::FrameAbi, cached))
            }
            _ => Ok((Code::Native(Arc::new(self.open(artifact)?)), Binding::Native, false)),
        }
    }

    /// The code of a WebAssembly artifact, and whether it was compiled before.
    fn machine_code<P: Program>(
        &self,
        artifact: &Artifact,
        metered: bool,
        deadline: Duration,
    ) -> Result<(Arc<P::Code>, bool), LoadProblem> {
        let plain = self.engines.get(Setting { metered, demanding: false })?;
        // What was compiled before is only read, which no artifact can draw out: that needs neither
        // a deadline nor a thread.
        if let Some(code) = plain.loaded::<P>(&artifact.digest) {
            return Ok((code, true));
        }
        let stage = span::stage(LoadStage::Compile);
        if let Some(program) = stage.in_scope(|| plain.cached::<P>(&artifact.digest)) {
            drop(stage);
            return Ok((link(&program, &plain, &artifact.digest)?, true));
        }
        let (bytes, digest) = (artifact.bytes.clone(), artifact.digest.clone());
        let engines = self.engines.clone();
        let compile = move || {
            let (engine, ready) = stage.in_scope(|| {
                if let Some(foreign) = foreign::of_wasm(&Interface::of(&bytes)) {
                    return Err(LoadProblem::Foreign(foreign));
                }
                super::size::check(&bytes)?;
                let mut engine = plain;
                if Engines::is_demanding::<P>(&bytes)? {
                    engine = engines.get(Setting { metered, demanding: true })?;
                    if let Some(code) = engine.loaded::<P>(&digest) {
                        return Ok((engine, Ready::Linked(code)));
                    }
                    if let Some(program) = engine.cached::<P>(&digest) {
                        return Ok((engine, Ready::Compiled(program, true)));
                    }
                }
                let program = engine.compile::<P>(&bytes, &digest)?;
                Ok::<_, LoadProblem>((engine, Ready::Compiled(program, false)))
            })?;
            drop(stage);
            match ready {
                Ready::Compiled(program, cached) => {
                    Ok((link::<P>(&program, &engine, &digest)?, cached))
                }
                Ready::Linked(code) => Ok((code, true)),
            }
        };
        let size = artifact.bytes.len() as u64;
        self.compiles.run((&artifact.path, size), deadline, compile)
    }

    /// How long an artifact may take to compile: what the request says, else what the manifest says
    /// or its size suggests, if the host allows as much.
    fn compile_deadline(&self, artifact: &Artifact, request: &LoadRequest) -> Duration {
        request.compile_deadline.unwrap_or_else(|| {
            let asked = artifact.manifest.runtime.compile_deadline;
            asked
                .unwrap_or_else(|| deadline_of_size(artifact.bytes.len() as u64))
                .min(self.max_compile_deadline)
        })
    }

    /// Opens a private copy under a name of its own: a path that is open already would give the
    /// old code, and overwriting an open library kills the process.
    fn open(&self, artifact: &Artifact) -> Result<NativeCode, LoadProblem> {
        let _span = span::stage(LoadStage::Compile).entered();
        let suffix = artifact.path.extension().unwrap_or_default().to_string_lossy().into_owned();
        let mut copy = tempfile::Builder::new()
            .prefix(&artifact.digest[..16])
            .suffix(&format!(".{suffix}"))
            .tempfile_in(self.copies.path())?;
        std::io::Write::write_all(&mut copy, &artifact.bytes)?;
        let copy = copy.into_temp_path();
        let code = span::stage(LoadStage::Link).in_scope(|| NativeCode::open(&copy))?;
        self.mapped.fetch_add(1, Ordering::Relaxed);
        Ok(code)
    }
}

/// How far the code of an artifact is after the stage compile.
enum Ready<P: Program> {
    /// Other instances run it.
    Linked(Arc<P::Code>),
    /// To be linked; true if it came from the cache.
    Compiled(P, bool),
}

/// The stage link: connects what a program imports.
fn link<P: Program>(
    program: &P,
    engine: &Arc<WasmEngine>,
    digest: &str,
) -> Result<Arc<P::Code>, LoadProblem> {
    span::stage(LoadStage::Link).in_scope(|| engine.link(program, digest))
}

/// The manifest as the request wants it: under the configuration that it names, and with the
/// permissions that it has.
fn configured(mut manifest: Manifest, request: &LoadRequest) -> Result<Manifest, LoadProblem> {
    if let Some(name) = &request.configuration {
        manifest = manifest.configured(name)?;
    }
    if let Some(permissions) = &request.permissions {
        manifest.permissions = permissions.clone();
    }
    Ok(manifest)
}

/// The stages up to policy. Nothing of the plugin runs.
fn admitted(path: &Path, request: &LoadRequest) -> Result<Artifact, LoadError> {
    let mut artifact = read(path)?;
    artifact.manifest = configured(artifact.manifest, request).map_err(|problem| {
        LoadError::new(LoadStage::ParseManifest, Some(artifact.path.clone()), problem)
    })?;
    match span::stage(LoadStage::Policy).in_scope(|| admit(&artifact, request)) {
        Ok(()) => Ok(artifact),
        Err(problem) => Err(LoadError::new(LoadStage::Policy, Some(artifact.path), problem)),
    }
}

/// The stages read, sniff and parse manifest.
pub(crate) fn read(path: &Path) -> Result<Artifact, LoadError> {
    let at = |stage, path: &Path, problem| LoadError::new(stage, Some(path.to_owned()), problem);
    let Located { artifact: path, manifest, base, fallback } = locate(path)?;
    let bytes = span::stage(LoadStage::Read)
        .in_scope(|| file::read(&path, MAX_ARTIFACT_LEN))
        .map_err(|problem| at(LoadStage::Read, &path, problem))?;
    let digest = blake3::hash(&bytes).to_hex().to_string();
    // Before anybody looks inside: a digest is the only proof that nothing was changed or lost.
    if let Some(manifest) = &manifest {
        span::stage(LoadStage::Signature)
            .in_scope(|| check_digest(manifest, &digest))
            .map_err(|problem| at(LoadStage::Signature, &path, problem))?;
    }
    let (kind, bytes) = span::stage(LoadStage::Sniff)
        .in_scope(|| recognize(ArtifactKind::of(&bytes), bytes))
        .map_err(|problem| at(LoadStage::Sniff, &path, problem))?;
    let embedded = || {
        span::stage(LoadStage::ParseManifest)
            .in_scope(|| embedded_manifest(kind, &bytes))
            .map_err(|problem| at(LoadStage::ParseManifest, &path, problem))
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
    let mut manifest = found.unwrap_or_else(|| bare(&path));
    manifest.budget = budget_of_source(kind, &bytes)
        .and_then(|attribute| Ok(manifest.budget.merged(attribute)?))
        .map_err(|problem| at(LoadStage::ParseManifest, &path, problem))?;
    Ok(Artifact { path, kind, bytes, digest, manifest, bare: is_bare, base })
}

/// What holds for an artifact without a manifest.
pub(super) fn bare(path: &Path) -> Manifest {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Manifest::bare(stem.strip_prefix("lib").unwrap_or(&stem))
}

/// Where an artifact lies and what is said about it outside of it.
pub(super) struct Located {
    pub(super) artifact: PathBuf,
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
    let named = [manifest.artifact.wasm.clone(), manifest.artifact.native.clone()];
    let mut candidates = named.iter().flatten().map(|name| folder.join(name));
    match candidates.find(|candidate| candidate.exists()) {
        Some(artifact) => {
            let base = absolute(folder);
            Ok(Located { artifact, manifest: Some(manifest), base, fallback: None })
        }
        None => {
            let names: Vec<&str> = named.iter().flatten().map(String::as_str).collect();
            let reason = match names.as_slice() {
                [] => "[artifact] names neither `wasm` nor `native`".to_owned(),
                names => format!("{} does not exist", names.join(" or ")),
            };
            let problem = LoadProblem::NoArtifact { reason };
            Err(LoadError::new(LoadStage::Read, Some(manifest_path), problem))
        }
    }
}

/// An artifact by its own path. A `plugin.toml` in the same folder must be right only if it is about
/// this artifact: folders may hold many.
fn beside(path: &Path) -> Result<Located, LoadError> {
    let artifact = path.to_owned();
    let beside = path.with_file_name("plugin.toml");
    let folder = path.parent().unwrap_or(Path::new(""));
    let base = absolute(folder);
    if !beside.is_file() {
        return Ok(Located { artifact, manifest: None, base, fallback: None });
    }
    let names = names_in(&beside);
    if names.iter().any(|name| folder.join(name) == path) {
        let manifest = Some(read_manifest(&beside)?);
        return Ok(Located { artifact, manifest, base, fallback: None });
    }
    Ok(Located { artifact, manifest: None, base, fallback: names.is_empty().then_some(beside) })
}

/// The folder whatever the working folder will be; a folder that cannot be found stays as it is.
fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(Path::new(".").join(folder)).unwrap_or_else(|_| folder.to_owned())
}

/// The artifacts that a manifest names, whatever else is wrong with it.
pub(crate) fn names_in(manifest: &Path) -> Vec<String> {
    let text = file::read(manifest, MAX_MANIFEST_LEN).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let section = table.get("artifact").and_then(toml::Value::as_table);
    let values = section.into_iter().flat_map(toml::Table::values);
    values.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

pub(super) fn read_manifest(path: &Path) -> Result<Manifest, LoadError> {
    let at = |stage, problem| LoadError::new(stage, Some(path.to_owned()), problem);
    let bytes = span::stage(LoadStage::Read)
        .in_scope(|| file::read(path, MAX_MANIFEST_LEN))
        .map_err(|problem| at(LoadStage::Read, problem))?;
    span::stage(LoadStage::ParseManifest)
        .in_scope(|| parse_manifest(&bytes))
        .map_err(|problem| at(LoadStage::ParseManifest, problem))
}

pub(super) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, LoadProblem> {
    let text = std::str::from_utf8(bytes).map_err(|error| LoadProblem::Malformed {
        what: "manifest",
        reason: format!("not UTF-8 at byte {}", error.valid_up_to()),
    })?;
    Ok(Manifest::parse(text)?)
}

fn check_digest(manifest: &Manifest, digest: &str) -> Result<(), LoadProblem> {
    let found = format!("{DIGEST_PREFIX}{digest}");
    let expected = &manifest.artifact.digest;
    if expected.is_empty() || expected.contains(&found) {
        return Ok(());
    }
    Err(LoadProblem::Digest { found, expected: expected.join(" or ") })
}

/// Refuses what is no plugin, and turns text into bytes.
pub(super) fn recognize(
    kind: ArtifactKind,
    bytes: Vec<u8>,
) -> Result<(ArtifactKind, Vec<u8>), LoadProblem> {
    match kind {
        ArtifactKind::WasmText => {
            let bytes =
                wat::parse_bytes(without_mark(&bytes)).map_err(|error| wrong_text(&error))?;
            Ok((ArtifactKind::of(&bytes), bytes.into_owned()))
        }
        ArtifactKind::Component | ArtifactKind::CoreModule => Ok((kind, bytes)),
        ArtifactKind::Elf | ArtifactKind::MachO | ArtifactKind::Pe => {
            super::library::check(&bytes)?;
            Ok((kind, bytes))
        }
        found => Err(LoadProblem::WrongKind { found }),
    }
}

/// Takes apart what the library shows: what is wrong, `--> FILE:LINE:COLUMN`, and the line itself.
fn wrong_text(error: &wat::Error) -> LoadProblem {
    let shown = error.to_string();
    let mut lines = shown.lines().map(str::trim);
    let reason = super::shorten(lines.next().unwrap_or_default());
    let place = lines.find_map(|line| line.strip_prefix("--> ")).and_then(|place| {
        let (rest, column) = place.rsplit_once(':')?;
        let (_, line) = rest.rsplit_once(':')?;
        Some((line.parse().ok()?, column.parse().ok()?))
    });
    LoadProblem::WrongText { reason, place }
}

/// The manifest that the SDK's export macro put inside the artifact.
pub(super) fn embedded_manifest(
    kind: ArtifactKind,
    bytes: &[u8],
) -> Result<Option<Manifest>, LoadProblem> {
    let text = match kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => custom_section(bytes)?,
        _ => {
            let library = object::File::parse(bytes).map_err(|error| LoadProblem::Malformed {
                what: "shared library",
                reason: error.to_string(),
            })?;
            let section = library.section_by_name(manifest_section(library.format()));
            section.and_then(|section| section.data().ok())
        }
    };
    text.map_or(Ok(None), parse_embedded)
}

/// The name of the section that holds the manifest of a library.
pub(super) fn manifest_section(format: object::BinaryFormat) -> &'static str {
    match format {
        object::BinaryFormat::MachO => "__glovebox",
        _ => native::MANIFEST_SECTION,
    }
}

/// The manifest in the content of a section; `None` if there is nothing in it.
pub(super) fn parse_embedded(section: &[u8]) -> Result<Option<Manifest>, LoadProblem> {
    let text = without_padding(section);
    if text.is_empty() { Ok(None) } else { parse_manifest(text).map(Some) }
}

/// The content of a section without the zeros that linkers add.
pub(super) fn without_padding(section: &[u8]) -> &[u8] {
    let end = section.iter().position(|byte| *byte == 0).unwrap_or(section.len());
    section[..end].trim_ascii_end()
}

/// The manifest section of a module, or of a component or any module inside it.
fn custom_section(bytes: &[u8]) -> Result<Option<&[u8]>, LoadProblem> {
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(wasmparser::Payload::CustomSection(section))
                if section.name() == frame_abi::MANIFEST_SECTION =>
            {
                return Ok(Some(section.data()));
            }
            Ok(_) => {}
            Err(error) => {
                return Err(LoadProblem::Malformed {
                    what: "module",
                    reason: format!("{} at byte {}", error.message(), error.offset()),
                });
            }
        }
    }
    Ok(None)
}

/// The stage policy: may this run here?
fn admit(artifact: &Artifact, request: &LoadRequest) -> Result<(), LoadProblem> {
    let is_native =
        matches!(artifact.kind, ArtifactKind::Elf | ArtifactKind::MachO | ArtifactKind::Pe);
    let actual = if is_native { Tier::Native } else { Tier::Wasm };
    let runtime = &artifact.manifest.runtime;
    if let Some(tier) = runtime.tier.filter(|tier| *tier != actual) {
        return Err(LoadProblem::NotAvailable { what: "tier", name: tier.name() });
    }
    if let Some(isolation) = runtime.isolation.filter(|place| *place != Isolation::InProcess) {
        return Err(LoadProblem::NotAvailable { what: "isolation", name: isolation.name() });
    }
    if is_native && request.seed(&artifact.manifest).is_some() {
        return Err(LoadProblem::NotAvailable {
            what: "mode for native plugins",
            name: "deterministic",
        });
    }
    if is_native && !request.trust_native {
        return Err(LoadProblem::NativeNotTrusted);
    }
    Ok(())
}
