//! Where the artifact of an instance comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use glovebox_abi::{Manifest, Plugin};

use crate::backend::core::Factory;
use crate::problem::Origin;

/// Where an instance gets its artifact from: a file, memory, or the application itself.
///
/// A [`LoadRequest`](crate::LoadRequest) holds one; [`Host::reload_with`](crate::Host::reload_with)
/// gives a running instance another one.
#[derive(Clone)]
pub struct Source {
    pub(crate) place: Place,
    /// The manifest in place of the artifact's own.
    pub(crate) manifest: Option<Arc<Manifest>>,
}

#[derive(Clone)]
pub(crate) enum Place {
    Path(PathBuf),
    Bytes { name: Arc<str>, bytes: Bytes },
    Core { manifest: Arc<Manifest>, make: Factory },
}

impl Source {
    /// An artifact, a `plugin.toml`, or a folder with one. Read anew with each load and reload.
    pub fn path(path: impl Into<PathBuf>) -> Source {
        Source { place: Place::Path(path.into()), manifest: None }
    }

    /// An artifact in memory: a component, a core module, the text of one, or a shared library.
    ///
    /// `name` is shown in errors and in the status, and is the plugin's id if nothing gives it
    /// another: no manifest inside and none [given](Self::manifest). The bytes are checked, hashed and
    /// cached as those of a file are, so that what was agreed to for a digest holds for both.
    ///
    /// A shared library runs in this process only with
    /// [`trust_native`](crate::LoadRequest::trust_native). The operating
    /// system opens files alone, so the host writes the bytes to a file in a private folder, as it
    /// does with a copy of every library that it opens.
    pub fn bytes(name: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> Source {
        Source { place: Place::Bytes { name: name.into(), bytes: bytes.into() }, manifest: None }
    }

    /// A plugin that is part of the application. `make` is called once for each copy.
    pub fn core(
        manifest: Manifest,
        make: impl Fn() -> Box<dyn Plugin> + Send + Sync + 'static,
    ) -> Source {
        let place = Place::Core { manifest: Arc::new(manifest), make: Arc::new(make) };
        Source { place, manifest: None }
    }

    /// A manifest that holds in place of the one inside the artifact, or beside it.
    #[must_use]
    pub fn manifest(mut self, manifest: Manifest) -> Source {
        let manifest = Arc::new(manifest);
        match &mut self.place {
            Place::Core { manifest: own, .. } => *own = manifest,
            Place::Path(_) | Place::Bytes { .. } => self.manifest = Some(manifest),
        }
        self
    }

    /// The origin, for errors and the status.
    pub fn origin(&self) -> Origin {
        match &self.place {
            Place::Path(path) => Origin::File(path.clone()),
            Place::Bytes { name, .. } => Origin::Memory(name.clone()),
            Place::Core { .. } => Origin::Application,
        }
    }

    /// The name of its plugin before the manifest is known.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::Path(path) => stem(path),
            Place::Bytes { name, .. } => stem(Path::new(&**name)),
            Place::Core { manifest, .. } => manifest.plugin.id.clone(),
        }
    }

    /// The path that was named, if it is a file, which may change.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::Bytes { .. } | Place::Core { .. } => None,
        }
    }

    /// Bytes of an artifact that it holds itself.
    pub(crate) fn held_bytes(&self) -> u64 {
        match &self.place {
            Place::Bytes { bytes, .. } => bytes.len() as u64,
            Place::Path(_) | Place::Core { .. } => 0,
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::path(path)
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Source {
    fn from(path: &P) -> Source {
        Source::path(path.as_ref())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match &self.place {
            Place::Core { manifest, .. } => format!("core plugin {}", manifest.plugin.id),
            Place::Path(_) | Place::Bytes { .. } => self.origin().to_string(),
        };
        let given = self.manifest.as_ref().map(|manifest| manifest.plugin.id.as_str());
        formatter.debug_struct("Source").field("place", &shown).field("manifest", &given).finish()
    }
}
