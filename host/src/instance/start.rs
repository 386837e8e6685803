//! The start of a copy, until it is ready.

use std::sync::Arc;

use glovebox_abi::manifest::{Lifecycle, Tier, plain_settings};
use glovebox_abi::{Manifest, State};
use glovebox_events::{LoadStage, Outcome};

use super::HostResources;
use super::generation::{Coming, Generation, NextGeneration};
use super::overrides::Overrides;
use super::state::StateKeeper;
use super::support::CopySupport;
use crate::backend::{Backend, Code, step};
use crate::load::{LoadRequest, Prepared};
use crate::policy::Grants;
use crate::problem::{LoadProblem, StageError};
use crate::record::span;
use crate::services::{CopyServices, InstanceServices, Rights, resident};
use crate::stop::Stop;

/// Where the states of a new instance are kept, if its manifest asks for it.
pub(super) fn keeper(
    resources: &HostResources,
    manifest: &Manifest,
    shared: &InstanceServices,
) -> Option<StateKeeper> {
    if !manifest.state.persist {
        return None;
    }
    let Some(store) = &resources.states else {
        tracing::warn!(plugin = &*shared.plugin, "its state is not kept: the host has no folder");
        return None;
    };
    let keeper = store.keeper(&shared.plugin);
    if keeper.is_none() {
        tracing::warn!(
            plugin = &*shared.plugin,
            "its state is not kept: another instance of this plugin keeps its state in this folder"
        );
    }
    keeper
}

/// Gives new copies the states that were kept. One that refuses its state does not start: to go on
/// without would overwrite what is kept.
pub(super) fn restore_kept(
    next: &mut NextGeneration,
    support: &CopySupport,
    tell: impl Fn(&str),
) -> Result<(), StageError> {
    let lifecycle = &next.generation.prepared.manifest.lifecycle;
    for (copy, backend) in next.backends.iter_mut().enumerate() {
        let copy = copy as u32;
        let (Some(states), Some(state)) = (&support.states, support.kept_state(copy, &tell)?)
        else {
            continue;
        };
        restore(backend, &state, lifecycle).map_err(|stop| {
            let (version, outcome) = (state.version, stop.into_outcome());
            let folder = states.folder(copy);
            LoadProblem::KeptState { version, outcome, folder }.at(LoadStage::RestoreState)
        })?;
        check_health(backend, lifecycle)?;
    }
    Ok(())
}

pub(super) fn bring_up(
    shared: &Arc<InstanceServices>,
    coming: Arc<Coming>,
    number: u32,
    copies: u32,
) -> Result<NextGeneration, StageError> {
    let (prepared, rights) = (&coming.prepared, &coming.rights);
    let resident = resident();
    let copy = |_| {
        let context = CopyServices::new(shared.clone(), rights.clone(), number, prepared.tier);
        let mut backend = ready(&prepared.code, &prepared.manifest, context, rights)?;
        check_health(&mut backend, &prepared.manifest.lifecycle)?;
        Ok(backend)
    };
    let copy = |number| copy(number).map_err(|error| with_ceiling(error, rights, prepared.tier));
    let backends = (0..copies).map(copy).collect::<Result<_, _>>()?;
    let generation = Generation::new(number, prepared.clone(), rights.clone());
    Ok(NextGeneration { generation, backends, coming, resident })
}

/// Says of a limit that it is the ceiling of the host: to raise the limit alone would not help.
fn with_ceiling(mut error: StageError, rights: &Rights, tier: Tier) -> StageError {
    if let LoadProblem::Call(outcome) = &error.problem
        && rights.ceilings.load().stops(tier, outcome)
    {
        error.problem = LoadProblem::AtCeiling(outcome.clone());
    }
    error
}

/// `before` is what was granted to the generation before, or nothing.
pub(super) fn rights(
    request: &LoadRequest,
    overrides: &Overrides,
    prepared: &Prepared,
    before: &Grants,
) -> Rights {
    let manifest = &prepared.manifest;
    let ceilings = overrides.rules.ceilings();
    let limits = ceilings.lower(prepared.tier, &overrides.limits(request, prepared));
    let config = merged_config(&manifest.config, request.config.as_ref());
    Rights::new(overrides.grants(prepared, before), limits, &ceilings, config)
        .with_seed(request.seed(manifest))
}

/// A copy that was initialized.
pub(super) fn ready(
    code: &Code,
    manifest: &Manifest,
    mut context: CopyServices,
    rights: &Rights,
) -> Result<Box<dyn Backend>, StageError> {
    let refuse = |outcome| {
        let problem = match outcome {
            Outcome::Refused { reason } => LoadProblem::NotGiven { reason },
            outcome => LoadProblem::Call(outcome),
        };
        problem.at(LoadStage::Initialize)
    };
    let _span = span::stage(LoadStage::Initialize).entered();
    let deadline = manifest.lifecycle.start_deadline;
    context.begin_step(deadline);
    let function = manifest.runtime.function.as_deref();
    let mut backend = code.instantiate(function, context).map_err(refuse)?;
    backend.context().begin_step(deadline);
    let config = rights.config.load().to_string();
    step(&mut backend, |backend| backend.initialize(&config))
        .map_err(|stop| refuse(stop.into_outcome()))?;
    // A plugin that goes on after a broken limit has broken it all the same.
    match backend.context().broken.take() {
        None => Ok(backend),
        Some(broken) => Err(refuse(broken)),
    }
}

/// Gives a copy its state.
pub(super) fn restore(
    backend: &mut Box<dyn Backend>,
    state: &State,
    lifecycle: &Lifecycle,
) -> Result<(), Stop> {
    let _span = span::stage(LoadStage::RestoreState).entered();
    backend.context().begin_step(lifecycle.start_deadline);
    step(backend, |backend| backend.restore_state(state))
}

pub(super) fn check_health(
    backend: &mut Box<dyn Backend>,
    lifecycle: &Lifecycle,
) -> Result<(), StageError> {
    let _span = span::stage(LoadStage::Probe).entered();
    backend.context().begin_step(lifecycle.start_deadline);
    match step(backend, |backend| backend.health()) {
        Ok(health) if health.is_good() => Ok(()),
        Ok(health) => {
            let problem = LoadProblem::Unhealthy { code: health.code, message: health.message };
            Err(problem.at(LoadStage::Probe))
        }
        Err(stop) => Err(LoadProblem::Call(stop.into_outcome()).at(LoadStage::Probe)),
    }
}

/// The manifest's configuration with the request's keys over it.
pub(super) fn merged_config(
    manifest: &toml::Table,
    request: Option<&serde_json::Value>,
) -> serde_json::Value {
    // An application may have made the manifest; one that was read is plain already.
    let manifest = plain_settings(manifest.clone());
    let mut merged = serde_json::to_value(manifest).unwrap_or_default();
    match (&mut merged, request) {
        (serde_json::Value::Object(merged), Some(serde_json::Value::Object(request))) => {
            merged.extend(request.clone());
        }
        (_, Some(request)) => merged = request.clone(),
        (_, None) => {}
    }
    merged
}
