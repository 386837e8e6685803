//! The proposals of WebAssembly that plugins may use.
//!
//! | proposal | | why |
//! |---|---|---|
//! | WebAssembly 2.0: multiple values, references to functions in tables, bulk memory, SIMD, sign extension, saturating conversions, mutable globals | on | |
//! | tail calls, extended constants | on | |
//! | multiple memories | on | the limit `memory` holds for all of them together; composed components need them |
//! | component model of WASI 0.2 | on | |
//! | memory64, relaxed SIMD, typed function references, custom page sizes, wide arithmetic, maps in components | on demand | for plugins that use them; relaxed SIMD gives the same results on all machines |
//! | threads and shared memory, shared-everything threads | off | no limit holds for shared memory, and a wait in it hears no deadline |
//! | garbage collection; references to values of the host (`externref`); exceptions, of today and legacy | off | this build of the engine has no collector |
//! | asynchronous components, with their streams, error contexts and threads | off | compiled in, it makes each call of every component three times as slow (an empty call 414 ns, not 120), and WASI 0.3, for which it is there, is not offered |
//! | stack switching, memory control, custom descriptors, compact imports; values, nested names, fixed-length lists, 64-bit memories, garbage collection, `implements` and canonical names in components | off | the engine does not support them, or says itself that its support is incomplete |
//!
//! *On demand* is an engine of its own beside the one that runs everything else, made when the first
//! artifact needs it. Whether it does is read from the artifact before it is compiled, which takes some
//! hundredths of the time that compiling takes; what the cache has is not looked at again. The keys of the compile cache tell
//! the engines apart, because their settings are part of the key.
//!
//! A further engine has the quick compiler. The optimising one compiles instead whatever that refuses,
//! such as tail calls.

use wasmparser::WasmFeatures;

use crate::problem::{ArtifactKind, LoadProblem};

/// The features of every engine.
pub(super) const ON: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES);

/// The features that the quick compiler, Winch, does not know. It refuses some instructions of others.
pub(super) const NOT_QUICK: WasmFeatures = WasmFeatures::TAIL_CALL;

/// Further features of the engine for demanding artifacts.
pub(super) const ON_DEMAND: WasmFeatures = WasmFeatures::MEMORY64
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CM_MAP);

/// The features that are off: the name by which people know each, and the way to do without.
const OFF: [(WasmFeatures, &str, &str); 10] = [
    (
        WasmFeatures::THREADS.union(WasmFeatures::SHARED_EVERYTHING_THREADS),
        "threads and shared memory",
        "build it for a target without threads (no `-threads` in its name, no `+atomics`); several \
         instances of a plugin run beside each other",
    ),
    (
        WasmFeatures::GC,
        "garbage collection",
        "build it for linear memory: compilers of languages with a collector of their own, such as \
         TinyGo, componentize-py and componentize-js, do so",
    ),
    (
        WasmFeatures::GC_TYPES,
        "references to values of the host (`externref`, of the proposal reference types)",
        "build it without them, and let numbers stand for such values",
    ),
    (
        WasmFeatures::EXCEPTIONS.union(WasmFeatures::LEGACY_EXCEPTIONS),
        "exceptions",
        "build it without them: -fno-exceptions in C++, panic=abort in Rust",
    ),
    (
        WasmFeatures::CM_ASYNC
            .union(WasmFeatures::CM_ASYNC_STACKFUL)
            .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
            .union(WasmFeatures::CM_THREADING)
            .union(WasmFeatures::CM_ERROR_CONTEXT),
        "asynchronous components",
        "build it for WASI 0.2, with functions that are not `async`",
    ),
    (WasmFeatures::STACK_SWITCHING, "stack switching", EXPERIMENT),
    (WasmFeatures::MEMORY_CONTROL, "memory control", EXPERIMENT),
    (WasmFeatures::CUSTOM_DESCRIPTORS, "custom descriptors", EXPERIMENT),
    (WasmFeatures::COMPACT_IMPORTS, "compact imports", EXPERIMENT),
    (
        WasmFeatures::CM_VALUES
            .union(WasmFeatures::CM_NESTED_NAMES)
            .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
            .union(WasmFeatures::CM_GC)
            .union(WasmFeatures::CM64)
            .union(WasmFeatures::CM_IMPLEMENTS)
            .union(WasmFeatures::CM_CANON_NAMES),
        "an experimental part of the component model",
        EXPERIMENT,
    ),
];
const EXPERIMENT: &str = "build it without this experiment, with the defaults of its compiler";

/// Whether an artifact needs more than [`ON`].
///
/// # Errors
///
/// [`LoadProblem::UnsupportedFeature`] if it needs something that is off, and
/// [`LoadProblem::Malformed`] if it is invalid with everything on.
pub(super) fn are_demanded(kind: ArtifactKind, bytes: &[u8]) -> Result<bool, LoadProblem> {
    let invalid =
        |features| wasmparser::Validator::new_with_features(features).validate_all(bytes).err();
    let runs = ON.union(ON_DEMAND);
    if invalid(ON).is_none() {
        return Ok(false);
    }
    if invalid(runs).is_none() {
        return Ok(true);
    }
    let mut needed = OFF.iter().fold(runs, |all, (features, ..)| all | *features);
    if let Some(invalid) = invalid(needed) {
        let reason = format!("{} at byte {}", invalid.message(), invalid.offset());
        return Err(LoadProblem::Malformed { what: kind.noun(), reason });
    }
    // Everything is taken away again that is not needed.
    let mut names = Vec::new();
    let mut remedy = EXPERIMENT;
    for (features, name, advice) in OFF {
        match invalid(needed - features) {
            None => needed -= features,
            // Values that are collected are such references, so that these go without saying.
            Some(_) if features == WasmFeatures::GC_TYPES && needed.contains(WasmFeatures::GC) => {}
            Some(_) => {
                if names.is_empty() {
                    remedy = advice;
                }
                names.push(name);
            }
        }
    }
    let name = names.join(" and ");
    Err(LoadProblem::UnsupportedFeature { what: kind.noun(), name, remedy })
}
