use std::collections::{BTreeMap, BTreeSet};

use crate::{Frame, LogLevel, Permission, ServiceError, Services};

/// A function of an application, as a test has it.
pub type Function = fn(&[u8]) -> Result<Vec<u8>, ServiceError>;

/// Answers a plugin's service calls from memory, the same way each time.
///
/// Everything is granted until it is [denied](TestHost::deny). The clock stands still at
/// [`now`](TestHost::now), and random bytes depend on [`seed`](TestHost::seed) alone. Single keys of the
/// configuration are read with the feature `json`; without it, asking for one panics.
#[derive(Debug, Clone)]
pub struct TestHost {
    /// The plugin's configuration, JSON text.
    pub config: String,
    /// Nanoseconds since the Unix epoch.
    pub now: u64,
    /// Where the random bytes come from; it moves on with each call.
    pub seed: u64,
    /// The plugin's store.
    pub store: BTreeMap<String, Vec<u8>>,
    /// Lines it logged.
    pub logs: Vec<(LogLevel, String)>,
    /// Measurements it published.
    pub metrics: Vec<(String, f64)>,
    /// Frames it sent to other plugins.
    pub emitted: Vec<Frame>,
    /// The results of an application's functions, by name; all others are not available.
    pub functions: BTreeMap<String, Function>,
    denied: BTreeSet<Permission>,
}

impl Default for TestHost {
    fn default() -> TestHost {
        TestHost {
            config: "{}".to_owned(),
            now: 1_700_000_000_000_000_000,
            seed: 1,
            store: BTreeMap::new(),
            logs: Vec::new(),
            metrics: Vec::new(),
            emitted: Vec::new(),
            functions: BTreeMap::new(),
            denied: BTreeSet::new(),
        }
    }
}

impl TestHost {
    /// Refuses the services of this permission from now on.
    pub fn deny(&mut self, permission: Permission) {
        self.denied.insert(permission);
    }

    /// Grants the services of this permission again.
    pub fn grant(&mut self, permission: Permission) {
        self.denied.remove(&permission);
    }

    fn check(&self, permission: Permission) -> Result<(), ServiceError> {
        if self.denied.contains(&permission) { Err(ServiceError::Denied) } else { Ok(()) }
    }
}

/// The value of a key in a JSON map, as JSON text.
#[cfg(feature = "json")]
fn member(json: &str, key: &str) -> Result<Option<String>, ServiceError> {
    let map: serde_json::Value =
        serde_json::from_str(json).map_err(|_| ServiceError::Unavailable)?;
    Ok(map.get(key).map(ToString::to_string))
}

/// A wrong answer would be worse than none in a test.
#[cfg(not(feature = "json"))]
fn member(_json: &str, key: &str) -> Result<Option<String>, ServiceError> {
    panic!(
        "to give a test the key `{key}` of a configuration, enable the feature `json` of glovebox-sdk \
         under [dev-dependencies]"
    );
}

impl Services for TestHost {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.check(Permission::Log)?;
        self.logs.push((level, message.to_owned()));
        Ok(())
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        self.check(Permission::Now)?;
        Ok(self.now)
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        self.check(Permission::Random)?;
        if buffer.len() > 64 << 10 {
            return Err(ServiceError::Invalid);
        }
        // SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
        for chunk in buffer.chunks_mut(8) {
            self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        self.check(Permission::Config)?;
        if key.is_empty() {
            return Ok(Some(self.config.clone()));
        }
        member(&self.config, key)
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        self.check(Permission::Kv)?;
        Ok(self.store.get(key).cloned())
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        self.check(Permission::Kv)?;
        self.store.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        self.check(Permission::Kv)?;
        Ok(self.store.remove(key).is_some())
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        self.check(Permission::Kv)?;
        let keys = self.store.keys().filter(|key| key.starts_with(prefix));
        Ok(keys.cloned().collect())
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        self.check(Permission::Emit)?;
        self.emitted.push(frame.clone());
        Ok(())
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        self.check(Permission::Metric)?;
        self.metrics.push((name.to_owned(), value));
        Ok(())
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        self.check(Permission::Functions)?;
        self.functions.get(function).ok_or(ServiceError::Unavailable)?(argument)
    }
}
