//! Several plugins loaded as one: all of them, in order, or none.

use super::Host;
use crate::id::InstanceId;
use crate::load::LoadRequest;
use crate::problem::LoadError;
use crate::task::{Lost, Task};

/// Plugins that were loaded together. [`Host::unload_set`] ends them in reverse; dropping this does
/// not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSet {
    plugins: Vec<(String, InstanceId)>,
}

impl PluginSet {
    /// Id and instance of each, in the order of loading.
    pub fn plugins(&self) -> &[(String, InstanceId)] {
        &self.plugins
    }

    /// The instance of one of them.
    pub fn get(&self, id: &str) -> Option<InstanceId> {
        self.plugins.iter().find(|(plugin, _)| plugin == id).map(|(_, instance)| *instance)
    }
}

/// Why a set was not loaded. Its plugins that were loaded are unloaded again.
#[derive(Debug, thiserror::Error)]
#[error("cannot load `{plugin}`, {position} of {total}{}: {source}", unloaded(*.position))]
#[non_exhaustive]
pub struct SetError {
    /// The plugin that was not loaded.
    pub plugin: String,
    /// Its place in the order, from 1. All before it were loaded and unloaded again.
    pub position: usize,
    /// How many there are.
    pub total: usize,
    /// Why it was not loaded.
    pub source: Box<LoadError>,
}

impl Lost for SetError {
    fn lost(reason: String) -> SetError {
        let source = Box::new(LoadError::lost(reason));
        SetError { plugin: "the set".to_owned(), position: 1, total: 1, source }
    }
}

fn unloaded(position: usize) -> String {
    match position - 1 {
        0 => String::new(),
        1 => ", and unloaded the one before it".to_owned(),
        before => format!(", and unloaded the {before} before it"),
    }
}

impl Host {
    /// Loads plugins one after another, in this order: dependencies first. Each becomes an
    /// instance of its own, whatever else runs in this host. The text of each pair is the id, for
    /// errors and [`PluginSet::get`].
    ///
    /// If one cannot be loaded, those before it are unloaded in reverse, and the error names it.
    pub fn load_set(
        &self,
        requests: impl IntoIterator<Item = (String, LoadRequest)>,
    ) -> Task<Result<PluginSet, SetError>> {
        let requests: Vec<(String, LoadRequest)> = requests.into_iter().collect();
        self.spawn(move |host| {
            let total = requests.len();
            let mut plugins = Vec::with_capacity(total);
            for (position, (plugin, request)) in requests.into_iter().enumerate() {
                match host.load(request).wait() {
                    Ok(instance) => plugins.push((plugin, instance)),
                    Err(source) => {
                        host.unload_in_turn(&plugins);
                        let (position, source) = (position + 1, Box::new(source));
                        return Err(SetError { plugin, position, total, source });
                    }
                }
            }
            Ok(PluginSet { plugins })
        })
    }

    /// Unloads the plugins of a set in reverse, each after its dependents have ended. Gives the
    /// number of those that were still there.
    pub fn unload_set(&self, set: PluginSet) -> Task<usize> {
        self.spawn(move |host| host.unload_in_turn(&set.plugins))
    }

    /// Unlike [`unload`](Self::unload), waits for each to end before the next.
    fn unload_in_turn(&self, plugins: &[(String, InstanceId)]) -> usize {
        let mut unloaded = 0;
        for (_, id) in plugins.iter().rev() {
            if let Some(instance) = self.inner.registry.remove(*id) {
                self.end(&instance);
                unloaded += 1;
            }
        }
        unloaded
    }
}
