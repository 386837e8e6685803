//! Plugins found in folders, asked for, put in order, and loaded together.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use glovebox_catalog::{Catalog, Intent, Query, ScanBounds};
use glovebox_catalog::{IntentContext, Root};
use glovebox_events::What;
use glovebox_host::LoadRequest;
use glovebox_tests::{Bench, binary, sample};
use serde_json::Value as Json;

/// A plugin of the frame ABI that answers nothing and carries its manifest inside.
fn plugin(manifest: &str) -> String {
    let manifest = manifest.replace('"', "'").replace('\n', "\\n");
    format!(
        "(module (@custom \"glovebox:manifest\" \"{manifest}\")
            (memory (export \"memory\") 1)
            (func (export \"glovebox_abi_0_1\"))
            (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 1024)
            (func (export \"glovebox_process\") (param i32) (result i64) i64.const 0))"
    )
}

/// Its manifest, with dependencies as lines of TOML.
fn about(id: &str, version: &str, needs: &str) -> String {
    format!("[plugin]\nid = \"{id}\"\nversion = \"{version}\"\n[dependencies]\n{needs}")
}

/// A folder of files, given as path and content.
struct Folder(tempfile::TempDir);

impl Folder {
    fn of<C: AsRef<[u8]>>(files: impl IntoIterator<Item = (impl AsRef<Path>, C)>) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn scan(&self) -> Catalog {
        Catalog::scan([self.path()], &ScanBounds::default())
    }

    /// The text without the path of this folder.
    fn short(&self, text: impl ToString) -> String {
        text.to_string().replace(&format!("{}/", self.path().display()), "")
    }

    fn findings(&self, catalog: &Catalog) -> Vec<String> {
        catalog.findings().map(|finding| self.short(finding)).collect()
    }
}

/// The least that is a plugin.
const BARE: &str = "(module (func (export \"glovebox_abi_0_1\")))";

/// Everything that is no plugin, by kind.
fn counted(catalog: &Catalog) -> String {
    let others = catalog.others().iter().map(|(kind, count)| format!("{count} {kind}"));
    others.collect::<Vec<_>>().join(", ")
}

#[test]
fn what_is_no_plugin_is_counted_by_its_kind() {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let command = "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))
        (func (export \"_start\")))";
    // An adapter runs it.
    let extism = "(module (import \"extism:host/env\" \"alloc\" (func (param i64) (result i64))))";
    let zellij = "(module (import \"zellij\" \"host_run_plugin_command\" (func)))";
    let about = "[plugin]\nid = 'claimed'\n[artifact]\nwasm = 'claimed.wasm'";
    let folder = Folder::of([
        ("bare.wasm", wat(BARE)),
        ("command.wasm", wat(command)),
        ("command.wat", command.as_bytes().to_vec()),
        ("extism.wasm", wat(extism)),
        ("proxy.wasm", wat("(module (func (export \"proxy_abi_version_0_2_1\")))")),
        (
            "http.wasm",
            wat(
                "(component (instance $i) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i)))",
            ),
        ),
        ("other.wasm", wat("(module (func (export \"run\")))")),
        ("world.wasm", wat("(component)")),
        // A manifest that names such a file is told what it is.
        ("named/plugin.toml", about.as_bytes().to_vec()),
        ("named/claimed.wasm", wat(extism)),
        ("zellij.wasm", wat(zellij)),
        ("taken/plugin.toml", about.replace("claimed", "taken").into_bytes()),
        ("taken/taken.wasm", wat(zellij)),
        ("nameless/plugin.toml", b"[plugin]\nid = 'nameless'".to_vec()),
        ("nameless/command.wasm", wat(command)),
        ("nameless/plugin.wasm", wat("(module)")),
    ]);
    let catalog = folder.scan();
    assert_eq!(
        entries(&folder, &catalog),
        [
            "bare 0.0.0 none bare.wasm",
            "claimed 0.0.0 plugin.toml named/claimed.wasm",
            "extism 0.0.0 none extism.wasm",
            "nameless 0.0.0 plugin.toml nameless/plugin.wasm",
        ]
    );
    assert_eq!(
        counted(&catalog),
        "1 HTTP handlers, 3 WASI commands, 1 Zellij plugins, 1 components of other worlds, \
         1 modules of unknown purpose, 1 proxy-wasm filters"
    );
    let findings = folder.findings(&catalog);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = "sniff: this is a Zellij plugin, made for the terminal workspace Zellij, for";
    assert!(findings[0].starts_with(finding), "{findings:?}");
}

/// `id version place artifact` of everything that was found.
fn entries(folder: &Folder, catalog: &Catalog) -> Vec<String> {
    let entries = catalog.entries().iter().map(|entry| {
        let place = entry.manifest_place.name();
        let path = folder.short(entry.artifact.display());
        format!("{} {} {place} {path}", entry.id(), entry.version())
    });
    entries.collect()
}

#[test]
fn damaged_files_are_findings_among_good_ones() {
    let inside = plugin(&about("inside", "1.0.0", ""));
    let binary = wat::parse_str(&inside).unwrap();
    let text = |text: &str| text.as_bytes().to_vec();
    let folder = Folder::of([
        (
            "beside/plugin.toml",
            text(
                "[plugin]\nid = 'beside'\nversion = '2.0.0'\n[artifact]\nwasm = 'out/any.wasm'\n[configurations.fast]\ndescription = 'Quick'",
            ),
        ),
        ("beside/out/any.wasm", binary.clone()),
        ("inside.wat", text(&inside)),
        ("copies/inside.wasm", binary.clone()),
        ("nameless/plugin.toml", text("[plugin]\nid = 'nameless'")),
        ("nameless/some.wasm", wat::parse_str("(module)").unwrap()),
        ("other.wasm", wat::parse_str("(module)").unwrap()),
        ("My Bare.wasm", wat::parse_str(BARE).unwrap()),
        (".hidden/inside.wasm", binary.clone()),
        ("readme.md", text("no plugin")),
        ("bad/cut.wasm", binary[..binary.len() - 1].to_vec()),
        ("bad/empty.wasm", Vec::new()),
        ("bad/gzip.wasm", vec![0x1F, 0x8B, 8, 0]),
        ("bad/text.wat", text("(module (func $x")),
        ("bad/library.so", text("\x7FELF and no more")),
        ("bad/typo/plugin.toml", text("[plugin]\nid = 'a'\nnmae = 'A'")),
        ("bad/none/plugin.toml", text("[plugin]\nid = 'a'\n[artifact]\nwasm = 'no.wasm'")),
    ]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path(), folder.path().join("bad/circle")).unwrap();
        std::os::unix::fs::symlink("inside.wat", folder.path().join("link.wat")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling.wasm")).unwrap();
    }
    let catalog = folder.scan();
    assert_eq!(
        entries(&folder, &catalog),
        [
            "beside 2.0.0 plugin.toml beside/out/any.wasm",
            "beside-fast 2.0.0 plugin.toml beside/out/any.wasm",
            "inside 1.0.0 artifact copies/inside.wasm",
            "inside 1.0.0 artifact inside.wat",
            "my-bare 0.0.0 none My Bare.wasm",
            "nameless 0.0.0 plugin.toml nameless/some.wasm",
        ]
    );
    let findings = folder.findings(&catalog);
    let starts = [
        "read: no artifact: no.wasm does not exist; build the plugin with `glovebox build`",
        "sniff: the module is damaged: cut short: the section at byte",
        "sniff: this is an empty file, not a plugin; build the plugin again: bad/empty.wasm",
        "sniff: this is a file packed with gzip, not a plugin; unpack it with `gzip -d`, and give what is inside: bad/gzip.wasm",
        "sniff: the shared library is damaged:",
        "sniff: the WebAssembly text is wrong in line",
        "parse manifest: unknown key `nmae` in [plugin] on line 3; did you mean `name`?; correct \
         plugin.toml: bad/typo/plugin.toml",
        "`inside` 1.0.0 is there 2 times; where one is chosen, copies/inside.wasm counts, and not \
         inside.wat",
    ];
    assert_eq!(findings.len(), starts.len(), "{findings:#?}");
    for (finding, start) in findings.iter().zip(starts) {
        assert!(finding.starts_with(start), "{finding:?} does not start with {start:?}");
    }
    // The same again: nothing depends on the order in which the system lists files.
    assert_eq!(entries(&folder, &folder.scan()), entries(&folder, &catalog));
}

#[test]
fn the_bounds_of_a_scan_are_said() {
    let module = wat::parse_str(BARE).unwrap();
    let files = ["a.wasm", "one/b.wasm", "one/two/c.wasm", "one/two/three/d.wasm"];
    let folder = Folder::of(files.map(|path| (path, module.clone())));
    let check = |bounds: ScanBounds, ids: &str, findings: &[&str]| {
        let catalog = Catalog::scan([folder.path()], &bounds);
        let found: Vec<&str> = catalog.entries().iter().map(|entry| entry.id()).collect();
        assert_eq!(found.join(" "), ids, "{bounds:?}");
        assert_eq!(folder.findings(&catalog), findings);
    };
    let bounds = ScanBounds::default();
    check(bounds, "a b c d", &[]);
    let deep = "one/two lies deeper than 1 folders and was left out; to see what is there, scan it by name";
    check(ScanBounds { depth: 1, ..bounds }, "a b", &[deep]);
    let plugins = "4 plugins, of which 3 were read; name folders that hold fewer";
    check(ScanBounds { plugins: 3, ..bounds }, "a b c", &[plugins]);
    let cut =
        "more than 4 files and folders, and the rest was left out; name folders that hold fewer";
    check(ScanBounds { files: 4, ..bounds }, "a b", &[cut]);
}

/// Code that no compiler takes stands behind the manifest, so compiling would fail.
#[test]
fn a_thousand_plugins_are_found_without_compiling() {
    let files = (0..1000).map(|number| {
        let manifest = format!(
            "[plugin]\nid = 'plugin-{number}'\ncapabilities = ['all', 'of-{}']",
            number % 10
        );
        let name = b"glovebox:manifest";
        let body = [&[name.len() as u8], &name[..], manifest.as_bytes()].concat();
        assert!(body.len() < 128, "one byte of length is enough here");
        let module = [b"\0asm\x01\0\0\0", &[0, body.len() as u8][..], &body, b"\x0A\x02\xFF\xFF"];
        (format!("{}/{number}.wasm", number % 7), module.concat())
    });
    let folder = Folder::of(files);
    let catalog = folder.scan();
    assert_eq!((catalog.entries().len(), catalog.findings().len()), (1000, 0));
    let query = Query { required: vec!["of-3".to_owned()], ..Query::default() };
    assert_eq!(catalog.find(&query).len(), 100);
    let query = Query { text: Some("plugn-777".to_owned()), ..Query::default() };
    assert_eq!(catalog.find(&query)[0].entry.id(), "plugin-777");
    let bench = Bench::new();
    let error = bench.host.load(catalog.entries()[0].request()).wait().unwrap_err();
    assert_eq!(error.stage().to_string(), "compile", "{error}");
}

#[cfg(unix)]
#[test]
fn libraries_are_told_apart_without_opening_them() {
    let folder = Folder::of([("a.c", "int x = 5;")]);
    let library = folder.path().join("ordinary.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(folder.path().join("a.c"));
    assert!(command.status().unwrap().success());
    let native = glovebox_tests::native_sample("redact");
    fs::copy(&native, folder.path().join("libredact.so")).unwrap();
    let wasm = sample("redact.wasm");
    fs::copy(wasm, folder.path().join("redact.wasm")).unwrap();
    let catalog = folder.scan();
    // The one in the sandbox goes first, whatever it is called.
    let found = ["redact 1.0.0 artifact redact.wasm", "redact 1.0.0 artifact libredact.so"];
    assert_eq!(entries(&folder, &catalog), found);
    assert_eq!(counted(&catalog), "1 shared libraries");
}

/// A library of macOS for one processor that exports a name: a header, and where the names are.
fn macho(processor: u32, name: &str) -> Vec<u8> {
    let numbers =
        |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let edge = [&[0, 1][..], b"_", name.as_bytes(), &[0]].concat();
    let names = [&edge[..], &[edge.len() as u8 + 1, 2, 0, 0, 0]].concat();
    let header = numbers(&[0xFEED_FACF, processor, 0, 8, 1, 16, 0, 0]);
    let command = numbers(&[0x8000_0033, 16, 48, names.len() as u32]);
    [header, command, names].concat()
}

/// Such libraries for both processors in one file.
fn universal(name: &str) -> Vec<u8> {
    let (one, other) = (macho(0x0100_000C, name), macho(0x0100_0007, name));
    let (first, second) = (4096, 8192);
    let mut file: Vec<u8> = [
        [0xCAFE_BABE_u32, 2],
        [0x0100_000C, 0],
        [first, one.len() as u32],
        [12, 0x0100_0007],
        [0, second],
        [other.len() as u32, 12],
    ]
    .iter()
    .flatten()
    .flat_map(|number| number.to_be_bytes())
    .collect();
    file.resize(first as usize, 0);
    file.extend(one);
    file.resize(second as usize, 0);
    file.extend(other);
    file
}

/// Scans, inspections and loads say the same about a file.
#[cfg(unix)]
#[test]
fn a_file_has_one_name_whoever_looks() {
    /// Checks how several such files are called, and what the errors say of one.
    #[track_caller]
    fn check(file: &str, bytes: &[u8], several: &str, one: &str) {
        let folder = Folder::of([(file, bytes)]);
        let path = folder.path().join(file);
        let catalog = folder.scan();
        assert_eq!((counted(&catalog), folder.findings(&catalog)), (several.to_owned(), vec![]));
        let bench = Bench::new();
        let loaded = bench.host.load(LoadRequest::path(&path)).wait().unwrap_err().to_string();
        assert!(loaded.contains(one), "{loaded}");
        match glovebox_host::inspect(&path) {
            Err(error) => assert_eq!(error.to_string(), loaded),
            // A module can be looked at, whatever it is for.
            Ok(found) => {
                let foreign = found.foreign.map(|foreign| format!("this is {}", foreign.name()));
                assert!(foreign.is_none_or(|foreign| loaded.contains(&foreign)), "{loaded}");
            }
        }
        // With a manifest that takes it for a plugin, the scan says why it is none.
        let manifest = format!("[plugin]\nid = \"a\"\n[artifact]\nnative = \"{file}\"\n");
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let findings = folder.findings(&folder.scan());
        if !findings.is_empty() {
            let known = folder.short(loaded);
            assert!(findings[0].contains(known.split("; ").next().unwrap()), "{findings:?}");
        }
    }
    let source = Folder::of([("a.c", "int NAME(void) { return 5; } int main(void) { return 0; }")]);
    let compile = |arguments: &[&str]| {
        let out = source.path().join("out");
        let mut command = Command::new("cc");
        command.args(arguments).arg("-o").arg(&out).arg(source.path().join("a.c"));
        assert!(command.status().unwrap().success(), "{arguments:?}");
        fs::read(out).unwrap()
    };
    let library = |name: &str| compile(&["-shared", "-fPIC", "-g", &format!("-DNAME={name}")]);
    let missing = "missing export `glovebox_plugin_0_1`";
    check("a.so", &library("any"), "1 shared libraries", missing);
    check("a.so", &library("PyInit_a"), "1 extensions of Python", "this is an extension of Python");
    let addon = "this is an addon of Node.js";
    let addons = "1 addons of Node.js";
    check("a.so", &library("napi_register_module_v1"), addons, addon);
    let program = "this is a program";
    check("a.so", &compile(&["-DNAME=any", "-pie", "-fPIE"]), "1 programs", program);
    check("a.so", &compile(&["-DNAME=any", "-no-pie"]), "1 programs", program);
    let object = compile(&["-DNAME=any", "-c"]);
    check("a.so", &object, "1 object files that were not linked", "this is an object file");
    fs::write(source.path().join("whole"), library("any")).unwrap();
    let mut left = Command::new("objcopy");
    left.arg("--only-keep-debug").args([source.path().join("whole"), source.path().join("left")]);
    assert!(left.status().unwrap().success());
    let left = fs::read(source.path().join("left")).unwrap();
    check("a.so", &left, "1 files of debug information", "this is debug information");
    for file in
        [macho(0x0100_000C, "napi_register_module_v1"), universal("napi_register_module_v1")]
    {
        check("a.dylib", &file, addons, addon);
    }
    for file in [macho(0x0100_000C, "any"), universal("any")] {
        check("a.dylib", &file, "1 shared libraries", "built for macOS, ");
    }
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let zellij = wat("(module (import \"zellij\" \"host_run_plugin_command\" (func)))");
    check("a.wasm", &zellij, "1 Zellij plugins", "this is a Zellij plugin");
    check("a.wasm", &wat("(module)"), "1 modules of unknown purpose", "missing export");
    check("a.wasm", &wat("(component)"), "1 components of other worlds", "missing export");
}

#[test]
fn any_damage_gives_an_entry_or_a_finding() {
    let folder = Folder::of([("any", "")]);
    let path = folder.path().join("any");
    let check = |damage: &str| {
        let catalog = Catalog::scan([&path], &ScanBounds::default());
        let found = catalog.entries().len()
            + catalog.findings().len()
            + catalog.others().values().sum::<usize>();
        assert_eq!(found, 1, "{damage}");
    };
    for artifact in [sample("echo.wasm"), glovebox_tests::native_sample("redact")] {
        let whole = fs::read(artifact).unwrap();
        fs::write(&path, &whole).unwrap();
        let mut file = fs::File::options().write(true).open(&path).unwrap();
        let mut write = |position: usize, byte: u8| {
            file.seek(SeekFrom::Start(position as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        // Headers come first, and tables of sections last.
        let (head, tail) = (0..128, whole.len() - 256..whole.len());
        for position in head.chain(tail) {
            for byte in [0, 0xFF, whole[position] ^ 0x80] {
                write(position, byte);
                check(&format!("{byte:#04X} at {position}"));
            }
            write(position, whole[position]);
        }
        for parts in (0..100).rev() {
            let length = (whole.len() * parts / 100) as u64;
            file.set_len(length).unwrap();
            check(&format!("cut at {length}"));
        }
    }
}

#[test]
fn the_samples_are_found_by_what_they_are() {
    let catalog = Catalog::scan([sample("")], &ScanBounds::default());
    let check = |query: Query, expected: &str| {
        let mut ids: Vec<&str> = catalog.find(&query).iter().map(|hit| hit.entry.id()).collect();
        ids.dedup();
        assert_eq!(ids.join(" "), expected, "{query:?}");
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let text = |text: &str| Some(text.to_owned());
    check(Query { required: names(&["redaction"]), ..Query::default() }, "redact");
    check(Query { category: text("observability"), ..Query::default() }, "stats");
    check(Query { plugin_type: text("service"), ..Query::default() }, "storage");
    check(
        Query { plugin_type: text("filter"), optional: names(&["redaction"]), ..Query::default() },
        "redact echo hello-wat misbehave",
    );
    check(Query { text: text("percntiles"), ..Query::default() }, "stats");
    check(Query { text: text("mask e-mails"), ..Query::default() }, "redact");
    let intent = Intent {
        intent: "redact secrets".to_owned(),
        contexts: IntentContext::find_in("privacy"),
        requirements: vec!["p99<=5ms".parse().unwrap(), "permission:-kv".parse().unwrap()],
    };
    let assessment = catalog.intend(&Query::default(), &intent);
    let best = &assessment.candidates[0];
    assert_eq!((best.entry.id(), best.score), ("redact", 100.0));
    assert_eq!(best.reasons[0].words, "`redact` is in its name");
}

/// Plugins that need each other, in files of their own.
fn dependents(plugins: &[(&str, &str, &str)]) -> Folder {
    let files = plugins.iter().map(|(id, version, needs)| {
        (format!("{id}-{version}.wat"), plugin(&about(id, version, needs)))
    });
    Folder::of(files)
}

fn roots(text: &str) -> Vec<Root> {
    text.split(' ').map(|root| root.parse().unwrap()).collect()
}

/// Loads and unloads of plugins, in order.
fn history(bench: &Bench) -> Vec<String> {
    let events = bench.events.events().into_iter().filter_map(|event| match event.what {
        What::Loaded { version, .. } => Some(format!("+{} {version}", event.plugin)),
        What::Unloaded => Some(format!("-{}", event.plugin)),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_set_is_loaded_in_order_and_unloaded_in_reverse() {
    let folder = dependents(&[
        ("app", "1.0.0", "store = '^1.1'\nlog = '*'"),
        ("store", "1.0.0", ""),
        ("store", "1.2.0", "log = '^2'"),
        ("store", "2.0.0", ""),
        ("log", "1.0.0", ""),
        ("log", "2.1.0", ""),
    ]);
    let catalog = folder.scan();
    let resolution = catalog.resolve(&roots("app")).unwrap();
    let bench = Bench::new();
    let set = bench.host.load_set(resolution.requests()).wait().unwrap();
    assert_eq!(set.plugins().len(), 3);
    assert_eq!(set.get("store"), bench.host.find("store"));
    assert_eq!(bench.host.unload_set(set).wait(), 3);
    assert_eq!(
        history(&bench),
        ["+log 2.1.0", "+store 1.2.0", "+app 1.0.0", "-app", "-store", "-log"]
    );
}

#[test]
fn a_set_that_cannot_be_loaded_leaves_nothing() {
    let folder = dependents(&[
        ("app", "1.0.0", "store = '*'"),
        ("store", "1.0.0", "log = '*'"),
        ("log", "1.0.0", "base = '*'"),
        ("base", "1.0.0", ""),
    ]);
    // It has a manifest and no exports.
    let manifest = about("store", "1.0.0", "log = '*'").replace('"', "'").replace('\n', "\\n");
    let module = format!("(module (@custom \"glovebox:manifest\" \"{manifest}\"))");
    fs::write(folder.path().join("store-1.0.0.wat"), module).unwrap();
    let catalog = folder.scan();
    let resolution = catalog.resolve(&roots("app")).unwrap();
    let bench = Bench::new();
    let error = bench.host.load_set(resolution.requests()).wait().unwrap_err();
    let sentence = folder.short(&error);
    let expected =
        "cannot load `store`, 3 of 4, and unloaded the 2 before it: link: missing export";
    assert!(sentence.starts_with(expected), "{sentence}");
    assert!(sentence.ends_with(": store-1.0.0.wat"), "{sentence}");
    assert_eq!(history(&bench), ["+base 1.0.0", "+log 1.0.0", "-log", "-base"]);
    assert!(bench.host.plugins().is_empty());
}

#[test]
fn what_does_not_fit_together_is_explained() {
    let check = |plugins: &[(&str, &str, &str)], wanted: &str, expected: &str| {
        let catalog = dependents(plugins).scan();
        let error = catalog.resolve(&roots(wanted)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        &[
            ("dashboard", "1.0.0", "chart = '^2'"),
            ("report", "1.0.0", "chart = '>=1.4, <2'"),
            ("chart", "1.4.2", ""),
            ("chart", "2.0.0", ""),
        ],
        "dashboard report",
        "Because `report` 1.0.0 needs `chart >=1.4, <2`, and `dashboard` 1.0.0 needs `chart ^2`, \
         `dashboard` 1.0.0 and `report` 1.0.0 cannot be loaded together.\nAnd because `dashboard` \
         is asked for, and `report` is asked for, the plugins asked for cannot be loaded together.",
    );
    check(
        &[("a", "1.0.0", "b = '*'"), ("b", "1.0.0", "c = '^1'"), ("c", "1.0.0", "a = '*'")],
        "b",
        "plugins depend on each other in a circle: b → c → a → b; remove one of these dependencies",
    );
}

#[test]
fn a_factory_runs_under_its_configurations() {
    let manifest = "
        [plugin]
        id = 'redact'
        version = '1.0.0'
        [artifact]
        wasm = 'redact.wasm'
        [permissions]
        log = true
        metric = true
        [config]
        replacement = '[redacted]'
        [configurations.loud]
        description = 'Says so'
        config = { replacement = '***' }
        [configurations.mails-only]
        config = { cards = false, tokens = false }
    ";
    let redact = fs::read(sample("redact.wasm")).unwrap();
    let folder =
        Folder::of([("plugin.toml", manifest.as_bytes().to_vec()), ("redact.wasm", redact)]);
    let catalog = folder.scan();
    let ids: Vec<&str> = catalog.entries().iter().map(|entry| entry.id()).collect();
    assert_eq!(ids, ["redact", "redact-loud", "redact-mails-only"]);
    let loud = catalog.newest("redact-loud").unwrap();
    assert_eq!(loud.manifest.plugin.description, "Says so");
    assert_eq!(loud.factory.as_ref().map(|factory| factory.id.as_str()), Some("redact"));

    let bench = Bench::new();
    let load = |request: LoadRequest| bench.host.load(request).wait();
    let (plain, loud) = (load(catalog.entries()[0].request()), load(loud.request()));
    let (plain, loud) = (plain.unwrap(), loud.unwrap());
    assert_eq!(bench.ask(plain, "to ann@example.org"), "to [redacted]");
    assert_eq!(bench.ask(loud, "to ann@example.org"), "to ***");
    assert_eq!(bench.host.find("redact-loud"), Some(loud));
    let query = Query { text: Some("redact".to_owned()), ..Query::default() };
    assert_eq!(query.find_in(&bench.host), [plain, loud]);
    let generation = bench.host.reload(loud).wait();
    assert_eq!(generation.unwrap(), 2);
    assert_eq!(bench.ask(loud, "to ann@example.org"), "to ***");
    let asleep = load(LoadRequest::path(folder.path()).configuration("loud").lazy()).unwrap();
    assert_eq!(bench.ask(asleep, "to ann@example.org"), "to ***");
    let error = load(LoadRequest::path(folder.path()).configuration("quiet")).unwrap_err();
    assert_eq!(
        folder.short(error),
        "parse manifest: plugin `redact` has no configuration `quiet`, only `loud`, `mails-only`; \
         name one that is there, or add [configurations.NAME] to plugin.toml: redact.wasm"
    );
}

#[test]
fn the_program_discovers() {
    let folder = dependents(&[
        ("app", "1.0.0", "store = '^1'"),
        ("store", "1.0.0", ""),
        ("old", "1.0.0", "store = '^3'"),
    ]);
    let check = |arguments: &[&str], exit: i32, sentence: &str| -> Json {
        let mut command = Command::new(binary());
        command.current_dir(folder.path()).arg("discover").args(arguments).args(["--json", "-"]);
        let run = command.output().unwrap();
        let err = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(exit), "{arguments:?}: {err}");
        let last = err.lines().last().unwrap_or_default();
        assert!(last.contains(sentence), "{arguments:?}: {last}\ndoes not say {sentence:?}");
        serde_json::from_slice(&run.stdout).unwrap_or_default()
    };
    let samples = sample("");
    let samples = samples.to_str().unwrap();
    let json = check(&[samples, "--capability", "redaction"], 0, "Found 2 of ");
    assert_eq!(json["plugins"][0]["id"], "redact");
    let json = check(&[samples, "--intent", "redcat", "--context", "fast"], 0, "for the intent");
    let reason = &json["plugins"][0]["reasons"][0];
    assert_eq!(reason["reason"], "`redcat` is nearly `redact` in its name");
    let json = check(&[samples, "--require", "permission:-log"], 0, "requirements exclude ");
    assert_eq!(json["excluded"][0]["id"], "misbehave");
    check(&[], 0, "Found 3 of 3 plugins; 0 findings");
    let json = check(&["--resolve", "app@^1"], 0, "Resolved 1 plugin, 2 with all that they");
    assert_eq!(
        (&json["order"][0]["id"], &json["order"][1]["id"]),
        (&"store".into(), &"app".into())
    );
    let json = check(&["--resolve", "app", "old"], 3, "Resolved 0 of 2 plugins: they cannot");
    let conflict = json["conflict"].as_str().unwrap();
    assert!(conflict.contains("`old` 1.0.0 needs `store ^3`, but there is only `store` 1.0.0"));
    check(&["--context", "zen"], 2, "names no context; there are high performance, low memory");
    check(&["nowhere"], 2, "No such file or directory");
    check(&["--require", "tpye:x"], 2, "try '--help'");
    check(&["--resolve", "app", "--search", "x"], 2, "try '--help'");
}

#[test]
fn manifests_do_not_steer_the_terminal() {
    let manifest =
        "[plugin]\nid = 'a'\ndescription = \"\\u001b[2Jgone\"\n[artifact]\nwasm = 'a.wat'";
    let folder = Folder::of([("plugin.toml", manifest), ("a.wat", "(module)")]);
    let run = Command::new(binary()).arg("discover").arg(folder.path()).output().unwrap();
    let out = String::from_utf8(run.stdout).unwrap();
    assert!(out.contains("description   \\u{1b}[2Jgone\n"), "{out:?}");
}
