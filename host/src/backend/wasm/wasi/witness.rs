use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::Guard;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{CallId, HostCall, What, evidence};
use parking_lot::Mutex;
use wasmtime_wasi::runtime;

use super::Interrupted;
use crate::backend::wasm::ticker::Pulse;
use crate::context::{Context, Rights, Shared};
use crate::determinism;
use crate::mock::MockServices;
use crate::policy::{Grants, Parameter};

/// Names of addresses that are remembered.
const MAX_PEERS: usize = 1024;

/// How often a plugin that waits is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Decides about uses of WASI, counts and shows them. Clones are handles to the same one: the parts
/// of WASI that ask it live in places of their own.
#[derive(Clone)]
pub(in super::super) struct Witness(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    rights: Arc<Rights>,
    generation: u32,
    pulse: Arc<Pulse>,
    /// How long what runs now may take, in milliseconds.
    deadline: AtomicU64,
    /// [`Shared::cancellations`] when it began.
    cancellations: AtomicU64,
    /// The call under way; 0 outside of calls.
    call: AtomicU64,
    /// Permissions whose use is no event any more in this call, as bits.
    told: AtomicU32,
    /// Where random bytes come from in a run that must repeat.
    chance: Option<Mutex<blake3::OutputReader>>,
    /// Under which names addresses were found.
    peers: Mutex<BTreeMap<IpAddr, BTreeSet<String>>>,
}

impl Witness {
    pub(in super::super) fn new(context: &Context, pulse: &Arc<Pulse>) -> Witness {
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
    pub(in super::super) fn begin(&self, context: &Context) {
        let Inner { shared, deadline, cancellations, call, told, .. } = &*self.0;
        deadline.store(context.deadline(), Ordering::Relaxed);
        let taken_back = shared.cancellations.load(Ordering::Relaxed);
        cancellations.store(taken_back, Ordering::Relaxed);
        call.store(context.call().map_or(0, |call| call.0), Ordering::Relaxed);
        told.store(0, Ordering::Relaxed);
    }

    /// What the calendar's clock shows, in nanoseconds since the Unix epoch, if it does not follow
    /// the world: a mock's, or where a run that must repeat begins.
    pub(super) fn scripted_now(&self) -> Option<u64> {
        let mocked = self.mock().and_then(MockServices::now);
        mocked.or_else(|| self.0.chance.is_some().then_some(determinism::START))
    }

    /// The same for the clock that counts from 0.
    pub(super) fn scripted_elapsed(&self) -> Option<u64> {
        let mocked = self.mock().and_then(MockServices::elapsed);
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

    fn mock(&self) -> Option<&MockServices> {
        self.0.shared.mock.as_ref()
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

    fn may_go_on(&self) -> Result<(), Interrupted> {
        let Inner { shared, pulse, deadline, cancellations, .. } = &*self.0;
        let taken_back = shared.cancellations.load(Ordering::Relaxed);
        if taken_back != cancellations.load(Ordering::Relaxed) {
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
    pub(super) fn outfit(&self) -> u64 {
        self.0.rights.outfit.load(Ordering::Relaxed)
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
        if !shared.journal.is_heard() {
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
        let host_call = HostCall { service: service.into(), permission, arguments, result, took };
        shared.record(*generation, What::HostCall { call, host_call });
    }

    /// Remembers that looking `name` up gave `address`.
    pub(super) fn found(&self, name: &str, address: IpAddr) {
        let mut peers = self.0.peers.lock();
        if peers.values().map(BTreeSet::len).sum::<usize>() < MAX_PEERS {
            peers.entry(address.to_canonical()).or_default().insert(name.to_owned());
        }
    }

    /// The names under which an address was found.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<String> {
        let peers = self.0.peers.lock();
        peers.get(&address.to_canonical()).into_iter().flatten().cloned().collect()
    }
}
