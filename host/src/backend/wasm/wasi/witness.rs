use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::Guard;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{AnsweredBy, CallId, HostCall, What, evidence};
use parking_lot::Mutex;
use wasmtime_wasi::runtime;

use super::Interrupted;
use super::growth::Growth;
use crate::backend::wasm::ticker::Pulse;
use crate::policy::{Grants, Parameter};
use crate::services::{CopyServices, InstanceServices, MockServices, Rights, determinism};

/// Names of addresses that are remembered; the oldest makes room.
const MAX_PEERS: usize = 1024;

/// How often a plugin that waits is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Decides about uses of WASI, counts and shows them. Clones are handles to the same one: the parts
/// of WASI that ask it live in places of their own.
#[derive(Clone)]
pub(in super::super) struct Witness(Arc<Inner>);

struct Inner {
    shared: Arc<InstanceServices>,
    rights: Arc<Rights>,
    generation: u32,
    pulse: Arc<Pulse>,
    /// How long what runs now may take, in milliseconds.
    deadline: AtomicU64,
    /// [`CopyServices::cancellations`] of what runs now.
    cancellations: AtomicU64,
    /// The call under way; 0 outside of calls.
    call: AtomicU64,
    /// Permissions whose use is no event any more in this call, as bits.
    told: AtomicU32,
    /// Where random bytes come from in a run that must repeat.
    chance: Option<Mutex<blake3::OutputReader>>,
    /// Under which names addresses were found.
    peers: Mutex<Peers>,
}

/// Under which names addresses were found, the latest last.
#[derive(Default)]
struct Peers {
    found: VecDeque<(IpAddr, String)>,
    /// Pairs that had to make room.
    forgotten: u64,
}

impl Peers {
    /// Remembers a pair; gives the number of those that were forgotten if this made room.
    fn add(&mut self, address: IpAddr, name: &str) -> Option<u64> {
        let known = self.found.iter().position(|(known, of)| *known == address && of == name);
        if let Some(known) = known.and_then(|known| self.found.remove(known)) {
            self.found.push_back(known);
            return None;
        }
        self.found.push_back((address, name.to_owned()));
        if self.found.len() <= MAX_PEERS {
            return None;
        }
        self.found.pop_front();
        self.forgotten += 1;
        Some(self.forgotten)
    }

    fn names_of(&self, address: IpAddr) -> Vec<String> {
        let names = self.found.iter().filter(|(known, _)| *known == address);
        names.map(|(_, name)| name.clone()).collect()
    }
}

impl Witness {
    pub(in super::super) fn new(context: &CopyServices, pulse: &Arc<Pulse>) -> Witness {
        Witness(Arc::new(Inner {
            shared: context.shared.clone(),
            rights: context.rights.clone(),
            generation: context.generation,
            pulse: pulse.clone(),
            deadline: AtomicU64::new(0),
            cancellations: AtomicU64::new(0),
            call: AtomicU64::new(0),
            told: AtomicU32::new(0),
            chance: context.rights.seed.map(|seed| Mutex::new(determinism::bytes(seed, "wasi"))),
            peers: Mutex::default(),
        }))
    }

    /// A call begins.
    pub(in super::super) fn begin(&self, context: &CopyServices) {
        let Inner { deadline, cancellations, call, told, .. } = &*self.0;
        deadline.store(context.deadline(), Ordering::Relaxed);
        cancellations.store(context.cancellations(), Ordering::Relaxed);
        call.store(context.call_id().map_or(0, |call| call.0), Ordering::Relaxed);
        told.store(0, Ordering::Relaxed);
    }

    /// The time on the calendar's clock, in nanoseconds since the Unix epoch, if it does not follow
    /// the world: a mock's, or the start of a run that must repeat.
    pub(super) fn scripted_now(&self) -> Option<u64> {
        let mocked = self.mock().and_then(|mock| mock.now());
        mocked.or_else(|| self.0.chance.is_some().then_some(determinism::START))
    }

    /// The same for the clock that counts from 0.
    pub(super) fn scripted_elapsed(&self) -> Option<u64> {
        let mocked = self.mock().and_then(|mock| mock.elapsed());
        mocked.or_else(|| self.0.chance.is_some().then_some(0))
    }

    /// Fills the buffer with bytes that nobody can guess or, from a mock and in a run that must
    /// repeat, with the next ones of a seed.
    pub(super) fn fill(&self, buffer: &mut [u8]) -> Result<(), getrandom::Error> {
        if self.mock().is_some_and(|mock| mock.fill(buffer)) {
            return Ok(());
        }
        match &self.0.chance {
            Some(chance) => chance.lock().fill(buffer),
            None => getrandom::fill(buffer)?,
        }
        Ok(())
    }

    fn mock(&self) -> Option<Arc<MockServices>> {
        self.0.shared.mock.load_full()
    }

    /// Waits for a host function, until the call must end.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> wasmtime::Result<T> {
        runtime::in_tokio(async {
            let mut work = pin!(work);
            loop {
                match tokio::time::timeout(LOOK_EVERY, work.as_mut()).await {
                    Ok(done) => return Ok(done),
                    Err(_) => self.may_go_on()?,
                }
            }
        })
    }

    /// True if a file would become larger than a file of this plugin may be, which is counted. `at` is the
    /// place where the last write ended, and `end` the size of the file.
    pub(super) fn refuses(&self, growth: Growth, at: u64, end: u64) -> bool {
        let Inner { shared, rights, .. } = &*self.0;
        let is_beyond = growth.is_beyond(rights.limits.load().file_bytes, at, end);
        if is_beyond {
            shared.counters.hit_limit(LimitKind::FileBytes);
        }
        is_beyond
    }

    fn may_go_on(&self) -> Result<(), Interrupted> {
        let Inner { shared, pulse, deadline, cancellations, .. } = &*self.0;
        if shared.cancellations.count() != cancellations.load(Ordering::Relaxed) {
            return Err(Interrupted::Cancelled);
        }
        match pulse.is_overdue(deadline.load(Ordering::Relaxed)) {
            true => Err(Interrupted::Overdue),
            false => Ok(()),
        }
    }

    pub(super) fn grants(&self) -> Guard<Arc<Grants>> {
        self.0.rights.grants.load()
    }

    /// Counts the changes of folders and variables.
    pub(super) fn renewals(&self) -> u64 {
        self.0.rights.renewals.load(Ordering::Relaxed)
    }

    /// Decides about one use.
    pub(super) fn admit(
        &self,
        service: &'static str,
        permission: Permission,
        parameter: &Parameter<'_>,
    ) -> bool {
        let allowed = self.grants().admits(permission, parameter);
        self.decided(service, permission, parameter, allowed)
    }

    /// Takes in one use that was decided about elsewhere.
    pub(super) fn decided(
        &self,
        service: &'static str,
        permission: Permission,
        parameter: &Parameter<'_>,
        allowed: bool,
    ) -> bool {
        let result = if allowed { Ok(Value::Null) } else { Err(ServiceError::Denied) };
        self.ended(service, permission, parameter, result);
        allowed
    }

    /// The same with what came of it. Anything but a denial was allowed.
    pub(super) fn ended(
        &self,
        service: &'static str,
        permission: Permission,
        parameter: &Parameter<'_>,
        result: Result<Value, ServiceError>,
    ) {
        let result = result.map_err(|error| self.reason(permission, error));
        let allowed = result != Err(ServiceError::Denied);
        self.count(permission, parameter, allowed);
        self.show(service, permission, parameter, result);
    }

    /// Why a use did not succeed. Without the permission there is nothing that the library could
    /// find, and it says so: what the plugin lacks is the permission.
    pub(super) fn reason(&self, permission: Permission, error: ServiceError) -> ServiceError {
        if self.grants().has(permission) { error } else { ServiceError::Denied }
    }

    /// True if the plugin asks for the permission and does not have it, so that it is a denial that it
    /// finds nothing where it looks for what it may have.
    pub(super) fn lacks(&self, permission: Permission) -> bool {
        let grants = self.grants();
        let asked = grants.verdict(permission).is_some_and(|verdict| verdict.asked);
        asked && !grants.has(permission)
    }

    /// Decides about one of many uses in a call, of which the first is an event.
    pub(super) fn admit_often(&self, service: &'static str, permission: Permission) -> bool {
        let parameter = Parameter::Nothing;
        let allowed = self.grants().admits(permission, &parameter);
        self.count(permission, &parameter, allowed);
        let bit = 1 << permission as u32;
        if self.0.told.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let result = if allowed { Ok(Value::Null) } else { Err(ServiceError::Denied) };
            self.show(service, permission, &parameter, result);
        }
        allowed
    }

    fn count(&self, permission: Permission, parameter: &Parameter<'_>, allowed: bool) {
        let Inner { shared, generation, .. } = &*self.0;
        shared.accessed(&self.grants(), *generation, permission, parameter, allowed);
    }

    fn show(
        &self,
        service: &'static str,
        permission: Permission,
        parameter: &Parameter<'_>,
        result: Result<Value, ServiceError>,
    ) {
        let Inner { shared, generation, call, .. } = &*self.0;
        if !shared.journal.is_told() {
            return;
        }
        let arguments = match parameter {
            Parameter::Nothing => Value::Null,
            parameter if result.is_ok() => Value::Text(parameter.to_string()),
            // The library refuses paths and names that are too long for the machine.
            parameter => evidence::of_text(&parameter.to_string()),
        };
        let call = Some(call.load(Ordering::Relaxed)).filter(|call| *call > 0).map(CallId);
        let took = Duration::ZERO;
        let service = service.into();
        let answered_by = AnsweredBy::Host;
        let host_call = HostCall { service, permission, arguments, result, took, answered_by };
        shared.record(*generation, What::HostCall { call, host_call });
    }

    /// Remembers that looking `name` up gave `address`.
    pub(super) fn found(&self, name: &str, address: IpAddr) {
        let forgotten = self.0.peers.lock().add(address.to_canonical(), name);
        if let Some(forgotten) = forgotten.filter(|count| count.is_power_of_two()) {
            let plugin = &*self.0.shared.plugin;
            tracing::warn!(
                plugin,
                forgotten,
                kept = MAX_PEERS,
                "more than 1,024 addresses were looked up; the oldest are denied until the plugin looks \
                 them up again"
            );
        }
    }

    /// The names under which an address was found.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<String> {
        self.0.peers.lock().names_of(address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_addresses_are_remembered() {
        /// Addresses that are looked up, by number; then those that are known, and how many were
        /// forgotten.
        fn check(found: &[u32], known: &[u32], unknown: &[u32], forgotten: u64) {
            let address = |number: u32| IpAddr::from(number.to_be_bytes());
            let mut peers = Peers::default();
            let told = found.iter().filter_map(|number| peers.add(address(*number), "a.b"));
            assert_eq!(told.last().unwrap_or_default(), forgotten);
            known
                .iter()
                .for_each(|one| assert_eq!(peers.names_of(address(*one)), ["a.b"], "{one}"));
            unknown.iter().for_each(|one| assert!(peers.names_of(address(*one)).is_empty()));
            assert!(peers.found.len() <= MAX_PEERS);
        }
        let all: Vec<u32> = (0..MAX_PEERS as u32).collect();
        let with = |more: &[u32]| [&all[..], more].concat();
        check(&[], &[], &[0], 0);
        check(&[7, 7, 7], &[7], &[8], 0);
        check(&all, &all, &[5000], 0);
        check(&with(&[5000]), &[1, 2, 5000], &[0], 1);
        check(&with(&[0, 5000, 5001]), &[0, 3, 5000, 5001], &[1, 2], 2);
    }
}
