//! Plugins in containers: images, root folders, and programs beside those of this machine.
//!
//! [`Engines`] finds what makes a [`Container`] of a [`Root`]: podman or docker (`engine`, `image`), or
//! bubblewrap (`bubblewrap`). `filter` holds the system calls that they may make, and `layers` looks at the
//! process in one: an engine is not believed.

mod bubblewrap;
mod engine;
mod engines;
mod filter;
mod image;
mod layers;
mod pipes;
mod root;

use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{EngineName, LimitKind, Limits};
use glovebox_events::{LoadStage, Outcome};
use glovebox_sandbox::SandboxReport;
use glovebox_worker::{Worker, Workers};
use parking_lot::Mutex;

use super::process::ProcessGrants;
use crate::problem::{LoadProblem, StageError};
use crate::underway::Underway;
use image::Stopped;

pub(crate) use engines::{Engines, examine};
pub(crate) use layers::check_as_before;
pub(crate) use root::{Root, RootFolder};

/// How long a container may take to start, at least: an engine takes half a second on an idle machine.
const START: Duration = Duration::from_secs(10);

/// A file system with a command in it, and the engine that makes containers of both.
pub(crate) enum Container {
    /// Podman or docker.
    Engine(image::Image),
    Bubblewrap(bubblewrap::Boxed),
}

impl Container {
    /// The engine that runs it.
    pub(crate) fn engine(&self) -> EngineName {
        match self {
            Container::Engine(image) => image.engine().name,
            Container::Bubblewrap(_) => EngineName::Bubblewrap,
        }
    }

    /// The layers around containers: the first one of a host tells which its engine puts there.
    pub(crate) fn layers(
        &self,
        workers: &Workers,
        limits: &Limits,
        deadline: Duration,
        load: &Underway,
    ) -> Result<Arc<SandboxReport>, StageError> {
        let known: &Mutex<Option<Arc<SandboxReport>>> = match self {
            Container::Engine(image) => &image.engine().layers,
            Container::Bubblewrap(boxed) => &boxed.bubblewrap.layers,
        };
        if let Some(report) = &*known.lock() {
            return Ok(report.clone());
        }
        let nothing = ProcessGrants::default();
        let started = self.start(workers, "trial", limits, &nothing, deadline, Some(load));
        let (_, report) = started.map_err(|outcome| match outcome {
            Outcome::Refused { reason } => {
                let remedy = "see the reason; `glovebox doctor` examines the engine".to_owned();
                LoadProblem::NoContainer { reason, remedy }.at(LoadStage::Policy)
            }
            outcome => LoadProblem::Call(outcome).at(LoadStage::Initialize),
        })?;
        let report = Arc::new(report);
        *known.lock() = Some(report.clone());
        Ok(report)
    }

    /// Starts a container, and waits until the plugin in it says hello and its layers are known.
    pub(crate) fn start(
        &self,
        workers: &Workers,
        plugin: &str,
        limits: &Limits,
        grants: &ProcessGrants,
        deadline: Duration,
        load: Option<&Underway>,
    ) -> Result<(Worker, SandboxReport), Outcome> {
        pipes::refuse(grants).map_err(|reason| Outcome::Refused { reason })?;
        let deadline = deadline.max(START);
        let until = Instant::now() + deadline;
        let met = match self {
            Container::Engine(image) => image.meet(workers, plugin, limits, grants, until, load),
            Container::Bubblewrap(boxed) => {
                boxed.meet(workers, plugin, limits, grants, until, load)
            }
        };
        met.map_err(|stopped| match stopped {
            Stopped::Refused(reason) => Outcome::Refused { reason },
            Stopped::Late => Outcome::TimedOut { deadline, made_up: false },
            Stopped::OutOfMemory => {
                let allowed = limits.memory;
                let asked = allowed.saturating_add(1);
                Outcome::LimitExceeded { limit: LimitKind::Memory, asked, allowed, made_up: false }
            }
            Stopped::Crashed(cause) => Outcome::Crashed { cause, made_up: false },
        })
    }
}
