//! `glovebox.h` describes the same memory as `glovebox_abi::native`: the C compiler says so.

use std::io::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::{Command, Stdio};

use glovebox_abi::ProtocolVersion;
use glovebox_abi::native::{HostTable, Output, PluginTable, Receiver, Slice};

/// The include folder of the contract.
fn include() -> String {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../abi/include");
    include.display().to_string()
}

/// Compiles a C text, which must not even warn.
fn compile(source: &str) -> Result<(), String> {
    let mut compiler = Command::new("cc")
        .args(["-x", "c", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .args([&include(), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a C compiler is installed, as Rust needs one to link");
    compiler
        .stdin
        .take()
        .expect("standard input is piped")
        .write_all(source.as_bytes())
        .expect("the compiler reads what it is given");
    let output = compiler.wait_with_output().expect("the compiler ends");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn structs_have_the_same_layout() {
    fn check(name: &str, size: usize, fields: &[(&str, usize)]) {
        let mut source = format!(
            "#include <glovebox.h>\n_Static_assert(sizeof(struct {name}) == {size}, \"size of {name}\");\n"
        );
        for (field, offset) in fields {
            source += &format!(
                "_Static_assert(offsetof(struct {name}, {field}) == {offset}, \"{name}.{field}\");\n"
            );
        }
        if let Err(error) = compile(&source) {
            panic!("{error}");
        }
    }
    macro_rules! check {
        ($name:literal, $type:ty, $($field:ident)*) => {
            check($name, size_of::<$type>(), &[$((stringify!($field), offset_of!($type, $field))),*])
        };
    }
    check!("glovebox_slice", Slice, pointer length);
    check!("glovebox_receiver", Receiver, context receive);
    check!("glovebox_output", Output, context frame state message);
    check!("glovebox_plugin", PluginTable, abi_version struct_size create process health save_state restore_state destroy);
    check!("glovebox_host", HostTable, abi_version struct_size context log now random config kv_get kv_set kv_delete kv_list emit metric call);
}

#[test]
fn the_header_compiles_and_agrees() {
    fn check(source: &str, expected: Result<(), &str>) {
        match (compile(&format!("#include <glovebox.h>\n{source}\n")), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (found, expected) => panic!("{source}: {found:?} instead of {expected:?}"),
        }
    }
    let version = ProtocolVersion::CURRENT.to_u32();
    let version = format!("_Static_assert(GLOVEBOX_ABI_VERSION == {version}, \"version\");");
    check(&version, Ok(()));
    check("GLOVEBOX_MANIFEST(\"[plugin]\\nid = \\\"a\\\"\\n\")", Ok(()));
    check("GLOVEBOX_MANIFEST_FILE(\"plugin.toml\")", Ok(()));
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sample-plugins/hello-c/hello.c");
    check(&format!("#include \"{sample}\""), Ok(()));
    check("_Static_assert(sizeof(struct glovebox_slice) == 1, \"size\");", Err("size"));
}
