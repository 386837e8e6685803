//! Recognizes and names plugins and programs that were made for other hosts.
//!
//! One table says how each is recognized: by the names that it imports, exports, or gives its
//! sections. It is what inspecting, load errors and scans of folders say about a file that keeps to
//! none of Glovebox's own bindings.

use glovebox_abi::frame_abi;

use super::interface::Interface;
use crate::backend::wasm::foreign::Adapter;
use crate::backend::wasm::foreign::extism::Extism;
use crate::problem::Foreign;

#[derive(Debug)]
struct Row {
    foreign: Foreign,
    /// The adapter that runs them here, if there is one.
    adapter: Option<&'static dyn Adapter>,
    /// One of these lists must hold as a whole.
    signs: &'static [&'static [Sign]],
}

#[derive(Debug)]
enum Sign {
    /// It imports from a module or interface whose name starts like this.
    From(&'static str),
    /// It imports a function from this module, and its name starts like this.
    Import(&'static str, &'static str),
    /// It imports nothing but WASI.
    OnlyWasi,
    /// It imports something, all of it from this module, and only functions that are named so, or
    /// whose names start like one of these that ends in a point.
    Only(&'static str, &'static [&'static str]),
    /// It exports types, and neither exports nor imports anything else.
    OnlyTypes,
    /// All names that it imports and exports were replaced by one or two letters.
    Minified,
    /// It exports this name.
    Export(&'static str),
    /// It exports a name that starts like this.
    ExportStart(&'static str),
    /// It exports a function of an interface, as a module does before it is made a component.
    NotEncoded,
    /// It has this custom section.
    Section(&'static str),
}

use Sign::{
    Export, ExportStart, From, Import, Minified, NotEncoded, Only, OnlyTypes, OnlyWasi, Section,
};

/// An owner of such a host can run it there; the way to Glovebox is its source.
const REBUILD: &str = "run it in such a host, or build its source for Glovebox (see README, \"Write \
    your own plugin\")";
const RUN: &str = "run it with `wasmtime run`, or build what it does for Glovebox as a plugin (see \
    README, \"Write your own plugin\")";

macro_rules! rows {
    (@ $adapter:expr) => { Some($adapter) };
    (@) => { None };
    ($($one:literal, $many:literal, $made_for:literal, $remedy:expr, [$([$($sign:expr),+]),+]
        $(, run by $adapter:expr)?;)+) => {
        &[$(Row {
            adapter: rows!(@ $($adapter)?),
            foreign: Foreign {
                one: $one,
                many: $many,
                made_for: $made_for,
                remedy: $remedy,
            },
            signs: &[$(&[$($sign),+]),+],
        }),+]
    };
}

/// Those that tell more come first: an Extism plug-in may import WASI as well.
const WASM: &[Row] = rows! {
    "the runtime of Extism", "runtimes of Extism", "hosts with the Extism SDK, which have it inside",
        "it is no plug-in itself: build the source of one for Glovebox (see README, \"Write your own \
         plugin\")",
        [[Export("extism_context"), Export("input_set"), Export("error_set")]];
    "an Extism plug-in", "Extism plug-ins", "hosts with the Extism SDK", REBUILD,
        [[From("extism:host/")], [Import("env", "extism_")]], run by &Extism;
    "a proxy-wasm filter", "proxy-wasm filters", "Envoy and other proxies", REBUILD,
        [[ExportStart("proxy_abi_version_")], [ExportStart("proxy_on_")],
         [Import("env", "proxy_log")]];
    "a waPC module", "waPC modules", "waPC hosts", REBUILD,
        [[From("wapc")], [Export("__guest_call")]];
    "a wasmCloud actor", "wasmCloud actors", "wasmCloud before WASI 0.2", REBUILD,
        [[From("wasmbus:")], [From("wasmbus")]];
    "a wasmCloud component", "wasmCloud components", "wasmCloud", REBUILD,
        [[From("wasmcloud:")]];
    "a Zellij plugin", "Zellij plugins", "the terminal workspace Zellij", REBUILD,
        [[From("zellij")]];
    "a dprint plugin", "dprint plugins", "the code formatter dprint", REBUILD,
        [[ExportStart("dprint_plugin_version_")], [Export("get_plugin_schema_version")]];
    "a plugin of swc", "plugins of swc", "the JavaScript compiler swc", REBUILD,
        [[Export("__transform_plugin_process_impl")]];
    "an OPA policy", "OPA policies", "Open Policy Agent", REBUILD,
        [[Import("env", "opa_")], [Export("opa_eval_ctx_new")]];
    "a Spin component", "Spin components", "Fermyon Spin", REBUILD,
        [[Export("handle-http-request"), Export("canonical_abi_realloc")],
         [From("fermyon:spin/")], [ExportStart("fermyon:spin/")]];
    "a Zed extension", "Zed extensions", "the editor Zed", REBUILD,
        [[Section("zed:api-version")], [From("zed:extension/")]];
    "a Suborbital module", "Suborbital modules", "Suborbital (Reactr, Atmo)", REBUILD,
        [[Import("env", "return_result"), Export("run_e")]];
    "a Fluvio SmartModule", "Fluvio SmartModules", "the streaming platform Fluvio", REBUILD,
        [[Import("env", "copy_records")]];
    "an http-wasm handler", "http-wasm handlers", "HTTP servers with http-wasm, such as Traefik",
        REBUILD, [[From("http_handler")], [Export("handle_request"), Export("handle_response")]];
    "a CosmWasm contract", "CosmWasm contracts", "blockchains of Cosmos", REBUILD,
        [[ExportStart("interface_version_"), Export("allocate")]];
    "a Substrate runtime", "Substrate runtimes", "blockchains of Polkadot", REBUILD,
        [[Export("Core_version")]];
    "a program for Fastly Compute", "programs for Fastly Compute", "the edge of Fastly", REBUILD,
        [[From("fastly_")]];
    "a canister of the Internet Computer", "canisters of the Internet Computer",
        "the blockchain of ICP", REBUILD, [[From("ic0")]];
    "a NEAR contract", "NEAR contracts", "the blockchain NEAR", REBUILD,
        [[Import("env", "read_register"), Import("env", "register_len")]];
    "a Shopify function", "Shopify functions", "shops of Shopify", REBUILD,
        [[From("shopify_function")]];
    "a module of Javy", "modules of Javy", "`javy` and hosts with its runtime for JavaScript", REBUILD,
        [[From("javy")], [Export("compile_src"), Export("invoke")]];
    "the Ruby of ruby.wasm", "Rubys of ruby.wasm", "JavaScript in browsers and Node.js", REBUILD,
        [[From("rb-js-abi-host")]];
    "a module of wasm-bindgen", "modules of wasm-bindgen", "JavaScript in browsers and Node.js",
        REBUILD, [[From("__wbindgen_")], [From("wbg")], [ExportStart("__wbindgen_")]];
    "a Go program for JavaScript", "Go programs for JavaScript", "browsers and Node.js",
        "build it with GOOS=wasip1, or as a plugin (see README, \"Write your own plugin\")",
        [[From("gojs")], [Import("go", "runtime.")]];
    "an addon of Node.js in WebAssembly", "addons of Node.js in WebAssembly",
        "JavaScript with emnapi, in browsers and Node.js", REBUILD,
        [[Import("env", "napi_")], [Export("napi_register_wasm_v1")]];
    "a module of Emscripten", "modules of Emscripten", "JavaScript that Emscripten makes", REBUILD,
        [[Import("env", "emscripten_")], [Import("env", "_emscripten_")],
         [Import("wasi_snapshot_preview1", ""), Import("env", "__syscall_")], [Minified]];
    "a module of AssemblyScript", "modules of AssemblyScript", "JavaScript that AssemblyScript makes",
        REBUILD, [[Export("__new"), Export("__rtti_base")], [Only("env", ASSEMBLY_SCRIPT)]];
    "a WIT package", "WIT packages", "tools that make bindings and components of it",
        "give a component that was made with it", [[OnlyTypes]];
    "a module with probes of Dylibso Observe", "modules with probes of Dylibso Observe",
        "hosts with the Observe SDK", "use the file from before it was instrumented",
        [[From("dylibso_observe")], [From("dylibso:observe/")]];
    "an adapter for WASI preview 1", "adapters for WASI preview 1",
        "`wasm-tools component new --adapt`", "give the component that is made with it",
        [[From("__main_module__")]];
    "the core of a component that needs WASI", "cores of components that need WASI",
        "a tool that makes components: it has their exports and is none yet",
        "make it one with `wasm-tools component new --adapt wasi_snapshot_preview1=ADAPTER`, where \
         ADAPTER is wasi_snapshot_preview1.reactor.wasm of Wasmtime, and give that",
        [[NotEncoded, From("wasi_snapshot_preview1")]];
    "the core of a component", "cores of components",
        "a tool that makes components: it has their exports and is none yet",
        "make it one with `wasm-tools component new`, and give that", [[NotEncoded]];
    "an HTTP handler", "HTTP handlers", "`wasmtime serve`, Spin, wasmCloud", REBUILD,
        [[ExportStart("wasi:http/")]];
    "a WASI command", "WASI commands", "a shell: it runs once, from its start to its end", RUN,
        [[ExportStart("wasi:cli/run@")], [OnlyWasi, Export("_start")]];
    "a WASI reactor", "WASI reactors", "a host that knows its functions", REBUILD,
        [[From("wasi_"), OnlyWasi, Export("_initialize")]];
    "an object file of WebAssembly", "object files of WebAssembly", "a linker",
        "link it first, e.g. with wasm-ld", [[Section("linking")]];
    "a shared library of WebAssembly", "shared libraries of WebAssembly",
        "a program that loads it while it runs", "link it into one module or component",
        [[Section("dylink.0")], [Section("dylink")]];
};

/// The functions of its host that AssemblyScript's own library uses.
const ASSEMBLY_SCRIPT: &[&str] = &[
    "abort",
    "trace",
    "seed",
    "console.",
    "crypto.",
    "Date.",
    "Math.",
    "performance.",
    "process.",
];

const NATIVE: &[Row] = rows! {
    "an extension of Python", "extensions of Python", "CPython", REBUILD, [[ExportStart("PyInit_")]];
    "an addon of Node.js", "addons of Node.js", "Node.js", REBUILD,
        [[Export("napi_register_module_v1")], [ExportStart("node_register_module_v")]];
    "a library for Java", "libraries for Java", "a Java virtual machine", REBUILD,
        [[Export("JNI_OnLoad")], [ExportStart("Java_")]];
    "a module of Lua", "modules of Lua", "Lua", REBUILD, [[ExportStart("luaopen_")]];
    "an extension of PostgreSQL", "extensions of PostgreSQL", "PostgreSQL", REBUILD,
        [[Export("Pg_magic_func")]];
    "an extension of SQLite", "extensions of SQLite", "SQLite", REBUILD,
        [[Export("sqlite3_extension_init")]];
    "a plugin of GStreamer", "plugins of GStreamer", "GStreamer", REBUILD,
        [[ExportStart("gst_plugin_")]];
    "a VST 3 plug-in", "VST 3 plug-ins", "programs for music", REBUILD,
        [[Export("GetPluginFactory")]];
    "a CLAP plug-in", "CLAP plug-ins", "programs for music", REBUILD, [[Export("clap_entry")]];
    "an LV2 plug-in", "LV2 plug-ins", "programs for music", REBUILD, [[Export("lv2_descriptor")]];
    "a LADSPA plug-in", "LADSPA plug-ins", "programs for music", REBUILD,
        [[Export("ladspa_descriptor")]];
};

/// The host that a module or component was made for. `None` if it is Glovebox's own, or nobody
/// knows.
pub(super) fn of_wasm(interface: &Interface) -> Option<Foreign> {
    if is_own(interface) { None } else { find(WASM, interface) }
}

/// The host that a shared library that is no plugin was made for, by the names that it exports.
pub(super) fn of_library(exports: Vec<String>) -> Option<Foreign> {
    // Mach-O puts an underscore before each name.
    let bare = exports.iter().filter_map(|name| name.strip_prefix('_')).map(str::to_owned);
    let exports = exports.iter().cloned().chain(bare).collect();
    find(NATIVE, &Interface { exports, ..Interface::default() })
}

/// Whether a module or component keeps to a binding of Glovebox, of whatever version, or means to.
pub(super) fn is_own(interface: &Interface) -> bool {
    let sections = |name: &String| name == frame_abi::MANIFEST_SECTION;
    is_bound(interface) || interface.sections.iter().any(sections)
}

/// The same without looking for a manifest, which any file can have.
fn is_bound(interface: &Interface) -> bool {
    let imports = |(module, _): &(String, String)| {
        module == frame_abi::IMPORT_MODULE || module.starts_with(PACKAGE)
    };
    has_binding(interface) || interface.imports.iter().any(imports)
}

/// Whether it exports a binding of Glovebox, of whatever version.
pub(super) fn has_binding(interface: &Interface) -> bool {
    let is_of_it =
        |name: &String| name.starts_with(frame_abi::MARKER_PREFIX) || name.starts_with(PACKAGE);
    interface.exports.iter().any(is_of_it)
}

/// How the interfaces of Glovebox's component world begin.
const PACKAGE: &str = "glovebox:plugin/";

/// The adapter for a module that was made for another host, if there is one.
pub(super) fn adapter_of(interface: &Interface) -> Option<&'static dyn Adapter> {
    if is_bound(interface) { None } else { row(WASM, interface)?.adapter }
}

fn find(rows: &'static [Row], interface: &Interface) -> Option<Foreign> {
    row(rows, interface).map(|row| row.foreign)
}

fn row(rows: &'static [Row], interface: &Interface) -> Option<&'static Row> {
    let holds = |sign: &Sign| interface.shows(sign);
    let fits = |row: &&Row| row.signs.iter().any(|signs| signs.iter().all(holds));
    rows.iter().find(fits)
}

impl Interface {
    fn shows(&self, sign: &Sign) -> bool {
        let mut imports = self.imports.iter();
        match sign {
            From(start) => imports.any(|(module, _)| module.starts_with(start)),
            Import(module, start) => {
                imports.any(|(from, name)| from == module && name.starts_with(start))
            }
            OnlyWasi => imports.all(|(module, _)| module.starts_with("wasi")),
            Only(module, names) => {
                let is_one = |name: &String| {
                    names
                        .iter()
                        .any(|one| name == one || one.ends_with('.') && name.starts_with(one))
                };
                !self.imports.is_empty()
                    && imports.all(|(from, name)| from == module && is_one(name))
            }
            OnlyTypes => {
                self.imports.is_empty()
                    && self.exported_types > 0
                    && self.exported_types == self.exports.len()
            }
            Minified => {
                let is_short = |name: &String| name.len() <= 2;
                let is_from = |module: &str| matches!(module, "a" | "env");
                !self.imports.is_empty()
                    && !self.exports.is_empty()
                    && imports.all(|(from, name)| is_from(from) && is_short(name))
                    && self.exports.iter().all(is_short)
            }
            Export(name) => self.exports.iter().any(|export| export == name),
            ExportStart(start) => self.exports.iter().any(|export| export.starts_with(start)),
            NotEncoded => self.exports.iter().any(|export| {
                export.split_once('#').is_some_and(|(interface, _)| interface.contains(':'))
            }),
            Section(name) => self.sections.iter().any(|section| section == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_hosts_are_named() {
        #[track_caller]
        fn check(fields: &str, expected: &str) {
            let bytes = wat::parse_str(fields).unwrap_or_else(|error| panic!("{error}"));
            let found = of_wasm(&Interface::of(&bytes));
            assert_eq!(found.map_or("none", Foreign::name), expected, "{fields}");
        }
        let function =
            |module: &str, name: &str| format!("(import \"{module}\" \"{name}\" (func))");
        let with = |fields: &str, expected: &str| check(&format!("(module {fields})"), expected);
        let export = |name: &str| format!("(func (export \"{name}\"))");
        let wasi = function("wasi_snapshot_preview1", "proc_exit");
        let imports = |module: &str, name: &str, expected: &str| {
            with(&function(module, name), expected);
            // WASI beside it says nothing.
            let start = export("_start");
            with(&format!("{wasi} {} {start}", function(module, name)), expected);
        };
        imports("extism:host/env", "alloc", "an Extism plug-in");
        imports("env", "extism_alloc", "an Extism plug-in");
        imports("wapc", "__guest_request", "a waPC module");
        imports("wasmbus", "__guest_request", "a wasmCloud actor");
        imports("zellij", "host_run_plugin_command", "a Zellij plugin");
        imports("env", "opa_abort", "an OPA policy");
        imports("env", "copy_records", "a Fluvio SmartModule");
        imports("http_handler", "get_header", "an http-wasm handler");
        imports("dylibso_observe", "enter", "a module with probes of Dylibso Observe");
        imports("gojs", "runtime.wasmExit", "a Go program for JavaScript");
        imports("env", "emscripten_resize_heap", "a module of Emscripten");
        imports("env", "napi_create_object", "an addon of Node.js in WebAssembly");
        imports("env", "proxy_log", "a proxy-wasm filter");
        // Of objects of JavaScript, in Pyodide.
        with(&function("env", "proxy_new"), "none");
        with(&export("proxy_on_vm_start"), "a proxy-wasm filter");
        imports("fastly_http_req", "send", "a program for Fastly Compute");
        imports("ic0", "msg_reply", "a canister of the Internet Computer");
        imports("shopify_function_v1", "shopify_function_input_get", "a Shopify function");
        imports("javy_quickjs_provider_v3", "invoke", "a module of Javy");
        imports("rb-js-abi-host", "eval-js", "the Ruby of ruby.wasm");
        let near = [function("env", "read_register"), function("env", "register_len")];
        with(&near.concat(), "a NEAR contract");
        with(&export("__transform_plugin_process_impl"), "a plugin of swc");
        with(&export("napi_register_wasm_v1"), "an addon of Node.js in WebAssembly");
        let kernel = [export("input_set"), export("error_set")].concat();
        with(&kernel, "none");
        with(&format!("{kernel} {}", export("extism_context")), "the runtime of Extism");
        let minified = [function("a", "a"), function("a", "B"), export("C"), export("da")];
        with(&minified.concat(), "a module of Emscripten");
        with(&format!("{} {}", minified.concat(), export("process")), "none");
        with(&format!("{} {}", function("b", "a"), export("c")), "none");
        let script = [function("env", "abort"), function("env", "console.log"), export("add")];
        with(&script.concat(), "a module of AssemblyScript");
        with(&format!("{} {}", function("env", "aborted"), script.concat()), "none");
        with(
            &format!("{} {}", export("__new"), export("__rtti_base")),
            "a module of AssemblyScript",
        );
        with(&export("handle_request"), "none");
        let handler = [export("handle_request"), export("handle_response"), export("_start")];
        with(&handler.concat(), "an http-wasm handler");
        with(&export("proxy_abi_version_0_2_1"), "a proxy-wasm filter");
        with(&export("__guest_call"), "a waPC module");
        with(&export("dprint_plugin_version_4"), "a dprint plugin");
        with(&export("get_plugin_schema_version"), "a dprint plugin");
        let spin = export("canonical_abi_realloc");
        with(&spin, "none");
        with(&format!("{spin} {}", export("handle-http-request")), "a Spin component");
        let suborbital = function("env", "return_result");
        with(&suborbital, "none");
        with(&format!("{suborbital} {}", export("run_e")), "a Suborbital module");
        with("(@custom \"zed:api-version\" \"\\00\\00\")", "a Zed extension");
        with(&format!("{wasi} {}", export("_start")), "a WASI command");
        with(&export("_start"), "a WASI command");
        with(&format!("{wasi} {}", export("_initialize")), "a WASI reactor");
        with("(@custom \"linking\" \"\\02\")", "an object file of WebAssembly");
        with("(@custom \"dylink.0\" \"\")", "a shared library of WebAssembly");
        with(&export("wasi:http/incoming-handler@0.2.0#handle"), "the core of a component");
        let core = export("wasi:http/incoming-handler@0.2.0#handle");
        with(&format!("{wasi} {core}"), "the core of a component that needs WASI");
        let adapter = function("__main_module__", "cabi_realloc");
        with(&format!("{adapter} {}", export("fd_write")), "an adapter for WASI preview 1");
        with(&export("glovebox:plugin/guest@0.1.0#process"), "none");
        with("", "none");
        with(&format!("{} {}", function("env", "other"), export("_start")), "none");
        // A file that is meant for Glovebox stays so, whatever else it has.
        with(&format!("{} {}", export("_start"), export("glovebox_abi_9_0")), "none");
        with(&format!("{} {wasi} {}", function("glovebox", "log"), export("_start")), "none");
        let component = |item: &str, expected| check(&format!("(component {item})"), expected);
        let given = |name: &str| format!("(instance $i) (export \"{name}\" (instance $i))");
        let wanted = |name: &str| format!("(import \"{name}\" (instance))");
        component(&given("wasi:cli/run@0.2.3"), "a WASI command");
        component(&given("wasi:http/incoming-handler@0.2.0"), "an HTTP handler");
        component(&wanted("fermyon:spin/llm@2.0.0"), "a Spin component");
        component(&wanted("wasmcloud:messaging/consumer@0.2.0"), "a wasmCloud component");
        component(&wanted("zed:extension/lsp"), "a Zed extension");
        component(&wanted("wasi:io/poll@0.2.0"), "none");
        component("(type $w (component)) (export \"w\" (type $w))", "a WIT package");
        component(&given("glovebox:plugin/guest@0.1.0"), "none");
        let both = given("wasi:cli/run@0.2.3");
        component(&format!("{both} {}", wanted("glovebox:plugin/host@0.1.0")), "none");
        // Exports of a module inside that do not show outside do not count.
        component("(core module (func (export \"_start\")))", "none");
    }

    #[test]
    fn libraries_of_other_hosts_are_named() {
        fn check(export: &str, expected: &str) {
            for name in [export.to_owned(), format!("_{export}")] {
                let found = of_library(vec!["other".to_owned(), name]);
                assert_eq!(found.map_or("none", Foreign::name), expected, "{export}");
            }
        }
        check("PyInit_numpy", "an extension of Python");
        check("napi_register_module_v1", "an addon of Node.js");
        check("JNI_OnLoad", "a library for Java");
        check("luaopen_cjson", "a module of Lua");
        check("clap_entry", "a CLAP plug-in");
        check("main", "none");
    }
}
