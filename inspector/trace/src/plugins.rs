//! The plugins of a trace, as its records and events describe them.

use std::collections::HashMap;

use glovebox_events::{Event, What};

use crate::{InstanceRecord, PluginRecord};

/// Gathers what is said of plugins, in order of appearance.
#[derive(Debug, Default)]
pub struct PluginsSeen {
    plugins: Vec<PluginRecord>,
    /// Where each plugin stands there, by its id.
    places: HashMap<String, usize>,
}

impl PluginsSeen {
    /// Takes in an event, for a trace that describes no plugin by itself: of its plugin at least the id is
    /// known, and what it says of the instance that was loaded.
    pub fn take_in(&mut self, event: &Event) {
        if event.what.is_of_a_plugin() {
            self.record(&event.plugin);
        }
        if let Some(instance) = loaded_instance(event) {
            self.record(&event.plugin).take_in(instance);
        }
        self.learn(event);
    }

    /// All of them, with what else is known of their instances.
    pub fn finish(mut self, more: &[PluginRecord]) -> Vec<PluginRecord> {
        for plugin in more {
            let known = self.record(&plugin.id);
            plugin.instances.iter().for_each(|instance| known.take_in(instance.clone()));
        }
        self.plugins
    }

    /// The plugins so far.
    pub(crate) fn plugins(&self) -> &[PluginRecord] {
        &self.plugins
    }

    /// The record of a plugin; one that says nothing, if there was none.
    pub(crate) fn record(&mut self, id: &str) -> &mut PluginRecord {
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                self.places.insert(id.to_owned(), self.plugins.len());
                self.plugins.push(PluginRecord::of_id(id));
                self.plugins.len() - 1
            }
        };
        &mut self.plugins[place]
    }

    /// Takes in what an event says about its plugin, and about an instance of which there is a record.
    pub(crate) fn learn(&mut self, event: &Event) {
        let (version, digest, binding) = match &event.what {
            What::Loaded { version, digest, binding, .. } => (version, digest, Some(*binding)),
            What::Reloaded { version, digest, .. } => (version, digest, None),
            _ => return,
        };
        let plugin = self.record(&event.plugin);
        plugin.version.clone_from(version);
        plugin.digest.clone_from(digest);
        plugin.binding = binding.or(plugin.binding);
        let is_known = plugin.instances.iter().any(|known| known.instance == event.instance);
        if let Some(instance) = loaded_instance(event).filter(|_| is_known) {
            plugin.take_in(instance);
        }
    }
}

/// The record of the instance that an event says to be loaded.
pub(crate) fn loaded_instance(event: &Event) -> Option<InstanceRecord> {
    let (version, digest, binding) = match &event.what {
        What::Loaded { version, digest, binding, .. } => (version, digest, Some(*binding)),
        What::Reloaded { version, digest, .. } => (version, digest, None),
        _ => return None,
    };
    Some(InstanceRecord {
        instance: event.instance,
        version: version.clone(),
        digest: digest.clone(),
        binding,
        ..InstanceRecord::default()
    })
}
