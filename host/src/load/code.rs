//! The stages compile and link of WebAssembly: from bytes to code, through the cache.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::frame_abi;
use glovebox_abi::manifest::Compiler;
use glovebox_events::{Binding, LoadStage};
use wasmparser::WasmFeatures;

use super::cache::Cache;
use super::classify::Class;
use super::compile::{Attempt, CompileLimits, on_own_threads};
use super::interface::Interface;
use super::prepare::{Compiled, Preparer};
use super::read::Artifact;
use super::{CompilePlace, Precaution, foreign, size};
use crate::backend::Code;
use crate::backend::outside::{Job, Uncompiled, WorkerStarter};
use crate::backend::wasm::{Engines, Program, Setting, WasmEngine};
use crate::problem::{ArtifactKind, Incompatible, LoadProblem, StageError, shorten};
use crate::record::span;
use crate::underway::Underway;

/// An artifact of this many bytes takes the optimising compiler some two seconds, which a person notices.
const LARGE: usize = 2 << 20;

/// The code of an artifact, ready to run.
pub(super) struct Linked<P: Program> {
    pub(super) code: Arc<P::Code>,
    /// Where it was compiled.
    pub(super) precaution: Precaution,
    /// Why the quick compiler did not make it although it was asked.
    pub(super) not_quick: Option<String>,
}

impl<P: Program> Linked<P> {
    fn from_cache(code: Arc<P::Code>) -> Linked<P> {
        Linked { code, precaution: Precaution::FromCache, not_quick: None }
    }

    /// The same as code of any binding.
    pub(super) fn code_as(self, code: fn(Arc<P::Code>) -> Code, binding: Binding) -> Compiled {
        let Linked { precaution, not_quick, .. } = self;
        Compiled { code: code(self.code), binding, precaution, not_quick }
    }
}

/// True if the quick compiler comes first. Counted work is that of one compiler, so that runs repeat.
fn is_quick_first(compiler: Compiler, artifact: &Artifact, metered: bool) -> bool {
    match compiler {
        Compiler::Quick | Compiler::QuickFirst => true,
        Compiler::Optimising => false,
        Compiler::Auto => artifact.bytes.len() >= LARGE && !metered,
    }
}

impl Preparer {
    /// The code of a WebAssembly artifact.
    pub(super) fn machine_code<P: Program>(
        &self,
        artifact: &Artifact,
        metered: bool,
        limits: CompileLimits,
        compiler: Compiler,
        load: &Underway,
    ) -> Result<Linked<P>, StageError> {
        let best = self.engines.get(Setting { metered, ..Setting::default() });
        let best = best.map_err(at_compile)?;
        let mut not_quick = None;
        let quick = match is_quick_first(compiler, artifact, metered) {
            true => self
                .engines
                .get(Setting { metered, quick: true, ..Setting::default() })
                .inspect_err(|problem| not_quick = Some(shorten(&problem.to_string())))
                .ok(),
            false => None,
        };
        // Code that was compiled before is only read, which no artifact can draw out: that needs
        // neither a deadline nor a thread.
        let is_best_wanted = compiler != Compiler::Quick || quick.is_none();
        let candidates = || is_best_wanted.then_some(&best).into_iter().chain(&quick);
        for engine in candidates() {
            if let Some(code) = engine.loaded::<P>(&artifact.digest) {
                return Ok(Linked::from_cache(code));
            }
        }
        let stage = span::stage(LoadStage::Compile);
        for engine in candidates() {
            let program = stage.in_scope(|| cached::<P>(&self.cache, engine, &artifact.digest));
            if let Some(program) = program {
                drop(stage);
                // It may have been compiled before files of its kind were known.
                let linked =
                    link(&program, engine, artifact.class, &artifact.digest).map_err(|error| {
                        artifact.class.refuse().map_err(at_sniff).err().unwrap_or(error)
                    });
                return Ok(Linked::from_cache(linked?));
            }
        }
        let (bytes, digest) = (artifact.bytes.clone(), artifact.digest.clone());
        let class = artifact.class;
        let (engines, cache) = (self.engines.clone(), self.cache.clone());
        let starter = self.compiler.clone();
        let compile = move |attempt: &Attempt| {
            let compiled = |engine: &WasmEngine| {
                let wanted = Wanted { engine, class, bytes: &bytes, digest: &digest, limits };
                let (program, place) = starter.compile::<P>(&wanted, &cache, attempt)?;
                Ok::<_, StageError>(Ready::Compiled(program, place))
            };
            let (engine, ready) = stage.in_scope(|| {
                class.refuse().map_err(at_sniff)?;
                size::check(&bytes).map_err(at_compile)?;
                if class.adapter().is_none() {
                    refuse_without_marker(P::KIND, &bytes)?;
                }
                let mut engine = best;
                if Engines::is_demanding::<P>(&bytes).map_err(at_compile)? {
                    if quick.is_some() {
                        not_quick = Some("it lacks a proposal that the plugin uses".to_owned());
                    }
                    let setting = Setting { metered, demanding: true, quick: false };
                    engine = engines.get(setting).map_err(at_compile)?;
                } else if let Some(quick) = quick {
                    match compiled(&quick) {
                        // The artifact is valid, so that the other one takes it.
                        Err(StageError {
                            problem: LoadProblem::NotCompiled { reason, .. },
                            ..
                        }) => not_quick = Some(reason),
                        ready => return Ok((quick, ready?)),
                    }
                } else {
                    let ready = compiled(&engine)?;
                    return Ok((engine, ready));
                }
                let ready = match engine.loaded::<P>(&digest) {
                    Some(code) => Ready::Linked(code),
                    None => match cached::<P>(&cache, &engine, &digest) {
                        Some(program) => Ready::Compiled(program, Precaution::FromCache),
                        None => compiled(&engine)?,
                    },
                };
                Ok::<_, StageError>((engine, ready))
            })?;
            drop(stage);
            match ready {
                Ready::Compiled(program, precaution) => {
                    let code = link::<P>(&program, &engine, class, &digest)?;
                    Ok(Linked { code, precaution, not_quick })
                }
                Ready::Linked(code) => Ok(Linked { not_quick, ..Linked::from_cache(code) }),
            }
        };
        let size = artifact.bytes.len() as u64;
        self.compiles.run((&artifact.origin, size), limits.deadline, load, compile)
    }
}

/// How far the code of an artifact is after the stage compile.
enum Ready<P: Program> {
    /// Other instances run it.
    Linked(Arc<P::Code>),
    /// To be linked, and where it was compiled.
    Compiled(P, Precaution),
}

/// Refuses a module that has no version of the frame ABI before it is compiled, which may take long,
/// and before a feature is named that it must do without.
fn refuse_without_marker(kind: ArtifactKind, bytes: &[u8]) -> Result<(), StageError> {
    let interface = Interface::of(bytes);
    if kind != ArtifactKind::CoreModule || foreign::has_binding(&interface) {
        return Ok(());
    }
    // Damage is named as that by the checks that come next.
    match wasmparser::Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => {
            let missing = Incompatible::MissingExports(vec![format!("`{}`", frame_abi::MARKER)]);
            Err(LoadProblem::from(missing).at(LoadStage::Link))
        }
        Err(_) => Ok(()),
    }
}

/// The stage link: connects what a program imports.
fn link<P: Program>(
    program: &P,
    engine: &Arc<WasmEngine>,
    class: Class,
    digest: &str,
) -> Result<Arc<P::Code>, StageError> {
    let linked =
        span::stage(LoadStage::Link).in_scope(|| engine.link(program, class.adapter(), digest));
    linked.map_err(|problem| problem.at(LoadStage::Link))
}

fn at_sniff(problem: LoadProblem) -> StageError {
    problem.at(LoadStage::Sniff)
}

fn at_compile(problem: LoadProblem) -> StageError {
    problem.at(LoadStage::Compile)
}

/// The code that was compiled before, if the cache has it.
fn cached<P: Program>(cache: &Cache, engine: &WasmEngine, digest: &str) -> Option<P> {
    let key = cache.key(digest, engine.engine());
    let bytes = cache.get(&key)?;
    // SAFETY: the cache only gives bytes that a host of this user put in under this name, which has the
    // fingerprint of the engine, and whose digest still fits: what `serialize` made in that process, or what
    // a worker answered, as in `kept`. So it rests on the same thing as there: that no module makes the
    // compiler write other code than its own. One that did would be run by later hosts, too.
    let program = unsafe { P::deserialize(engine.engine(), &bytes) };
    program.inspect_err(|error| cache.reject(&key, &format!("{error:#}"))).ok()
}

/// Compiles, where it is best.
pub(super) struct CompileStarter {
    pub(super) workers: Arc<WorkerStarter>,
    pub(super) place: CompilePlace,
}

/// An artifact to compile.
struct Wanted<'a> {
    engine: &'a WasmEngine,
    class: Class,
    bytes: &'a [u8],
    digest: &'a str,
    limits: CompileLimits,
}

/// How much later than its deadline the process of a compiler ends by itself, if nobody ended it then.
const SPARE: Duration = Duration::from_secs(10);

impl CompileStarter {
    /// Compiles an artifact and keeps the code in the cache. May take long.
    fn compile<P: Program>(
        &self,
        wanted: &Wanted<'_>,
        cache: &Cache,
        attempt: &Attempt,
    ) -> Result<(P, Precaution), StageError> {
        let reason = match self.place {
            CompilePlace::ThisProcess => "the application wants it".to_owned(),
            CompilePlace::Process | CompilePlace::ProcessIfPossible => {
                match self.outside::<P>(wanted, attempt) {
                    Ok(code) => {
                        let program = kept::<P>(wanted, cache, &code).map_err(at_compile)?;
                        return Ok((program, Precaution::CompiledOutside));
                    }
                    Err(Uncompiled::NoProcess(reason)) => reason,
                    Err(uncompiled) => {
                        return Err(at_compile(problem::<P>(uncompiled, wanted, attempt)));
                    }
                }
            }
        };
        if self.place == CompilePlace::Process {
            let remedy = "see the reason, or let the host compile in its own process".to_owned();
            return Err(LoadProblem::NoWorker { reason, remedy }.at(LoadStage::Policy));
        }
        if !attempt.stays_here() {
            return Err(at_compile(attempt.given_up()));
        }
        let program = on_own_threads(|| P::compile(wanted.engine.engine(), wanted.bytes));
        let program = program.map_err(|error| {
            at_compile(refused::<P>(wanted.class, &error.root_cause().to_string()))
        })?;
        match program.serialize() {
            Ok(code) => cache.put(&wanted.key(cache), &code),
            Err(error) => tracing::warn!(%error, "compiled code cannot be cached"),
        }
        Ok((program, Precaution::CompiledHere { reason }))
    }

    fn outside<P: Program>(
        &self,
        wanted: &Wanted<'_>,
        attempt: &Attempt,
    ) -> Result<Vec<u8>, Uncompiled> {
        let CompileLimits { deadline, memory, in_background } = wanted.limits;
        let deadline = deadline.saturating_add(SPARE);
        let (bytes, setting) = (wanted.bytes, wanted.engine.setting);
        let job = Job { bytes, setting, memory, in_background, deadline };
        self.workers.compile::<P>(&job, |process| attempt.moves_out(process))
    }
}

impl Wanted<'_> {
    fn key(&self, cache: &Cache) -> String {
        cache.key(self.digest, self.engine.engine())
    }
}

/// The program of code that was compiled outside, which the cache keeps.
fn kept<P: Program>(wanted: &Wanted<'_>, cache: &Cache, code: &[u8]) -> Result<P, LoadProblem> {
    // SAFETY: these bytes are a copy that nobody else has, of what `precompile` of an engine with this
    // one's setting gave in a worker, which is this program. The worker had the bytes of the artifact
    // and nothing else of a stranger: only a module that makes the compiler itself, which is safe Rust,
    // write other code could have any other here, and the same compiler in this process would run it too.
    let program = unsafe { P::deserialize(wanted.engine.engine(), code) };
    let program = program.map_err(|error| LoadProblem::CompilerCrashed {
        cause: shorten(&format!("its code is not taken: {}", error.root_cause())),
    })?;
    cache.put(&wanted.key(cache), code);
    Ok(program)
}

/// The words for a compile outside that gave no code.
fn problem<P: Program>(
    uncompiled: Uncompiled,
    wanted: &Wanted<'_>,
    attempt: &Attempt,
) -> LoadProblem {
    let size = wanted.bytes.len() as u64;
    match uncompiled {
        Uncompiled::Refused(reason) => refused::<P>(wanted.class, &reason),
        Uncompiled::Panicked(message) => LoadProblem::CompilerPanicked { message },
        Uncompiled::OutOfMemory => {
            LoadProblem::CompileMemory { size, allowed: wanted.limits.memory }
        }
        Uncompiled::Killed => attempt.given_up(),
        Uncompiled::Crashed(cause) | Uncompiled::NoProcess(cause) => {
            LoadProblem::CompilerCrashed { cause }
        }
    }
}

/// The words for an artifact that the compiler refuses. It is valid: that was looked at before.
fn refused<P: Program>(class: Class, reason: &str) -> LoadProblem {
    let (what, reason) = (P::KIND.noun(), shorten(reason));
    match class {
        Class::Plugin | Class::Adapted(_) => LoadProblem::NotCompiled { what, reason },
        _ => LoadProblem::NoPlugin { what, reason },
    }
}

#[cfg(test)]
mod tests {
    use glovebox_files::Scratch;
    use wasmtime::Module;

    use super::super::CompileBounds;
    use super::super::read::read;
    use super::super::{LoadRequest, Source};
    use super::*;
    use crate::underway::Loads;

    #[test]
    fn a_file_of_another_host_is_named_whatever_is_in_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::in_folder(&folder.path().join("cache"), 1 << 20).unwrap();
        let copies = Scratch::new_in(folder.path()).unwrap();
        let bounds = CompileBounds::default();
        let engines = Engines::new().unwrap();
        let preparer = Preparer::new(engines, cache, bounds, copies, Arc::default());
        let path = folder.path().join("a.wasm");
        let import = "(module (import \"zellij\" \"host_run_plugin_command\" (func)))";
        std::fs::write(&path, wat::parse_str(import).unwrap()).unwrap();
        let check = |hits: u64| {
            let load = Loads::default().begin(Source::path(&path).origin());
            let error = preparer.prepare(&LoadRequest::path(&path), &load).err().unwrap();
            assert!(matches!(error.problem(), LoadProblem::Foreign(_)), "{error}");
            assert_eq!(preparer.cache_stats().hits, hits);
        };
        check(0);
        let engine = preparer.engines.get(Setting::default()).unwrap();
        let artifact = read(&Source::path(&path)).unwrap();
        let code = Module::precompile(engine.engine(), &artifact.bytes).unwrap();
        preparer.cache.put(&preparer.cache.key(&artifact.digest, engine.engine()), &code);
        check(1);
    }
}
