//! What it takes until a copy is ready.

use std::sync::Arc;

use glovebox_abi::manifest::Lifecycle;
use glovebox_abi::{Manifest, State};
use glovebox_events::{LoadStage, Outcome};

use super::{Edits, Fresh, Generation, Refused, Surroundings};
use crate::backend::{Backend, Stop, step};
use crate::context::{Context, Rights, Shared};
use crate::load::{LoadProblem, LoadRequest, Prepared};
use crate::observe::span;
use crate::policy::Grants;
use crate::state::StateKeeper;

/// Where the states of a new instance are kept, if its manifest asks for it.
pub(super) fn keeper(
    surroundings: &Surroundings,
    manifest: &Manifest,
    shared: &Shared,
) -> Option<StateKeeper> {
    if !manifest.state.persist {
        return None;
    }
    let Some(store) = &surroundings.states else {
        tracing::warn!(plugin = &*shared.plugin, "its state is not kept: the host has no folder");
        return None;
    };
    let keeper = store.keeper(&shared.plugin);
    if keeper.is_none() {
        tracing::warn!(plugin = &*shared.plugin, "its state is not kept: another instance's is");
    }
    keeper
}

/// Gives new copies the states that were kept. One that refuses its state does not start: to go on
/// without would overwrite what is kept.
pub(super) fn restore_kept(
    fresh: &mut Fresh,
    states: Option<&StateKeeper>,
    shared: &Shared,
) -> Result<(), Refused> {
    let Some(states) = states else { return Ok(()) };
    let lifecycle = &fresh.generation.prepared.manifest.lifecycle;
    for (copy, backend) in fresh.backends.iter_mut().enumerate() {
        let (state, problems) = states.last(copy as u32);
        for problem in problems {
            tracing::warn!(plugin = &*shared.plugin, problem);
        }
        let Some(state) = state else { continue };
        restore(backend, &state, lifecycle).map_err(|stop| {
            let (version, outcome) = (state.version, stop.into_outcome());
            let folder = states.folder(copy as u32);
            (LoadStage::RestoreState, LoadProblem::KeptState { version, outcome, folder })
        })?;
        probe(backend, lifecycle)?;
    }
    Ok(())
}

pub(super) fn bring_up(
    shared: &Arc<Shared>,
    rights: Rights,
    prepared: Prepared,
    number: u32,
    copies: u32,
) -> Result<Fresh, Refused> {
    let rights = Arc::new(rights);
    let copy = |_| {
        let context = Context::new(shared.clone(), rights.clone(), number, prepared.tier);
        let mut backend = ready(&prepared, context, &rights)?;
        probe(&mut backend, &prepared.manifest.lifecycle)?;
        Ok(backend)
    };
    let backends = (0..copies).map(copy).collect::<Result<_, _>>()?;
    Ok(Fresh { generation: Generation::new(number, prepared, rights), backends })
}

/// `before` is what was granted to the generation before, or nothing.
pub(super) fn rights(
    request: &LoadRequest,
    edits: &Edits,
    prepared: &Prepared,
    before: &Grants,
) -> Rights {
    let manifest = &prepared.manifest;
    let ceilings = edits.rules.ceilings();
    let limits = ceilings.lower(prepared.tier, &edits.limits(request, prepared));
    let config = merged_config(&manifest.config, request.config.as_ref());
    Rights::new(edits.grants(prepared, before), limits, &ceilings, config)
        .with_seed(request.seed(manifest))
}

/// A copy that was initialized.
pub(crate) fn ready(
    prepared: &Prepared,
    mut context: Context,
    rights: &Rights,
) -> Result<Box<dyn Backend>, Refused> {
    let refuse = |outcome| {
        let problem = match outcome {
            Outcome::Refused { reason } => LoadProblem::NotGiven { reason },
            outcome => LoadProblem::Call(outcome),
        };
        (LoadStage::Initialize, problem)
    };
    let _span = span::stage(LoadStage::Initialize).entered();
    let deadline = prepared.manifest.lifecycle.start_deadline;
    context.begin_step(deadline);
    let mut backend = prepared.code.instantiate(context).map_err(refuse)?;
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
pub(crate) fn restore(
    backend: &mut Box<dyn Backend>,
    state: &State,
    lifecycle: &Lifecycle,
) -> Result<(), Stop> {
    let _span = span::stage(LoadStage::RestoreState).entered();
    backend.context().begin_step(lifecycle.start_deadline);
    step(backend, |backend| backend.restore_state(state))
}

pub(crate) fn probe(backend: &mut Box<dyn Backend>, lifecycle: &Lifecycle) -> Result<(), Refused> {
    let _span = span::stage(LoadStage::Probe).entered();
    backend.context().begin_step(lifecycle.start_deadline);
    match step(backend, |backend| backend.health()) {
        Ok(health) if health.is_good() => Ok(()),
        Ok(health) => Err((
            LoadStage::Probe,
            LoadProblem::Unhealthy { code: health.code, message: health.message },
        )),
        Err(stop) => Err((LoadStage::Probe, LoadProblem::Call(stop.into_outcome()))),
    }
}

/// The manifest's configuration with the request's keys over it.
pub(super) fn merged_config(
    manifest: &toml::Table,
    request: Option<&serde_json::Value>,
) -> serde_json::Value {
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
