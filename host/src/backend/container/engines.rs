//! Which engine runs a container: the one that the policy, the application or the manifest names, in this order,
//! else the first that this machine has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use glovebox_abi::manifest::{EngineName, Runtime};
use glovebox_events::LoadStage;
use glovebox_sandbox::Missing;
use glovebox_worker::Workers;
use parking_lot::Mutex;

use super::Container;
use super::bubblewrap::{self, Boxed, BoxedRoot, Bubblewrap};
use super::engine::{self, Engine, in_path};
use super::image::{Contents, Image};
use super::root::Root;
use crate::problem::{LoadProblem, StageError};
use crate::underway::Underway;

/// The engines of this machine that were wanted so far.
#[derive(Default)]
pub(crate) struct Engines {
    known: Mutex<BTreeMap<EngineName, Known>>,
    /// The one that the policy names.
    by_policy: Mutex<Option<EngineName>>,
    /// Where an engine is, if the application says so.
    by_application: OnceLock<(EngineName, PathBuf)>,
}

#[derive(Clone)]
enum Known {
    Engine(Arc<Engine>),
    Bubblewrap(Arc<Bubblewrap>),
}

impl Engines {
    /// Says where an engine is, before one is wanted.
    pub(crate) fn is_at(&self, path: PathBuf) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_it =
            |name: &EngineName| file.contains(command_of(*name)) || file.contains(name.name());
        let name = EngineName::ALL.into_iter().find(is_it).unwrap_or(EngineName::Podman);
        // The builder says it once.
        let _ = self.by_application.set((name, path));
    }

    /// Says which engine the policy names, from the next load on.
    pub(crate) fn follow_policy(&self, name: Option<EngineName>) {
        *self.by_policy.lock() = name;
    }

    /// Finds an engine for a file system.
    pub(crate) fn container(
        &self,
        root: Root,
        runtime: &Runtime,
        load: &Underway,
    ) -> Result<Container, StageError> {
        let refused = |problem: LoadProblem| problem.at(LoadStage::Policy);
        let name = self.choose(&root, runtime.engine).map_err(refused)?;
        let known = self.known(name, load).map_err(refused)?;
        let command = runtime.command.clone();
        Ok(match (known, root) {
            (Known::Bubblewrap(bubblewrap), Root::Folder(folder)) => {
                let root = BoxedRoot::Folder(folder);
                Container::Bubblewrap(Boxed { bubblewrap, root, command })
            }
            (Known::Bubblewrap(bubblewrap), Root::System(program)) => {
                let root = BoxedRoot::System(Some(program));
                Container::Bubblewrap(Boxed { bubblewrap, root, command })
            }
            (Known::Engine(engine), Root::Image(reference)) => {
                Container::Engine(Image::find(engine, Contents::Image(reference), command, load)?)
            }
            (Known::Engine(engine), Root::Folder(folder)) => {
                Container::Engine(Image::find(engine, Contents::Folder(folder), command, load)?)
            }
            (_, root) => return Err(refused(cannot(name, &root, "the host"))),
        })
    }

    fn choose(
        &self,
        root: &Root,
        by_manifest: Option<EngineName>,
    ) -> Result<EngineName, LoadProblem> {
        let able = able(root);
        let checked = |name, who| match able.contains(&name) {
            true => Ok(name),
            false => Err(cannot(name, root, who)),
        };
        if let Some(name) = *self.by_policy.lock() {
            return checked(name, "the policy");
        }
        // The application names one of several that it needs.
        let given = self.by_application.get().map(|(name, _)| *name);
        if let Some(name) = given.filter(|name| able.contains(name)) {
            return Ok(name);
        }
        if let Some(name) = by_manifest {
            return checked(name, "its manifest");
        }
        let found = able.iter().copied().find(|name| self.path_of(*name).is_some());
        found.ok_or_else(|| none(root))
    }

    fn path_of(&self, name: EngineName) -> Option<PathBuf> {
        match self.by_application.get() {
            Some((given, path)) if *given == name => Some(path.clone()),
            _ => in_path(command_of(name)),
        }
    }

    fn known(&self, name: EngineName, load: &Underway) -> Result<Known, LoadProblem> {
        if let Some(known) = self.known.lock().get(&name) {
            return Ok(known.clone());
        }
        let path = self.path_of(name).ok_or_else(|| LoadProblem::NoContainer {
            reason: format!("{} is not in PATH, and was named", command_of(name)),
            remedy: format!("install {}, or name another engine", name.name()),
        })?;
        // It may take its time, and nobody waits for a lock meanwhile. Several that look find the same.
        let found = match name {
            EngineName::Bubblewrap => {
                Known::Bubblewrap(Arc::new(Bubblewrap { path, layers: Mutex::new(None) }))
            }
            name => Known::Engine(Arc::new(Engine::new(name, path, load)?)),
        };
        Ok(self.known.lock().entry(name).or_insert(found).clone())
    }
}

/// The name of the command.
fn command_of(name: EngineName) -> &'static str {
    match name {
        EngineName::Podman => "podman",
        EngineName::Docker => "docker",
        EngineName::Bubblewrap => "bwrap",
    }
}

/// The engines that make containers of this, those first that are better.
fn able(root: &Root) -> &'static [EngineName] {
    match root {
        Root::Image(_) => &[EngineName::Podman, EngineName::Docker],
        Root::Folder(_) => &[EngineName::Podman, EngineName::Bubblewrap],
        Root::System(_) => &[EngineName::Bubblewrap],
    }
}

fn cannot(name: EngineName, root: &Root, who: &str) -> LoadProblem {
    let able: Vec<&str> = able(root).iter().map(|name| name.name()).collect();
    LoadProblem::NoContainer {
        reason: format!(
            "{who} names {}, which makes no container of {}",
            name.name(),
            root.describe()
        ),
        remedy: format!("name {}, or none", able.join(" or ")),
    }
}

fn none(root: &Root) -> LoadProblem {
    let (reason, remedy) = match root {
        Root::Image(_) => (
            "neither podman nor docker is in PATH",
            "install podman (Debian: `apt-get install podman runc`); other plugins need none",
        ),
        Root::Folder(_) => (
            "neither podman nor bubblewrap (`bwrap`) is in PATH",
            "install one of them (Debian: `apt-get install bubblewrap`); other plugins need none",
        ),
        Root::System(_) => (
            "bubblewrap (`bwrap`) is not in PATH",
            "install it (Debian: `apt-get install bubblewrap`), or leave `isolation` out: the program then \
             runs in a sandboxed process",
        ),
    };
    LoadProblem::NoContainer { reason: reason.to_owned(), remedy: remedy.to_owned() }
}

/// The engines that this machine has, and what each says about itself.
pub(crate) fn examine(
    workers: Result<Arc<Workers>, Missing>,
) -> Vec<(&'static str, Result<String, Missing>)> {
    let examine = |name: EngineName| {
        let path = in_path(command_of(name)).ok_or_else(|| {
            let wanted = match name {
                EngineName::Bubblewrap => {
                    "plugins in root folders or beside the programs of the machine"
                }
                _ => "plugins in images",
            };
            let remedy = format!("install {}, if {wanted} are wanted", name.name());
            Missing::new(format!("{} is not in PATH", command_of(name)), remedy)
        })?;
        match name {
            EngineName::Bubblewrap => {
                let version = engine::version_of(&path)
                    .map_err(|reason| Missing::new(reason, "see what `bwrap --version` says"))?;
                bubblewrap::examine(path, &*workers.clone()?, &version)
            }
            name => engine::examine(name, &path),
        }
    };
    EngineName::ALL.into_iter().map(|name| (name.name(), examine(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_goes_before_the_application_and_that_before_the_manifest() {
        use EngineName::{Bubblewrap, Docker, Podman};
        #[track_caller]
        fn check(
            root: &Root,
            policy: Option<EngineName>,
            application: Option<&str>,
            manifest: Option<EngineName>,
            expected: Result<EngineName, &str>,
        ) {
            let engines = Engines::default();
            engines.follow_policy(policy);
            if let Some(path) = application {
                engines.is_at(path.into());
            }
            let found = engines.choose(root, manifest);
            match (found, expected) {
                (Err(error), Err(expected)) => {
                    let error = format!("{error}; {}", error.remedy());
                    assert!(error.contains(expected), "{error} lacks {expected}");
                }
                (found, expected) => assert_eq!(found.ok(), expected.ok()),
            }
        }
        let image = Root::Image("a".to_owned());
        let folder = super::super::RootFolder::new(tempfile::tempdir().unwrap()).unwrap();
        let folder = Root::Folder(folder);
        let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let system = Root::System(file);
        let (docker, podman, bwrap) =
            (Some("/opt/docker"), Some("/opt/podman-5"), Some("/opt/bwrap"));
        check(&image, Some(Docker), podman, Some(Podman), Ok(Docker));
        check(&image, None, docker, Some(Podman), Ok(Docker));
        check(&image, None, bwrap, Some(Docker), Ok(Docker));
        check(&image, None, Some("/no/such/podman"), None, Ok(Podman));
        check(&folder, None, bwrap, None, Ok(Bubblewrap));
        check(&folder, None, None, Some(Bubblewrap), Ok(Bubblewrap));
        check(&system, None, bwrap, None, Ok(Bubblewrap));
        let refused = "the policy names bubblewrap, which makes no container of an image; name podman or \
                       docker, or none";
        check(&image, Some(Bubblewrap), podman, None, Err(refused));
        let refused = "its manifest names docker, which makes no container of a root folder; name podman or \
                       bubblewrap";
        check(&folder, None, None, Some(Docker), Err(refused));
        let refused = "its manifest names podman, which makes no container of the programs of this machine; \
                       name bubblewrap";
        check(&system, None, podman, Some(Podman), Err(refused));
    }
}
