//! From a request to checked code: the stage policy, and the way through all stages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use glovebox_abi::manifest::{
    Artifact as Artifacts, Compiler, Isolation, MIN_COMPILE_MEMORY, Tier,
};
use glovebox_abi::units::show_size;
use glovebox_abi::{Manifest, Permission};
use glovebox_events::{Binding, LoadStage};
use glovebox_files::{Scratch, lets_code_run};
use parking_lot::Mutex;
use tempfile::TempPath;
use wasmtime::Module;
use wasmtime::component::Component;

use super::cache::{Cache, CacheStats};
use super::code::CompileStarter;
use super::compile::{CompileBounds, CompileLimits, CompileStatus, Compiles};
use super::read::{Artifact, open_rootfs, read};
use super::{CompiledBy, LoadRequest, Place, Precaution, tree};
use crate::backend::Code;
use crate::backend::native::NativeCode;
use crate::backend::outside::{About, Trial, Untried, WorkerStarter};
use crate::backend::wasm::Engines;
#[cfg(target_os = "linux")]
use crate::backend::{Root, RootFolder};
use crate::policy::{Policy, Subject};
use crate::problem::{ArtifactKind, Incompatible, LoadError, LoadProblem, Origin, StageError};
use crate::record::span;
use crate::services::Functions;
use crate::underway::Underway;

/// Bytes of memory that a library has at least while it is tried.
const TRIAL_MEMORY: u64 = 1 << 30;

/// How long opening a library for the first time may take, and starting the first container of an engine,
/// unless somebody says otherwise.
const LOAD_DEADLINE: Duration = Duration::from_secs(5);

/// The bound that a manifest cannot raise.
const MAX_LOAD_DEADLINE: Duration = Duration::from_secs(60);

fn load_deadline(manifest: &Manifest, request: &LoadRequest) -> Duration {
    let asked = manifest.runtime.load_deadline.unwrap_or(LOAD_DEADLINE);
    request.load_deadline.unwrap_or(asked.min(MAX_LOAD_DEADLINE))
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
    pub(crate) isolation: Isolation,
    pub(crate) digest: String,
    pub(crate) origin: Origin,
    /// Where relative paths of the manifest start; `None` for what is no file.
    pub(crate) base: Option<PathBuf>,
    pub(crate) precaution: Precaution,
    /// Why the quick compiler did not make the code although it was asked.
    pub(crate) not_quick: Option<String>,
    /// The better code, of what the quick compiler made to begin with.
    pub(crate) later: Option<Arc<Later>>,
}

/// The parts of the host that preparing needs.
pub(crate) struct Preparer {
    pub(super) engines: Arc<Engines>,
    pub(super) cache: Arc<Cache>,
    pub(super) compiles: Compiles,
    pub(super) compiler: Arc<CompileStarter>,
    bounds: CompileBounds,
    /// Private copies of libraries; removed with the host.
    copies: Scratch,
    /// The functions of the application.
    functions: Arc<Functions>,
    /// Where processes of their own come from.
    pub(super) workers: Arc<WorkerStarter>,
    /// Libraries that were opened, and so stay mapped.
    pub(crate) mapped: AtomicU64,
}

/// The better code of what runs as the quick compiler made it. All that was prepared by the same load has the
/// same.
pub(crate) struct Later(Mutex<Better>);

/// An artifact may be large, and is kept only as long as it is to be compiled.
enum Better {
    /// The artifact is to be compiled again.
    Awaited(Box<Artifact>),
    /// Copies that start afresh have this.
    There(Code),
    /// There will be none.
    GivenUp,
}

/// Code that can run, and how it came to be.
pub(super) struct Compiled {
    pub(super) code: Code,
    pub(super) binding: Binding,
    pub(super) precaution: Precaution,
    pub(super) not_quick: Option<String>,
}

impl Prepared {
    /// The compiler of the code; `None` of what is not compiled here. `has_better` says whether all copies
    /// were started with better code since.
    pub(crate) fn compiled_by(&self, has_better: bool) -> Option<CompiledBy> {
        if !matches!(self.code, Code::Component(_) | Code::Module(_)) {
            return None;
        }
        Some(match (&self.not_quick, self.code.is_quick() && !has_better) {
            (_, true) if self.waits_for_better() => CompiledBy::QuickFirst,
            (_, true) => CompiledBy::Quick,
            (Some(reason), false) => CompiledBy::OptimisingInstead { reason: reason.clone() },
            (None, false) => CompiledBy::Optimising,
        })
    }

    /// True if the optimising compiler is to make better code of it.
    pub(crate) fn waits_for_better(&self) -> bool {
        let is_awaited = |later: &Arc<Later>| matches!(*later.0.lock(), Better::Awaited(_));
        self.later.as_ref().is_some_and(is_awaited)
    }

    /// Notes that it did not.
    pub(crate) fn give_up_better(&self) {
        self.settle_better(Better::GivenUp);
    }

    /// Notes the better code, for what starts afresh.
    pub(crate) fn keep_better(&self, code: Code) {
        self.settle_better(Better::There(code));
    }

    fn settle_better(&self, better: Better) {
        if let Some(later) = &self.later {
            let before = std::mem::replace(&mut *later.0.lock(), better);
            // An artifact may be large, and is freed without the lock.
            drop(before);
        }
    }

    /// The better code, if it is there.
    pub(crate) fn better(&self) -> Option<Code> {
        match &*self.later.as_ref()?.0.lock() {
            Better::There(code) => Some(code.clone()),
            Better::Awaited(_) | Better::GivenUp => None,
        }
    }

    /// The same with the better code, if that is there.
    pub(crate) fn with_better(self) -> Prepared {
        match self.better() {
            Some(code) => Prepared { code, later: None, ..self },
            None => self,
        }
    }

    /// True if both wait for the same better code.
    pub(crate) fn waits_as(&self, other: &Prepared) -> bool {
        match (&self.later, &other.later) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Bytes of the artifact that it keeps in memory to have it compiled again.
    pub(crate) fn held_bytes(&self) -> u64 {
        match self.later.as_ref().map(|later| later.0.lock()).as_deref() {
            Some(Better::Awaited(artifact)) => artifact.bytes.len() as u64,
            _ => 0,
        }
    }

    /// The subject of rules, beside its manifest.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            digest: &self.digest,
            path: self.origin.path(),
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
        cache: Cache,
        bounds: CompileBounds,
        copies: Scratch,
        functions: Arc<Functions>,
    ) -> Preparer {
        let workers = Arc::new(WorkerStarter::default());
        let compiler = CompileStarter { workers: workers.clone(), place: bounds.place };
        Preparer {
            engines: Arc::new(engines),
            cache: Arc::new(cache),
            compiles: Compiles::new(),
            compiler: Arc::new(compiler),
            bounds,
            copies,
            functions,
            workers,
            mapped: AtomicU64::new(0),
        }
    }

    /// Says where the engine of containers is.
    pub(crate) fn uses_engine(&self, path: PathBuf) {
        #[cfg(target_os = "linux")]
        self.workers.engines.is_at(path);
        #[cfg(not(target_os = "linux"))]
        drop(path);
    }

    /// Says which engine of containers the policy names, from the next load on.
    pub(crate) fn follows_policy(&self, policy: &Policy) {
        #[cfg(target_os = "linux")]
        self.workers.engines.follow_policy(policy.engine());
        #[cfg(not(target_os = "linux"))]
        let _ = policy;
    }

    /// The counts of the compile cache so far.
    pub(crate) fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// The compiles that are under way, those first that began first.
    pub(crate) fn compiling(&self) -> Vec<CompileStatus> {
        self.compiles.list()
    }

    /// Ends the wait for one of them.
    pub(crate) fn cancel_compile(&self, id: u64) -> bool {
        self.compiles.cancel(id)
    }

    /// Ends the wait for all of them, and for those that begin later.
    pub(crate) fn cancel_all_compiles(&self) {
        self.compiles.cancel_all();
    }

    pub(crate) fn prepare(
        &self,
        request: &LoadRequest,
        load: &Underway,
    ) -> Result<Prepared, LoadError> {
        self.prepare_unexplained(request, load).map_err(|error| load.explain(error))
    }

    fn prepare_unexplained(
        &self,
        request: &LoadRequest,
        load: &Underway,
    ) -> Result<Prepared, LoadError> {
        let origin = request.source.origin();
        let enters = |stage| {
            load.enters(stage)
                .map_err(|problem| LoadError::new(stage, Some(origin.clone()), problem))
        };
        enters(LoadStage::Read)?;
        if let Place::Core { manifest, make } = &request.source.place {
            let origin = Origin::Application;
            check_core(request)
                .and_then(|()| check_limits(request))
                .map_err(|problem| LoadError::new(LoadStage::Policy, None, problem))?;
            let manifest = configured((**manifest).clone(), request)
                .map_err(|problem| LoadError::new(LoadStage::ParseManifest, None, problem))?;
            self.check_functions(&[], &manifest, request)
                .map_err(|problem| LoadError::new(LoadStage::Link, None, problem))?;
            return Ok(Prepared {
                code: Code::Core(make.clone()),
                manifest: Arc::new(manifest),
                bare: false,
                binding: Binding::Core,
                tier: Tier::Core,
                isolation: Isolation::InProcess,
                digest: String::new(),
                origin,
                base: None,
                precaution: Precaution::NotNeeded,
                not_quick: None,
                later: None,
            });
        }
        let artifact = admitted(request)?;
        enters(match artifact.kind {
            ArtifactKind::Component | ArtifactKind::CoreModule => LoadStage::Compile,
            _ => LoadStage::Link,
        })?;
        let compiler = request.compiler_of(&artifact.manifest);
        let compiled = self.compile(&artifact, request, compiler, load);
        let compiled = compiled.map_err(|error| error.about(artifact.origin.clone()))?;
        enters(LoadStage::Link)?;
        let Compiled { code, binding, precaution, not_quick } = compiled;
        let is_for_now = code.is_quick() && compiler != Compiler::Quick;
        let later = is_for_now
            .then(|| Arc::new(Later(Mutex::new(Better::Awaited(Box::new(artifact.clone()))))));
        self.check_functions(code.imported_functions(), &artifact.manifest, request).map_err(
            |problem| LoadError::new(LoadStage::Link, Some(artifact.origin.clone()), problem),
        )?;
        let isolation = request.isolation_of(&artifact.manifest, binding);
        let tier = tier_of(artifact.kind, isolation);
        Ok(Prepared {
            code,
            isolation,
            manifest: Arc::new(artifact.manifest),
            bare: artifact.bare && request.permissions.is_none(),
            binding,
            tier,
            digest: artifact.digest,
            origin: artifact.origin,
            base: artifact.base,
            precaution,
            not_quick,
            later,
        })
    }

    /// The same with the code of the optimising compiler; `None` if it does not wait for that.
    pub(crate) fn optimised(
        &self,
        prepared: &Prepared,
        request: &LoadRequest,
        load: &Underway,
    ) -> Option<Result<Prepared, StageError>> {
        let artifact = match &*prepared.later.as_ref()?.0.lock() {
            Better::Awaited(artifact) => artifact.clone(),
            Better::There(_) | Better::GivenUp => return None,
        };
        let compiled = self.compile_by(&artifact, request, Compiler::Optimising, true, load);
        Some(compiled.map(|compiled| {
            let Compiled { code, precaution, .. } = compiled;
            Prepared { code, precaution, later: None, ..prepared.clone() }
        }))
    }

    /// The parts that were prepared before, in the place that the request names now: that is
    /// decided for the instance, and no generation takes it back.
    pub(crate) fn in_place(
        &self,
        prepared: Prepared,
        request: &LoadRequest,
        load: &Underway,
    ) -> Result<Prepared, LoadError> {
        let isolation = request.isolation_of(&prepared.manifest, prepared.binding);
        if prepared.binding != Binding::Native || isolation == prepared.isolation {
            return Ok(prepared);
        }
        let refuse = |stage, problem| LoadError::new(stage, Some(prepared.origin.clone()), problem);
        let gone = || refuse(LoadStage::Read, LoadProblem::Nothing("whole copy of its library"));
        let library = prepared.code.library().ok_or_else(gone)?;
        let bytes =
            std::fs::read(library).map_err(|error| refuse(LoadStage::Read, error.into()))?;
        let artifact = Artifact::again(&prepared, bytes.into()).ok_or_else(gone)?;
        admit(&artifact, request).map_err(|problem| refuse(LoadStage::Policy, problem))?;
        let compiled = self.compile(&artifact, request, Compiler::Auto, load);
        let explain = |error: StageError| load.explain(error.about(prepared.origin.clone()));
        let compiled = compiled.map_err(explain)?;
        let Compiled { code, binding, precaution, .. } = compiled;
        Ok(Prepared { code, binding, precaution, isolation, ..prepared })
    }

    /// The part of an artifact that is known before it is compiled. A core plugin has nothing to
    /// wait for.
    pub(crate) fn glance(
        &self,
        request: &LoadRequest,
        load: &Underway,
    ) -> Result<Prepared, LoadError> {
        if matches!(request.source.place, Place::Core { .. }) {
            return self.prepare(request, load);
        }
        let artifact = admitted(request)?;
        let binding = binding_of(&artifact);
        let isolation = request.isolation_of(&artifact.manifest, binding);
        let tier = tier_of(artifact.kind, isolation);
        Ok(Prepared {
            code: Code::Asleep,
            isolation,
            manifest: Arc::new(artifact.manifest),
            bare: artifact.bare && request.permissions.is_none(),
            binding,
            tier,
            digest: artifact.digest,
            origin: artifact.origin,
            base: artifact.base,
            precaution: Precaution::NotNeeded,
            not_quick: None,
            later: None,
        })
    }

    fn compile(
        &self,
        artifact: &Artifact,
        request: &LoadRequest,
        compiler: Compiler,
        load: &Underway,
    ) -> Result<Compiled, StageError> {
        self.compile_by(artifact, request, compiler, false, load)
    }

    fn compile_by(
        &self,
        artifact: &Artifact,
        request: &LoadRequest,
        compiler: Compiler,
        in_background: bool,
        load: &Underway,
    ) -> Result<Compiled, StageError> {
        let manifest = &artifact.manifest;
        let metered = manifest.limits.fuel.is_some() || request.seed(manifest).is_some();
        let limits = CompileLimits { in_background, ..self.bounds.limits(artifact, request) };
        let (code, binding, precaution) = match artifact.kind {
            ArtifactKind::Component => {
                let linked =
                    self.machine_code::<Component>(artifact, metered, limits, compiler, load)?;
                return Ok(linked.code_as(Code::Component, Binding::Component));
            }
            ArtifactKind::CoreModule => {
                let linked =
                    self.machine_code::<Module>(artifact, metered, limits, compiler, load)?;
                return Ok(linked.code_as(Code::Module, binding_of(artifact)));
            }
            #[cfg(target_os = "linux")]
            kind if tier_of(kind, request.isolation_of(manifest, binding_of(artifact)))
                == Tier::Container =>
            {
                let about = About {
                    digest: &artifact.digest,
                    limits: &manifest.limits,
                    deadline: load_deadline(manifest, request),
                    load,
                    is_skipped: false,
                };
                let root = self.root_of(artifact)?;
                let code = self.workers.container(root, &manifest.runtime, &about)?;
                (Code::Worker(Arc::new(code)), Binding::Framed, Precaution::NotNeeded)
            }
            #[cfg(target_os = "linux")]
            ArtifactKind::FramedProgram => {
                let program = self.private_copy(artifact)?;
                let command = manifest.runtime.command.clone();
                let code = self.workers.program(program, command, &manifest.limits)?;
                (Code::Worker(Arc::new(code)), Binding::Framed, Precaution::NotNeeded)
            }
            #[cfg(target_os = "linux")]
            _ if request.isolation_of(manifest, Binding::Native) == Isolation::Process => {
                let copy = self.private_copy(artifact)?;
                let about = About {
                    digest: &artifact.digest,
                    limits: &manifest.limits,
                    deadline: load_deadline(manifest, request),
                    load,
                    is_skipped: request.skip_trial,
                };
                let code = self.workers.code(copy, &about)?;
                (Code::Worker(Arc::new(code)), Binding::Native, Precaution::NotNeeded)
            }
            _ => {
                let (code, precaution) = self.open(artifact, request, load)?;
                (Code::Native(Arc::new(code)), Binding::Native, precaution)
            }
        };
        Ok(Compiled { code, binding, precaution, not_quick: None })
    }

    /// Refuses a plugin that wants a function of the application that nobody gives: one that it
    /// imports, or that its manifest asks for.
    fn check_functions(
        &self,
        imported: &[String],
        manifest: &Manifest,
        request: &LoadRequest,
    ) -> Result<(), LoadProblem> {
        // Answers for the host may answer these too.
        if request.answers.is_some() {
            return Ok(());
        }
        let asked = manifest.request(Permission::Functions).unwrap_or_default();
        let asked = asked.names.only.unwrap_or_default();
        let is_given = |name: &String| {
            self.functions.has(name) || request.mock.as_ref().is_some_and(|mock| mock.gives(name))
        };
        let wanted: BTreeSet<&String> = imported.iter().chain(&asked).collect();
        let missing: Vec<String> = wanted
            .into_iter()
            .filter(|name| !is_given(name))
            .map(|name| format!("`{name}`"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let given = self.functions.names().map(|name| format!("`{name}`")).collect();
        Err(Incompatible::MissingFunctions { missing, given }.into())
    }

    /// Opens a private copy under a name of its own: a path that is open already would give the
    /// old code, and overwriting an open library kills the process.
    fn open(
        &self,
        artifact: &Artifact,
        request: &LoadRequest,
        load: &Underway,
    ) -> Result<(NativeCode, Precaution), StageError> {
        let copy = self.private_copy(artifact)?;
        let _span = span::stage(LoadStage::Link).entered();
        let precaution = match request.skip_trial {
            true => Precaution::NotTried { reason: "the load skips the trial".to_owned() },
            false => self.tried(artifact, &copy, request, load)?,
        };
        let code = NativeCode::open(&copy, &self.mapped);
        let mut code = code.map_err(|problem| problem.at(LoadStage::Link))?;
        code.copy = Some(copy);
        Ok((code, precaution))
    }

    /// Has a library opened in a throw-away process first, if there can be one.
    fn tried(
        &self,
        artifact: &Artifact,
        library: &TempPath,
        request: &LoadRequest,
        load: &Underway,
    ) -> Result<Precaution, StageError> {
        let mut limits = artifact.manifest.limits.clone();
        // It is not held to its limit of memory in this process either.
        limits.memory = limits.memory.max(TRIAL_MEMORY);
        let deadline = load_deadline(&artifact.manifest, request);
        let (digest, limits) = (artifact.digest.as_str(), &limits);
        let about = &About { digest, limits, deadline, load, is_skipped: false };
        match self.workers.try_library(&Trial { library, about }, |_| Ok(())) {
            Ok(_) => Ok(Precaution::Tried),
            Err(Untried::NoProcess(problem) | Untried::NotOpened(problem)) => {
                Ok(Precaution::NotTried { reason: problem.to_string() })
            }
            Err(bad @ Untried::Bad(_)) => Err(bad.into()),
        }
    }

    /// The file system of a container.
    #[cfg(target_os = "linux")]
    fn root_of(&self, artifact: &Artifact) -> Result<Root, StageError> {
        let named = &artifact.manifest.artifact;
        match artifact.kind {
            ArtifactKind::Image => Ok(Root::Image(named.image.clone().unwrap_or_default())),
            ArtifactKind::Rootfs => self
                .private_folder(artifact)
                .map(Root::Folder)
                .map_err(|problem| problem.at(LoadStage::Link)),
            _ => self.private_copy(artifact).map(Root::System),
        }
    }

    /// A private copy of a root folder, in which all is as it was when the digest was made of it.
    #[cfg(target_os = "linux")]
    fn private_folder(&self, artifact: &Artifact) -> Result<RootFolder, LoadProblem> {
        let _span = span::stage(LoadStage::Link).entered();
        let rootfs = artifact.manifest.artifact.rootfs.as_deref().unwrap_or_default();
        let folder = open_rootfs(artifact.base.as_deref().unwrap_or(Path::new("")), rootfs)?;
        let copy = tempfile::Builder::new().prefix("root-").tempdir_in(self.room()?)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(copy.path(), mode)?;
        if tree::copy(&folder, copy.path())?.list.as_bytes() != &*artifact.bytes {
            return Err(LoadProblem::Unsteady);
        }
        Ok(RootFolder::new(copy)?)
    }

    fn private_copy(&self, artifact: &Artifact) -> Result<TempPath, StageError> {
        let _span = span::stage(LoadStage::Link).entered();
        let is_program = artifact.kind == ArtifactKind::FramedProgram;
        let mut copy = tempfile::Builder::new();
        copy.prefix(&artifact.digest[..16]);
        if !is_program {
            copy.suffix(std::env::consts::DLL_SUFFIX);
        }
        let folder = self.room().map_err(|problem| problem.at(LoadStage::Link))?;
        let copied = copy.tempfile_in(folder).and_then(|mut copy| {
            std::io::Write::write_all(&mut copy, &artifact.bytes)?;
            #[cfg(unix)]
            if is_program {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
                copy.as_file().set_permissions(mode)?;
            }
            Ok(copy.into_temp_path())
        });
        copied.map_err(|error| no_copy(&error.to_string(), folder).at(LoadStage::Link))
    }

    /// The folder for private copies, from which code can run.
    fn room(&self) -> Result<&Path, LoadProblem> {
        let folder = self.copies.path();
        match lets_code_run(folder) {
            true => Ok(folder),
            false => Err(no_copy("the file system lets no code run (noexec)", folder)),
        }
    }
}

fn no_copy(reason: &str, folder: &Path) -> LoadProblem {
    LoadProblem::NotOpened {
        reason: format!("no private copy of it can be run: {reason}: {}", folder.display()),
        remedy: "make room there, or choose a folder on another file system for temporary files \
                 (XDG_CACHE_HOME or TMPDIR, `HostBuilder::scratch_folder`)"
            .to_owned(),
    }
}

/// The binding of an artifact.
fn binding_of(artifact: &Artifact) -> Binding {
    if let Some(adapter) = artifact.class.adapter() {
        return adapter.binding();
    }
    match artifact.kind {
        ArtifactKind::Component => Binding::Component,
        ArtifactKind::CoreModule => Binding::FrameAbi,
        ArtifactKind::FramedProgram | ArtifactKind::Rootfs | ArtifactKind::Image => Binding::Framed,
        _ => Binding::Native,
    }
}

/// The tier that executes an artifact of this kind in this place.
fn tier_of(kind: ArtifactKind, isolation: Isolation) -> Tier {
    match kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => Tier::Wasm,
        ArtifactKind::Rootfs | ArtifactKind::Image => Tier::Container,
        ArtifactKind::FramedProgram if isolation == Isolation::Container => Tier::Container,
        _ => Tier::Native,
    }
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
fn admitted(request: &LoadRequest) -> Result<Artifact, LoadError> {
    let mut artifact = read(&request.source)?;
    artifact.manifest = configured(artifact.manifest, request).map_err(|problem| {
        LoadError::new(LoadStage::ParseManifest, Some(artifact.origin.clone()), problem)
    })?;
    match span::stage(LoadStage::Policy).in_scope(|| admit(&artifact, request)) {
        Ok(()) => Ok(artifact),
        Err(problem) => Err(LoadError::new(LoadStage::Policy, Some(artifact.origin), problem)),
    }
}

/// The stage policy: may this run here?
fn admit(artifact: &Artifact, request: &LoadRequest) -> Result<(), LoadProblem> {
    check_limits(request)?;
    check_folders(artifact)?;
    let binding = binding_of(artifact);
    let isolation = request.isolation_of(&artifact.manifest, binding);
    let actual = tier_of(artifact.kind, isolation);
    let is_native = actual == Tier::Native;
    let runtime = &artifact.manifest.runtime;
    if let Some(tier) = runtime.tier.filter(|tier| *tier != actual) {
        return Err(LoadProblem::NotAvailable { what: "tier", name: tier.name() });
    }
    let is_worker = isolation == Isolation::Process && is_native && cfg!(target_os = "linux");
    let is_there = match isolation {
        Isolation::InProcess => binding != Binding::Framed,
        Isolation::Process => is_worker,
        Isolation::Container => actual == Tier::Container && cfg!(target_os = "linux"),
        Isolation::Remote => false,
    };
    if !is_there {
        let what = match artifact.kind {
            ArtifactKind::FramedProgram => "for programs, isolation",
            ArtifactKind::Rootfs => "for root folders, isolation",
            ArtifactKind::Image => "for images, isolation",
            _ if is_native => "isolation",
            _ => "for WebAssembly, isolation",
        };
        return Err(LoadProblem::NotAvailable { what, name: isolation.name() });
    }
    if actual != Tier::Wasm && request.seed(&artifact.manifest).is_some() {
        let what = if is_native { "mode for native plugins" } else { "mode for containers" };
        return Err(LoadProblem::NotAvailable { what, name: "deterministic" });
    }
    if actual == Tier::Container && !request.accepts_container {
        let Artifacts { program, rootfs, image, .. } = &artifact.manifest.artifact;
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        let of = match artifact.kind {
            ArtifactKind::Image => format!("the image {}", named(image)),
            ArtifactKind::Rootfs => format!("the root folder {}", named(rootfs)),
            _ => format!("the program {}", named(program)),
        };
        return Err(LoadProblem::ContainerNotAccepted { of });
    }
    if is_native && !is_worker && !request.trust_native {
        return Err(LoadProblem::NativeNotTrusted);
    }
    Ok(())
}

/// Refuses to run a plugin of the application elsewhere: it is part of this process.
fn check_core(request: &LoadRequest) -> Result<(), LoadProblem> {
    match request.isolation.filter(|isolation| *isolation != Isolation::InProcess) {
        None => Ok(()),
        Some(isolation) => Err(LoadProblem::NotAvailable {
            what: "for plugins of the application, isolation",
            name: isolation.name(),
        }),
    }
}

/// Refuses limits that make no sense.
fn check_limits(request: &LoadRequest) -> Result<(), LoadProblem> {
    if request.load_deadline.is_some_and(|deadline| deadline.is_zero()) {
        let reason = "a load deadline of 0 leaves no time to load".to_owned();
        return Err(LoadProblem::NotGiven { reason });
    }
    if request.compile_deadline.is_some_and(|deadline| deadline.is_zero()) {
        let reason = "a compile deadline of 0 leaves no time to compile".to_owned();
        return Err(LoadProblem::NotGiven { reason });
    }
    if let Some(memory) = request.compile_memory.filter(|memory| *memory < MIN_COMPILE_MEMORY) {
        let (memory, least) = (show_size(memory), show_size(MIN_COMPILE_MEMORY));
        let reason = format!("the compiler cannot work in {memory} of memory, it needs {least}");
        return Err(LoadProblem::NotGiven { reason });
    }
    Ok(request.limits.check()?)
}

/// Refuses relative folders of an artifact from memory, which lies nowhere that they could start at.
fn check_folders(artifact: &Artifact) -> Result<(), LoadProblem> {
    if artifact.base.is_some() {
        return Ok(());
    }
    let asked = artifact.manifest.request(Permission::Files).unwrap_or_default();
    let mut folders = asked.folders.only.iter().flatten();
    match folders.find(|folder| Path::new(&folder.path).is_relative()) {
        None => Ok(()),
        Some(folder) => Err(LoadProblem::NotGiven {
            reason: format!(
                "its manifest asks for the folder `{}`, which starts at the plugin's own folder, and \
                 an artifact from memory has none; write the whole path",
                folder.path
            ),
        }),
    }
}
