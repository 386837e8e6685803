//! Small plugins written in WebAssembly text, for code that no compiler would make.
//!
//! Both bindings behave the same: a frame is answered with how many frames the copy has answered,
//! as a digit, which shows whether a copy is fresh. A frame whose payload starts with `!` does what
//! [`Guest::bad`] says instead.

use std::path::Path;

use glovebox_host::{InstanceId, LoadError, LoadRequest};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Bench, PATIENCE, root};

/// A plugin in text.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// Instructions for frames that start with `!`, without a result. They may `return` what the
    /// binding wants: an `i64` in the frame ABI, an `i32` in a component.
    pub bad: &'a str,
    /// More fields of the module, such as tables and imports; imports must come first in WAT, and
    /// these do.
    pub fields: &'a str,
    /// Pages of memory at the start.
    pub pages: u32,
    /// Interfaces in WIT that a component exports besides the world of plugins, in the package
    /// `test:guest`.
    pub interfaces: &'a str,
    /// Further items of the world, e.g. `export things;`.
    pub world: &'a str,
    /// Packages in WIT that the world imports from: the name of each file, and its text.
    pub packages: &'a [(&'a str, &'a str)],
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Guest { bad: "", fields: "", pages: 1, interfaces: "", world: "", packages: &[] }
    }
}

impl Guest<'_> {
    /// The core module in the frame ABI, as text.
    pub fn module(&self) -> String {
        let Guest { bad, fields, pages, .. } = self;
        format!(
            r#"(module
                {fields}
                (memory (export "memory") {pages})
                (global $count (mut i32) (i32.const 0))
                ;; A data frame without a header, with one byte of payload.
                (data (i32.const 512) "\52\00\01\00\00\00\00\00\01\00\00\00")
                (func (export "glovebox_abi_0_1"))
                (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 1024))
                (func $bad (result i64) {bad} (i64.const 0))
                (func (export "glovebox_process") (param $length i32) (result i64)
                    (if (i32.and
                            (i32.gt_u (local.get $length) (i32.const 12))
                            (i32.eq (i32.load8_u (i32.const 1036)) (i32.const 33)))
                        (then (return (call $bad))))
                    (global.set $count (i32.add (global.get $count) (i32.const 1)))
                    (i32.store8 (i32.const 524) (i32.add (global.get $count) (i32.const 48)))
                    (i64.const 0x200_0000000D)))"#
        )
    }

    /// The component, as bytes.
    ///
    /// # Panics
    ///
    /// If the text is no component of its world.
    pub fn component(&self) -> Vec<u8> {
        let Guest { bad, fields, pages, interfaces, world, packages } = self;
        let guest = "glovebox:plugin/guest@0.1.0#";
        let text = format!(
            r#"(module
                {fields}
                (memory (export "memory") {pages})
                (global $count (mut i32) (i32.const 0))
                (global $heap (mut i32) (i32.const 4096))
                (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                    (local $start i32)
                    (local.set $start (global.get $heap))
                    (global.set $heap
                        (i32.and
                            (i32.add (i32.add (local.get $start) (local.get $size)) (i32.const 7))
                            (i32.const -8)))
                    (local.get $start))
                (func (export "{guest}initialize") (param i32 i32) (result i32) (i32.const 256))
                (func (export "{guest}health") (result i32) (i32.const 256))
                (func (export "{guest}save-state") (result i32) (i32.const 256))
                (func (export "{guest}restore-state") (param i32 i32 i32) (result i32)
                    (i32.const 256))
                (func (export "{guest}cleanup"))
                (func $bad (result i32) {bad} (i32.const 256))
                (func (export "{guest}process")
                    (param i32 i32 i32) (param $payload i32) (param $length i32) (result i32)
                    ;; What the host gave lies above; it is read before it is given up.
                    (global.set $heap (i32.const 4096))
                    (if (i32.and
                            (i32.gt_u (local.get $length) (i32.const 0))
                            (i32.eq (i32.load8_u (local.get $payload)) (i32.const 33)))
                        (then (return (call $bad))))
                    (global.set $count (i32.add (global.get $count) (i32.const 1)))
                    (i32.store8 (i32.const 320) (i32.add (global.get $count) (i32.const 48)))
                    ;; The result is good: a list of one frame with that byte.
                    (i32.store (i32.const 276) (i32.const 288))
                    (i32.store (i32.const 280) (i32.const 1))
                    (i32.store8 (i32.const 288) (i32.const 0x52))
                    (i32.store (i32.const 300) (i32.const 320))
                    (i32.store (i32.const 304) (i32.const 1))
                    (i32.const 272)))"#
        );
        let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
        let world = format!(
            "package test:guest; {interfaces} world guest {{ include glovebox:plugin/plugin@0.1.0; {world} }}"
        );
        embed(&mut module, packages, &world).unwrap_or_else(|error| panic!("{error:#}"));
        ComponentEncoder::default()
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .unwrap_or_else(|error| panic!("{error:#}"))
    }
}

fn embed(
    module: &mut Vec<u8>,
    packages: &[(&str, &str)],
    world: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut resolve = Resolve::default();
    resolve.push_path(root().join("host/abi/wit/since_v0.1.0"))?;
    for (name, text) in packages {
        resolve.push_str(*name, text)?;
    }
    let package = resolve.push_str("guest.wit", world)?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)?;
    Ok(())
}

impl Bench {
    /// Loads an artifact from its bytes; `name` is the file's. `manifest`, unless it is empty, goes
    /// on after the artifact's name in `[artifact]`, e.g. with `[limits]`. Libraries are trusted.
    ///
    /// # Errors
    ///
    /// As [`glovebox_host::Host::load`].
    ///
    /// # Panics
    ///
    /// If no file can be written.
    pub fn load_bytes(
        &self,
        name: &str,
        bytes: &[u8],
        manifest: &str,
    ) -> Result<InstanceId, LoadError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).expect("a temporary file can be made");
        };
        let is_library = Path::new(name).extension().is_some_and(|ending| ending == "so");
        let key = if is_library { "native" } else { "wasm" };
        write(name, bytes);
        if !manifest.is_empty() {
            let text =
                format!("[plugin]\nid = \"guest\"\n[artifact]\n{key} = \"{name}\"\n{manifest}");
            write("plugin.toml", text.as_bytes());
        }
        let request = LoadRequest::path(folder.path().join(name)).trust_native();
        self.host.load(request.compile_deadline(PATIENCE)).wait()
    }
}
