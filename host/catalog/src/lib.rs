//! Finds plugins, answers queries about them and puts them in order, before any of them is loaded.
//!
//! Read [`Catalog::scan`] first: it reads the manifests below some folders and compiles and opens
//! nothing. Then ask: [`Catalog::find`] for what a plugin is and can do, [`Catalog::intend`] for
//! what somebody wants to achieve, [`Catalog::resolve`] for a set of plugins with everything they
//! depend on, which [`Host::load_set`](glovebox_host::Host::load_set) loads in order.
//!
//! ```
//! use glovebox_catalog::{Catalog, Query, ScanBounds};
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("mail.wat"), r#"(module (@custom "glovebox:manifest" "[plugin]\nid = \"mail\"\ncapabilities = [\"redaction\"]"))"#)?;
//!
//! let catalog = Catalog::scan([folder.path()], &ScanBounds::default());
//! for finding in catalog.findings() {
//!     eprintln!("{finding}");
//! }
//! let redacting = catalog.find(&Query { required: vec!["redaction".into()], ..Query::default() });
//! assert_eq!(redacting[0].entry.id(), "mail");
//! let loading = catalog.resolve(&["mail@>=0.0.0".parse()?])?;
//! assert_eq!(loading.order().len(), 1); // `Host::load_set(loading.requests())` loads them
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The catalog deliberately does not follow the folders (scan again to see changes), it believes
//! what manifests declare (the workbench measures), and it downloads nothing.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod context;
mod intent;
mod loaded;
mod query;
mod requirement;
mod resolve;
mod scan;
mod search;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use glovebox_abi::Manifest;
use semver::Version;

pub use context::IntentContext;
pub use intent::{Assessment, Candidate, Excluded, Intent, Reason};
pub use query::{Hit, Query};
pub use requirement::{Requirement, RequirementError};
pub use resolve::{Resolution, ResolveError, Root, RootError};
pub use scan::{ScanBounds, ScanFinding};

use glovebox_host::ArtifactKind;
use glovebox_host::LoadRequest;
use glovebox_host::ManifestPlace;

/// The plugins that a scan found, and what it could not read.
#[derive(Debug, Clone)]
pub struct Catalog {
    entries: Vec<Entry>,
    findings: Vec<Arc<ScanFinding>>,
    others: BTreeMap<&'static str, usize>,
    index: query::Index,
}

/// One plugin that can be loaded, or one named configuration of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its manifest; that of a configuration has its id and keys.
    pub manifest: Arc<Manifest>,
    /// The place of the manifest.
    pub manifest_place: ManifestPlace,
    /// The file to load: the artifact, or the `plugin.toml` that names it.
    pub path: PathBuf,
    /// The artifact.
    pub artifact: PathBuf,
    /// The kind of the artifact.
    pub kind: ArtifactKind,
    /// Size of the artifact in bytes.
    pub size: u64,
    /// The plugin of which this is a configuration, if it is one.
    pub factory: Option<Factory>,
}

/// The plugin whose artifact a named configuration runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factory {
    /// Id of the plugin.
    pub id: String,
    /// Name of the configuration.
    pub configuration: String,
}

impl Entry {
    /// Id of the plugin, or of the configuration.
    pub fn id(&self) -> &str {
        &self.manifest.plugin.id
    }

    /// Version of the plugin.
    pub fn version(&self) -> &Version {
        &self.manifest.plugin.version
    }

    /// The request that loads it. A native plugin runs in this process only with
    /// [`LoadRequest::trust_native`].
    pub fn request(&self) -> LoadRequest {
        let request = LoadRequest::path(&self.path);
        match &self.factory {
            Some(factory) => request.configuration(&factory.configuration),
            None => request,
        }
    }

    /// True if the artifact is machine code, which no sandbox holds inside this process.
    pub fn is_native(&self) -> bool {
        matches!(self.kind, ArtifactKind::Elf | ArtifactKind::MachO | ArtifactKind::Pe)
    }
}

impl Catalog {
    /// Finds the plugins in some folders and those below, and reads their manifests.
    ///
    /// Files that end in `wasm`, `wat`, `so`, `dylib` or `dll` are artifacts, and a `plugin.toml`
    /// makes a folder a plugin; hidden folders are left out, links are followed unless they lead in
    /// a circle, and each artifact counts once. A file instead of a folder is that one plugin. A
    /// file that cannot be read is a [finding](Self::findings) and stops nothing. The order of
    /// everything depends on the names of files alone.
    pub fn scan<P: Into<PathBuf>>(
        folders: impl IntoIterator<Item = P>,
        bounds: &ScanBounds,
    ) -> Catalog {
        let scanned = scan::scan(folders.into_iter().map(Into::into), bounds);
        Catalog::new(scanned.entries, scanned.findings, scanned.others)
    }

    fn new(
        mut entries: Vec<Entry>,
        mut findings: Vec<ScanFinding>,
        others: BTreeMap<&'static str, usize>,
    ) -> Catalog {
        let of = |entry: &Entry| entry.manifest.plugin.version.clone();
        entries.sort_by(|a, b| {
            let newest = || of(b).cmp(&of(a));
            // Where one of two is chosen, it is the one in the sandbox.
            let boxed = || a.is_native().cmp(&b.is_native());
            a.id().cmp(b.id()).then_with(newest).then_with(boxed).then_with(|| a.path.cmp(&b.path))
        });
        findings.extend(scan::duplicates(&entries));
        let manifests: Vec<&Manifest> = entries.iter().map(|entry| &*entry.manifest).collect();
        let index = query::Index::of(&manifests, true);
        let findings = findings.into_iter().map(Arc::new).collect();
        Catalog { entries, findings, others, index }
    }

    /// All plugins and their configurations: by id, the newest version first, those in the sandbox
    /// before machine code, then by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The files that could not be read, were cut off, or are there twice.
    pub fn findings(&self) -> impl ExactSizeIterator<Item = &ScanFinding> {
        self.findings.iter().map(|finding| &**finding)
    }

    /// Files that do not even claim to be plugins, such as other shared libraries and modules for
    /// other hosts: how many there are of each kind.
    pub fn others(&self) -> &BTreeMap<&'static str, usize> {
        &self.others
    }

    /// The newest version of a plugin, or of a configuration; the first of its
    /// [entries](Self::entries) if there are several.
    pub fn newest(&self, id: &str) -> Option<&Entry> {
        self.versions(id).next()
    }

    /// All entries of this id, the newest version first.
    pub fn versions(&self, id: &str) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|entry| entry.id() < id);
        self.entries[start..].iter().take_while(move |entry| entry.id() == id)
    }

    /// The plugins that a query means, the best first. See [`Query`] for how they are ranked.
    pub fn find(&self, query: &Query) -> Vec<Hit<'_>> {
        let ranked = self.index.find(query);
        ranked.into_iter().map(|ranked| Hit::new(&self.entries[ranked.place], ranked)).collect()
    }

    /// Of the plugins that a query means, those that serve an intent, the best first, with reasons;
    /// and those that a requirement excludes. See [`Intent`] for the model; the query's own ranking
    /// does not count.
    pub fn intend(&self, query: &Query, intent: &Intent) -> Assessment<'_> {
        let mut places: Vec<usize> =
            self.index.find(query).into_iter().map(|ranked| ranked.place).collect();
        places.sort_unstable();
        intent::assess(places.into_iter().map(|place| &self.entries[place]), intent)
    }
}

/// An entry with this manifest, as if it had been found.
#[cfg(test)]
fn entry(manifest: &str) -> Entry {
    let manifest = Manifest::parse(manifest).unwrap();
    let path = PathBuf::from(format!("{}-{}.wasm", manifest.plugin.id, manifest.plugin.version));
    Entry {
        manifest: Arc::new(manifest),
        manifest_place: ManifestPlace::Inside,
        artifact: path.clone(),
        path,
        kind: ArtifactKind::CoreModule,
        size: 0,
        factory: None,
    }
}
