//! The stages *assemble* and *encode*: from a compiler's output to a WebAssembly artifact.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use glovebox_host::MAX_ARTIFACT_LEN;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::section;

/// Makes a binary of a text. Where the text is wrong is told as a compiler tells it, in lines.
pub(super) fn assemble(file: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>> {
    let named = || format!("assemble: {}", file.display());
    let text = glovebox_files::read(file, MAX_ARTIFACT_LEN).with_context(named)?;
    let binary = wat::Parser::new().parse_bytes(Some(file), &text).map_err(|error| {
        let told = error.to_string();
        told.lines().for_each(&mut *progress);
        let reason = told.lines().next().unwrap_or_default().to_owned();
        anyhow!(reason).context(named())
    })?;
    Ok(binary.into_owned())
}

/// Makes a component of a module, unless it is one, with the manifest at its top level.
pub(super) fn component(binary: &[u8], manifest: Option<&[u8]>) -> Result<(Vec<u8>, bool)> {
    let embedded = section::find(binary, section::MANIFEST)?;
    let manifest = embedded.or(manifest);
    let mut component = if section::is_component(binary)? {
        section::without(binary, section::MANIFEST)?
    } else {
        // The encoder keeps a module's own sections inside; one copy of the text is enough.
        let module = section::without(binary, section::MANIFEST)?;
        // An adapter that the module has no use for leaves no trace.
        ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| {
                encoder.validate(true).adapter(
                    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
                )
            })
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| anyhow!("{error:#}"))
            .context("encode: the module is no component of a WIT world; is `glovebox_sdk::export!` there?")?
    };
    if let Some(manifest) = manifest {
        section::append(&mut component, section::MANIFEST, manifest);
    }
    Ok((component, manifest.is_some()))
}

/// Leaves a module as it is, and adds the manifest if it carries none.
pub(super) fn module(mut binary: Vec<u8>, manifest: Option<&[u8]>) -> Result<(Vec<u8>, bool)> {
    ensure!(
        !section::is_component(&binary)?,
        "encode: the frame ABI needs a core module, but the compiler made a component; build for wasm32-unknown-unknown"
    );
    if section::find(&binary, section::MANIFEST)?.is_some() {
        return Ok((binary, true));
    }
    if let Some(manifest) = manifest {
        section::append(&mut binary, section::MANIFEST, manifest);
    }
    Ok((binary, manifest.is_some()))
}
