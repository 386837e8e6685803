//! The surroundings of a verb: the workspace, the policy, the profile, and mock host services.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use glovebox_abi::manifest::is_kebab_case;
use glovebox_abi::{LogLevel, Permission};
use glovebox_host::{
    Allowance, Consents, Host, HostBuilder, LoadRequest, MetricsEndpoint, Mock, Policy, Profile,
    Reloads,
};
use glovebox_inspector::failure::Kept;
use glovebox_workspace::{Workspace, WorkspacePlugins};

use super::asked::AskedFor;
use super::error::Problem;
use super::load::LoadArgs;
use super::report::{named, say};

/// Which workspace, profile, policy and mocks.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SurroundingsArgs {
    /// Use this workspace file instead of the nearest glovebox.toml in this folder or above
    #[arg(long, value_name = "FILE")]
    pub workspace: Option<PathBuf>,
    /// Use this profile: development, production, or one of the workspace. The default is the one
    /// that the workspace names
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Apply this policy instead of the workspace's. Without a policy, plugins get what their
    /// manifests ask for, except files, network and environment
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    #[command(flatten)]
    pub allow: AllowArgs,
    /// Answer host calls, and the functions of an application, from this mock file instead of the
    /// workspace's
    #[arg(long, value_name = "FILE")]
    pub mock: Option<PathBuf>,
    /// Serve Prometheus metrics at http://ADDRESS/metrics while the verb runs, e.g. 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Keep words of failures, log lines, printed text, and names of folders of this machine in the
    /// failure bundles that this run writes
    #[arg(long)]
    pub bundle_words: bool,
}

/// The machine permissions of plugins in this run.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AllowArgs {
    /// Allow plugins the files, network or environment that they ask for, in this run. The value
    /// may narrow this down to one plugin or one resource: files, files=data, files=data:rw,
    /// network=db:5432, environment=LANG, redact:files. May be repeated
    #[arg(long = "allow", value_name = "[PLUGIN:]PERMISSION[=WHAT]")]
    pub allow: Vec<Allowance>,
}

/// The surroundings from the arguments and the workspace. The default is for verbs that ask for
/// none of it.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    workspace: Option<Workspace>,
    profile: Option<Profile>,
    policy: Option<Policy>,
    mock: Option<Arc<Mock>>,
    metrics: Option<SocketAddr>,
    allow: Vec<Allowance>,
    bundle_words: bool,
    asked: Arc<AskedFor>,
    /// The options that lead to these, and the folder in which they do.
    again: (Vec<String>, Option<PathBuf>),
}

impl SurroundingsArgs {
    /// The files that are named.
    pub(super) fn inputs(&self) -> Vec<&Path> {
        [&self.workspace, &self.policy, &self.mock]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect()
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<Surroundings, Problem> {
        let file = self.workspace.clone().or_else(|| Workspace::find("."));
        let workspace = file.map(Workspace::read).transpose()?;
        let none = Workspace::default();
        let profile = workspace.as_ref().unwrap_or(&none).profile(self.profile.as_deref())?;
        let policy = match (&self.policy, workspace.as_ref().and_then(Workspace::policy)) {
            (Some(named), _) => Some(Policy::load(named)?),
            (None, Some(policy)) if self.workspace.is_some() => Some(Policy::load(policy)?),
            (None, Some(policy)) => Some(Policy::load(policy)?.found()),
            (None, None) => None,
        };
        let mock = self.mock.as_deref().or_else(|| workspace.as_ref()?.mock());
        let mock = mock.map(Mock::read).transpose()?.map(Arc::new);
        let (metrics, allow) = (self.metrics, self.allow.allow.clone());
        // A workspace that was found is found again, and not named: that would be trust.
        let found = workspace.as_ref().filter(|_| self.workspace.is_none());
        let folder = found.and_then(|_| std::env::current_dir().ok());
        let (bundle_words, asked, again) =
            (self.bundle_words, Arc::default(), (self.options(), folder));
        Ok(Surroundings {
            workspace,
            profile,
            policy,
            mock,
            metrics,
            allow,
            bundle_words,
            asked,
            again,
        })
    }

    /// The options that were given and change what plugins do, with whole paths.
    fn options(&self) -> Vec<String> {
        let files =
            [("workspace", &self.workspace), ("policy", &self.policy), ("mock", &self.mock)];
        let files = files.into_iter().filter_map(|(name, file)| {
            let file = std::path::absolute(file.as_ref()?).ok()?;
            Some([format!("--{name}"), file.display().to_string()])
        });
        let profile = self.profile.iter().map(|profile| ["--profile".to_owned(), profile.clone()]);
        let allow = self.allow.allow.iter();
        let allow = allow.map(|word| ["--allow".to_owned(), word.in_full().to_string()]);
        files.chain(profile).chain(allow).flatten().collect()
    }
}

impl AllowArgs {
    /// True if anything is allowed of a permission.
    pub(super) fn has(&self, permission: Permission) -> bool {
        self.allow.iter().any(|allowed| allowed.permission() == permission)
    }
}

impl Surroundings {
    /// Without a workspace or a policy.
    pub(super) fn allowing(allow: &AllowArgs, mock: Option<Arc<Mock>>) -> Surroundings {
        Surroundings { allow: allow.allow.clone(), mock, ..Surroundings::default() }
    }

    /// The least important log lines to write, if a profile says so.
    pub(super) fn log(&self) -> Option<LogLevel> {
        self.profile.as_ref().map(Profile::log)
    }

    /// The parts of what people and plugins wrote that failure bundles have.
    pub(super) fn bundled(&self) -> Kept {
        Kept { payloads: false, words: self.bundle_words }
    }

    /// Sets a host up for them.
    pub(super) fn prepare(&self, builder: HostBuilder) -> HostBuilder {
        let (options, folder) = self.again.clone();
        let mut builder = builder.quarantine_options(options, folder);
        if let Some(profile) = &self.profile {
            builder = builder.profile(profile.clone());
        }
        if let Some(policy) = &self.policy {
            builder = builder.policy(policy.clone());
        }
        if let Some(mock) = &self.mock {
            builder = builder.mock(mock.clone());
        }
        if let Some(saved) = saved_consents() {
            builder = builder.consents(saved);
        }
        self.allow.iter().cloned().fold(builder, HostBuilder::allow)
    }

    /// Hears what plugins ask for that nobody allowed.
    pub(super) fn asked(&self) -> Arc<AskedFor> {
        self.asked.clone()
    }

    /// Says what `--allow` gives to none of the plugins that are loaded now, and keeps what they lack.
    pub(super) fn say_vain(&self, host: &Host) {
        self.asked.say_vain(host);
        self.asked.say_no_effect(host);
        self.asked.settle(host);
    }

    /// False on a profile that reloads nothing by itself.
    pub(super) fn watches(&self) -> bool {
        self.profile.as_ref().is_none_or(|one| one.reloads() != Reloads::WhenAsked)
    }

    /// Applies the policy and the mock again whenever their files change, and says so; unless the profile
    /// reloads nothing by itself. `told` hears of it too, with the reason if a file cannot be read.
    pub(super) fn watch_files(
        &self,
        host: &Host,
        told: impl Fn(Result<(), String>) + Clone + Send + Sync + 'static,
    ) {
        if self.watches() {
            self.watch_policy(host, told.clone());
            self.watch_mock(host, told);
        }
    }

    fn watch_mock(&self, host: &Host, told: impl Fn(Result<(), String>) + Send + Sync + 'static) {
        let Some(mock) = &self.mock else { return };
        let Some(name) = mock.file().map(named) else { return };
        let watched = host.watch_mock(mock, move |changed| {
            say(&match &changed {
                Ok(()) => format!("Mock changed: {name} is in force"),
                Err(reason) => format!("Mock not changed: {reason}"),
            });
            told(changed);
        });
        if let Err(error) = watched {
            say(&format!("The mock file is not watched: {error}"));
        }
    }

    fn watch_policy(&self, host: &Host, told: impl Fn(Result<(), String>) + Send + Sync + 'static) {
        let Some(name) = self.policy.as_ref().and_then(Policy::file).map(named) else { return };
        let watched = host.watch_policy(move |changed| {
            say(&match &changed {
                Ok(()) => format!("Policy changed: {name} is in force"),
                Err(reason) => format!("Policy not changed: {reason}"),
            });
            told(changed);
        });
        if let Err(error) = watched {
            say(&format!("The policy file is not watched: {error}"));
        }
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

    /// How to load a plugin that the command line names: by a path, or by its id in the workspace.
    /// A name that exists as a path is one.
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

/// The consents given in the window, if they can be used.
pub(super) fn saved_consents() -> Option<Arc<Consents>> {
    match crate::workbench::saved_consents()? {
        Ok(saved) => Some(Arc::new(saved)),
        Err(error) => {
            say(&format!("Not used: {error}"));
            None
        }
    }
}
