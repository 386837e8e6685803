//! From a plan to running stages: loads plugins and checks their kinds of frames.

use glovebox_abi::Kind;

use super::{Pipeline, Running, Source, Stage, StagePlugin, StageProblem, StartError};
use glovebox_abi::nearest::nearest;
use glovebox_host::Lost;
use glovebox_host::{Host, InstanceId, LoadError, LoadRequest, Task};

/// A pipeline that is being started.
pub type Starting = Task<Result<Running, StartError>>;

impl Lost for StartError {
    fn lost(reason: String) -> StartError {
        let problem = StageProblem::Load(Box::new(LoadError::lost(reason)));
        StartError { stage: "input".to_owned(), problem }
    }
}

impl Pipeline {
    /// Loads the plugins that stages name by their file, and finds the others among those that are
    /// loaded. If one is not to be had, those that were loaded for the pipeline are unloaded.
    pub fn start(&self, host: &Host) -> Starting {
        self.start_with(host, |request| request)
    }

    /// As [`start`](Self::start); `prepare` may change how a file is loaded, e.g. trust it.
    pub fn start_with(
        &self,
        host: &Host,
        prepare: impl Fn(LoadRequest) -> LoadRequest + Send + 'static,
    ) -> Starting {
        let pipeline = self.clone();
        host.spawn(move |host| {
            let started = start(host, &pipeline, &prepare, |_| None)?;
            Ok(Running::new(host.clone(), pipeline, started))
        })
    }
}

/// The plugins of the stages of a pipeline.
#[derive(Debug)]
pub(super) struct Started {
    /// One per stage; stages that name a loaded plugin may share one.
    pub(super) instances: Vec<InstanceId>,
    /// Those that were loaded for it.
    pub(super) loaded: Vec<InstanceId>,
}

/// Finds or loads the plugin of each stage, except where `kept` has it; all of them, or none.
pub(super) fn start(
    host: &Host,
    pipeline: &Pipeline,
    prepare: &impl Fn(LoadRequest) -> LoadRequest,
    kept: impl Fn(&Stage) -> Option<InstanceId>,
) -> Result<Started, StartError> {
    let mut started = Started { instances: Vec::new(), loaded: Vec::new() };
    for stage in &pipeline.stages {
        let found = match kept(stage) {
            Some(id) => Ok(id),
            None => instance(host, stage, prepare, &mut started.loaded),
        };
        match found.and_then(|id| check_kinds(host, stage, id).map(|()| id)) {
            Ok(id) => started.instances.push(id),
            Err(problem) => {
                for id in started.loaded.into_iter().rev() {
                    host.unload(id);
                }
                return Err(StartError { stage: stage.name.to_string(), problem });
            }
        }
    }
    Ok(started)
}

fn instance(
    host: &Host,
    stage: &Stage,
    prepare: &impl Fn(LoadRequest) -> LoadRequest,
    loaded: &mut Vec<InstanceId>,
) -> Result<InstanceId, StageProblem> {
    match &stage.plugin {
        StagePlugin::File { path, config } => {
            let mut request = LoadRequest::path(path);
            if let Some(config) = config {
                request = request.config(serde_json::to_value(config).unwrap_or_default());
            }
            let id = host.load(prepare(request)).wait();
            let id = id.map_err(|error| StageProblem::Load(Box::new(error)))?;
            loaded.push(id);
            Ok(id)
        }
        StagePlugin::Loaded(plugin) => host.find(plugin).ok_or_else(|| {
            let all = host.plugins();
            let mut loaded: Vec<_> =
                all.iter().map(|status| status.manifest.plugin.id.clone()).collect();
            loaded.sort_unstable();
            loaded.dedup();
            let nearest = nearest(plugin, loaded.iter().map(String::as_str)).map(str::to_owned);
            StageProblem::NotLoaded { plugin: plugin.clone(), loaded, nearest }
        }),
    }
}

/// Refuses a stage that wants kinds which its plugin would refuse one by one.
fn check_kinds(host: &Host, stage: &Stage, id: InstanceId) -> Result<(), StageProblem> {
    let Some(status) = host.plugin(id) else {
        return Ok(());
    };
    let accepts = status.manifest.frames.accepts.clone();
    let only_errors = stage.from.iter().all(|source| matches!(source, Source::Errors(_)));
    let mut wanted = match &stage.kinds {
        Some(kinds) => kinds.clone(),
        None if only_errors => vec![Kind::ERROR],
        None => Vec::new(),
    };
    wanted.retain(|kind| !accepts.contains(kind));
    if wanted.is_empty() {
        return Ok(());
    }
    let plugin = status.manifest.plugin.id.clone();
    Err(StageProblem::Kinds { plugin, wanted, accepts })
}
