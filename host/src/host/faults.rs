//! Faults of host services, switched on and off while a plugin runs.

use std::sync::Arc;

use glovebox_events::What;

use super::Host;
use super::profile::Mocks;
use crate::id::InstanceId;
use crate::services::{Mock, MockServices};

/// Why faults were not switched on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultsError {
    /// There is no such instance any more.
    #[error("the plugin is gone; load it again")]
    Gone,
    /// The profile refuses mocks.
    #[error("faults are refused in profile `{profile}`; use the profile `development`")]
    Refused {
        /// Its name.
        profile: String,
    },
    /// There is more in it than faults.
    #[error(
        "only `[[answer]]` and `[faults]` can be switched on while a plugin runs; load it with the \
         rest of the mock"
    )]
    NotFaults,
}

impl Host {
    /// Switches faults of host services on for one instance, in place of those that were on before, or off;
    /// in effect with the next use of a service. An event says which. They stand in front of the
    /// [`Mock`] that it was loaded with, count calls from 1 on, and stay on through reloads.
    ///
    /// # Errors
    ///
    /// If the instance is gone, the profile refuses mocks, or the mock has more than `[[answer]]` and
    /// `[faults]`.
    pub fn set_faults(&self, id: InstanceId, faults: Option<Arc<Mock>>) -> Result<(), FaultsError> {
        if faults.as_ref().is_some_and(|faults| !faults.is_of_faults()) {
            return Err(FaultsError::NotFaults);
        }
        if let (Some(profile), true) = (&*self.inner.profile.lock(), faults.is_some())
            && profile.mocks() == Mocks::Refused
        {
            return Err(FaultsError::Refused { profile: profile.name().to_owned() });
        }
        let instance = self.instance(id).ok_or(FaultsError::Gone)?;
        let summary = match &faults {
            Some(faults) => faults.faults_summary(),
            None => "faults are switched off".to_owned(),
        };
        let shared = &instance.shared;
        let services = faults.map(|faults| Arc::new(MockServices::new(faults, &shared.plugin)));
        let before = shared.faults.swap(services);
        // To switch off what is off is no change.
        if before.is_some() || shared.faults.load().is_some() {
            shared.record(instance.current().number, What::PolicyChanged { summary });
        }
        Ok(())
    }
}
