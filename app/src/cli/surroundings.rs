//! What a verb works in: the workspace, the policy, the profile, and mock host services.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use glovebox_abi::LogLevel;
use glovebox_abi::manifest::is_kebab_case;
use glovebox_host::workspace::{Workspace, WorkspacePlugins};
use glovebox_host::{Host, HostBuilder, LoadRequest, MetricsEndpoint, Mock, Policy, Profile};

use super::error::Problem;
use super::plugins::LoadArgs;
use super::report::say;

/// Which workspace, profile, policy and mocks.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SurroundingsArgs {
    /// The workspace, instead of the glovebox.toml in this folder or the nearest one above
    #[arg(long, value_name = "FILE")]
    pub workspace: Option<PathBuf>,
    /// development, production, or a profile of the workspace, instead of the one it names
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// The rules that apply to plugins, instead of those of the workspace; without any they may do
    /// whatever their manifests ask for
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Answer host services as this file says, instead of the one the workspace names
    #[arg(long, value_name = "FILE")]
    pub mock: Option<PathBuf>,
    /// Serve figures for Prometheus at /metrics of this address while the verb runs, e.g.
    /// 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
}

/// What the arguments and the workspace say. The default is for verbs that ask for none of it.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    workspace: Option<Workspace>,
    profile: Option<Profile>,
    policy: Option<Policy>,
    mock: Option<Arc<Mock>>,
    metrics: Option<SocketAddr>,
}

impl SurroundingsArgs {
    /// Reads the files.
    pub(super) fn read(&self) -> Result<Surroundings, Problem> {
        let file = self.workspace.clone().or_else(|| Workspace::find("."));
        let workspace = file.map(Workspace::read).transpose()?;
        let none = Workspace::default();
        let profile = workspace.as_ref().unwrap_or(&none).profile(self.profile.as_deref())?;
        let policy = self.policy.as_deref().or_else(|| workspace.as_ref()?.policy());
        let policy = policy.map(Policy::load).transpose()?;
        let mock = self.mock.as_deref().or_else(|| workspace.as_ref()?.mock());
        let mock = mock.map(Mock::read).transpose()?.map(Arc::new);
        Ok(Surroundings { workspace, profile, policy, mock, metrics: self.metrics })
    }
}

impl Surroundings {
    /// The least important log lines to write, if a profile says so.
    pub(super) fn log(&self) -> Option<LogLevel> {
        self.profile.as_ref().map(Profile::log)
    }

    /// Sets a host up for them.
    pub(super) fn prepare(&self, mut builder: HostBuilder) -> HostBuilder {
        if let Some(profile) = &self.profile {
            builder = builder.profile(profile.clone());
        }
        if let Some(policy) = &self.policy {
            builder = builder.policy(policy.clone());
        }
        if let Some(mock) = &self.mock {
            builder = builder.mock(mock.clone());
        }
        builder
    }

    /// Serves the figures of a host if the command line asks for it, and says where.
    pub(super) fn serve_metrics(&self, host: &Host) -> Result<Option<MetricsEndpoint>, Problem> {
        let Some(address) = self.metrics else { return Ok(None) };
        let endpoint = host.serve_metrics(address)?;
        say(&format!("Serving http://{}/metrics", endpoint.address()));
        Ok(Some(endpoint))
    }

    /// The script of host services, if there is one.
    pub(super) fn mock(&self) -> Option<&Mock> {
        self.mock.as_deref()
    }

    /// The pipeline of the workspace.
    pub(super) fn pipeline(&self) -> Option<&Path> {
        self.workspace.as_ref()?.pipeline()
    }

    /// How to load what the command line names: a path, or the id of a plugin of the workspace.
    /// What exists as a path is one.
    pub(super) fn request(&self, load: &LoadArgs, name: &Path) -> Result<LoadRequest, Problem> {
        let id = name.to_str().filter(|name| is_kebab_case(name));
        if let (Some(id), false) = (id, name.exists())
            && let Some(plugins) = self.plugins()?
            && let Some(plugin) = plugins.get(id)
        {
            return load.over(plugin.request.clone());
        }
        load.over(LoadRequest::path(name))
    }

    /// How to load each of several.
    pub(super) fn requests(
        &self,
        load: &LoadArgs,
        names: &[PathBuf],
    ) -> Result<Vec<LoadRequest>, Problem> {
        names.iter().map(|name| self.request(load, name)).collect()
    }

    /// The plugins of the workspace; `None` without one.
    pub(super) fn plugins(&self) -> Result<Option<WorkspacePlugins>, Problem> {
        let plugins = self.workspace.as_ref().map(Workspace::plugins).transpose();
        plugins.map_err(|problem| match &self.workspace {
            Some(workspace) => Problem::of_workspace(problem, workspace.file()),
            None => problem.into(),
        })
    }
}
