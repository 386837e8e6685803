use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_abi::State;

use crate::CallId;

/// The state of an instance between two calls: all that a fresh copy needs to go on from there, as
/// far as host and plugin can tell.
///
/// State that the plugin keeps elsewhere, such as in files, is not part of it; nor is how far the
/// clock and the random bytes of a run that must repeat have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The generation, from 1.
    pub generation: u32,
    /// The last call of the instance that was over; all before it were over too. `None` before the
    /// first one.
    pub after: Option<CallId>,
    /// The state of each copy, as the plugin gave it; `None` if it says that it has none.
    pub states: Vec<Option<State>>,
    /// The content of the instance's own store.
    pub store: BTreeMap<String, Vec<u8>>,
}
