//! What one instance sees of its host: the services, checked, measured and recorded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{LimitKind, Limits, Tier};
use glovebox_abi::{Frame, Header, Kind, LogLevel, Permission, ServiceError, Services};
use glovebox_events::{CallId, Event, HostCall, Outcome, Sink, What};
use parking_lot::Mutex;

use crate::InstanceId;
use crate::answers::{ANSWERABLE, Answered, Answers, Asked, Given};
use crate::backend::Stop;
use crate::determinism::Determinism;
use crate::lifecycle::Hooks;
use crate::mock::MockServices;
use crate::observe::span::{self, About};
use crate::policy::{AccessCounters, Accesses, Grants, Parameter, Wishes};

const MAX_RANDOM_LEN: usize = 64 << 10;
/// How long a mock delays a call before it looks whether the call was taken back.
const MOCK_NAP: Duration = Duration::from_millis(5);

/// Where the events of a host go.
pub(crate) struct Journal {
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) wake: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) hooks: Hooks,
    /// True if calls are timed also without a sink.
    times_calls: bool,
    /// What plugins wished for, by id; kept while the policy's mode is to record it.
    pub(crate) wishes: Mutex<BTreeMap<Arc<str>, Wishes>>,
    sequence: AtomicU64,
    calls: AtomicU64,
    /// Events on which the sink panicked.
    unheard: AtomicU64,
}

impl Journal {
    pub(crate) fn new(
        sink: Option<Arc<dyn Sink>>,
        wake: Option<Box<dyn Fn() + Send + Sync>>,
        hooks: Hooks,
        times_calls: bool,
    ) -> Journal {
        Journal {
            sink,
            wake,
            hooks,
            times_calls,
            wishes: Mutex::default(),
            sequence: AtomicU64::new(0),
            calls: AtomicU64::new(1),
            unheard: AtomicU64::new(0),
        }
    }

    /// Events on which the sink panicked.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// True if anybody takes the events, so that making and timing them is worth it.
    pub(crate) fn is_heard(&self) -> bool {
        self.sink.is_some() || self.times_calls
    }

    pub(crate) fn record(&self, plugin: &Arc<str>, instance: u64, generation: u32, what: What) {
        if let Some(sink) = &self.sink {
            let event = Event {
                sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
                at: unix_nanoseconds(),
                plugin: plugin.clone(),
                instance,
                generation,
                what,
            };
            // A broken sink must not take the call, or the thread of an instance, with it.
            let recorded = catch_unwind(AssertUnwindSafe(|| sink.record(&event)));
            if recorded.is_err() {
                self.unheard.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}

pub(crate) fn unix_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What all generations of one instance share.
pub(crate) struct Shared {
    pub(crate) plugin: Arc<str>,
    pub(crate) instance: InstanceId,
    pub(crate) journal: Arc<Journal>,
    pub(crate) counters: AccessCounters,
    pub(crate) kv: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Counts the times that the calls under way were taken back.
    pub(crate) cancellations: AtomicU64,
    pub(crate) accesses: Mutex<Accesses>,
    /// The permissions that a person was asked about, as bits.
    pub(crate) asked: AtomicU32,
    /// Answers instead of the world, if there is one.
    pub(crate) mock: Option<MockServices>,
    /// Answers before the mock does, if there are any.
    pub(crate) answers: Option<Arc<dyn Answers>>,
}

impl Shared {
    pub(crate) fn record(&self, generation: u32, what: What) {
        self.journal.record(&self.plugin, self.instance.get(), generation, what);
    }

    /// Decides about one use of a permission, counts it and keeps it in the access log.
    pub(crate) fn access(
        &self,
        grants: &Grants,
        generation: u32,
        permission: Permission,
        parameter: &Parameter<'_>,
    ) -> bool {
        self.accessed(
            grants,
            generation,
            permission,
            parameter,
            grants.admits(permission, parameter),
        )
    }

    /// The same for a use about which was decided elsewhere.
    pub(crate) fn accessed(
        &self,
        grants: &Grants,
        generation: u32,
        permission: Permission,
        parameter: &Parameter<'_>,
        allowed: bool,
    ) -> bool {
        let counters = self.counters.permission(permission);
        let counter = if allowed { &counters.uses } else { &counters.denials };
        counter.fetch_add(1, Ordering::Relaxed);
        let now = unix_nanoseconds();
        counters.last_used.store(now, Ordering::Relaxed);
        let rule = grants.rule(permission);
        self.accesses.lock().add(now, permission, parameter, allowed, &rule);
        if grants.recording {
            let mut wishes = self.journal.wishes.lock();
            wishes.entry(self.plugin.clone()).or_default().add(permission, parameter, allowed);
        }
        let bit = 1 << permission as u32;
        if grants.asks(permission) && self.asked.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let parameter = parameter.to_string();
            self.record(generation, What::PolicyAsked { permission, parameter });
        }
        allowed
    }
}

/// What one generation may do; changed while it runs, and read without locks.
pub(crate) struct Rights {
    pub(crate) grants: ArcSwap<Grants>,
    /// Counts the changes of what a copy cannot be given while it runs: folders and variables.
    pub(crate) outfit: AtomicU64,
    pub(crate) limits: ArcSwap<Limits>,
    pub(crate) config: ArcSwap<serde_json::Value>,
    /// Copies of the limits that every call reads.
    pub(crate) hot: HotLimits,
    /// Where chance comes from, in a run that must repeat.
    pub(crate) seed: Option<u64>,
}

/// The limits on the way of every call, so that it need not count references.
#[derive(Default)]
pub(crate) struct HotLimits {
    /// [`Limits::call_deadline`] in milliseconds.
    pub(crate) deadline: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
    pub(crate) output_frames: AtomicU64,
    /// Frames per second; 0 if unlimited.
    pub(crate) rate: AtomicU64,
    /// Kinds of frames that may be received, as a set of bits.
    receives: [AtomicU64; 4],
    /// Units of work per call; the largest number if unlimited.
    pub(crate) fuel: AtomicU64,
    pub(crate) host_call_bytes: AtomicU64,
    pub(crate) resources: AtomicU64,
}

impl Rights {
    pub(crate) fn new(grants: Grants, limits: Limits, config: serde_json::Value) -> Rights {
        let rights = Rights {
            grants: ArcSwap::default(),
            outfit: AtomicU64::new(0),
            limits: ArcSwap::default(),
            config: ArcSwap::from_pointee(config),
            hot: HotLimits::default(),
            seed: None,
        };
        rights.set_limits(limits);
        rights.set_grants(grants);
        rights
    }

    /// True if the copy that runs needs other folders or variables now.
    pub(crate) fn set_grants(&self, grants: Grants) -> bool {
        for (bits, receives) in self.hot.receives.iter().zip(grants.receives()) {
            bits.store(receives, Ordering::Relaxed);
        }
        let before = self.grants.swap(Arc::new(grants));
        let now = self.grants.load();
        let other = before.folders != now.folders || before.environment != now.environment;
        if other {
            self.outfit.fetch_add(1, Ordering::Relaxed);
        }
        other
    }

    /// True if frames of this kind may be received.
    pub(crate) fn receives(&self, kind: Kind) -> bool {
        let bits = &self.hot.receives[usize::from(kind.0 >> 6)];
        bits.load(Ordering::Relaxed) & (1 << (kind.0 & 63)) != 0
    }

    /// Makes time and chance repeat.
    pub(crate) fn with_seed(mut self, seed: Option<u64>) -> Rights {
        self.seed = seed;
        self
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        let milliseconds = u64::try_from(limits.call_deadline.as_millis()).unwrap_or(u64::MAX);
        self.hot.deadline.store(milliseconds, Ordering::Relaxed);
        self.hot.output_bytes.store(limits.output_bytes, Ordering::Relaxed);
        self.hot.output_frames.store(limits.output_frames, Ordering::Relaxed);
        self.hot.rate.store(limits.rate.unwrap_or(0).into(), Ordering::Relaxed);
        self.hot.fuel.store(limits.fuel.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.hot.host_call_bytes.store(limits.host_call_bytes, Ordering::Relaxed);
        self.hot.resources.store(limits.resources, Ordering::Relaxed);
        self.limits.store(Arc::new(limits));
    }
}

/// The services of one copy of a plugin, with what it used up during the current call.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rights: Arc<Rights>,
    pub(crate) generation: u32,
    tier: Tier,
    /// Frames that were emitted during the call, in order.
    pub(crate) emitted: Vec<Frame>,
    /// Why the call must end, if a service found a limit broken.
    pub(crate) broken: Option<Outcome>,
    /// Bytes of linear memory, kept by the wasm tiers.
    pub(crate) memory: u64,
    /// Time spent in services during the call; only kept when somebody listens.
    pub(crate) host_time: Duration,
    /// Time spent inside the plugin, services included, where the tier can tell it from carrying
    /// the frames; only kept when somebody listens.
    pub(crate) plugin_time: Option<Duration>,
    call: Option<CallId>,
    /// The deadline of what runs now, if it is not the one for calls.
    step_deadline: Option<Duration>,
    /// [`Shared::cancellations`] when the call began.
    cancellations: u64,
    host_calls: u64,
    /// Bytes that the service under way was given.
    carried: usize,
    /// Time and chance, where they must repeat.
    determinism: Option<Determinism>,
    log_bytes: u64,
    emitted_bytes: u64,
    /// Time that a mock took during the call.
    delayed: Duration,
    /// True if the last use of a service was answered by [`Answers`].
    answered: bool,
}

impl Context {
    pub(crate) fn new(
        shared: Arc<Shared>,
        rights: Arc<Rights>,
        generation: u32,
        tier: Tier,
    ) -> Context {
        Context {
            shared,
            determinism: rights.seed.map(Determinism::new),
            rights,
            generation,
            tier,
            emitted: Vec::new(),
            broken: None,
            memory: 0,
            host_time: Duration::ZERO,
            plugin_time: None,
            call: None,
            step_deadline: None,
            cancellations: 0,
            host_calls: 0,
            carried: 0,
            log_bytes: 0,
            emitted_bytes: 0,
            delayed: Duration::ZERO,
            answered: false,
        }
    }

    /// The call under way.
    pub(crate) fn call(&self) -> Option<CallId> {
        self.call
    }

    /// Starts counting anew, for a step of the plugin's life.
    pub(crate) fn begin_step(&mut self, deadline: Duration) {
        self.begin(None);
        self.step_deadline = Some(deadline);
    }

    /// Starts counting anew, for a call.
    #[inline]
    pub(crate) fn begin_call(&mut self, call: CallId) {
        self.begin(Some(call));
        self.step_deadline = None;
        if let Some(determinism) = &mut self.determinism {
            determinism.next_frame();
        }
    }

    /// How long what runs now may take, in milliseconds. May change while it runs.
    pub(crate) fn deadline(&self) -> u64 {
        match self.step_deadline {
            Some(deadline) => u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            None => self.rights.hot.deadline.load(Ordering::Relaxed),
        }
    }

    #[inline]
    fn begin(&mut self, call: Option<CallId>) {
        self.call = call;
        self.broken = None;
        self.host_time = Duration::ZERO;
        self.plugin_time = None;
        self.host_calls = 0;
        self.log_bytes = 0;
        self.emitted_bytes = 0;
        self.delayed = Duration::ZERO;
        self.emitted.clear();
        self.cancellations = self.shared.cancellations.load(Ordering::Relaxed);
    }

    /// Breaks the call off if it was taken back since it began.
    pub(crate) fn check_cancelled(&mut self) -> Result<(), Outcome> {
        if self.shared.cancellations.load(Ordering::Relaxed) == self.cancellations {
            return Ok(());
        }
        self.broken = Some(Outcome::Cancelled);
        Err(Outcome::Cancelled)
    }

    /// Writes a line on behalf of the plugin that it did not write itself, such as its standard
    /// error.
    pub(crate) fn log_on_behalf(&mut self, level: LogLevel, message: &str) {
        // Also after a call that was broken off, and without using up what it may do.
        let (broken, host_calls) = (self.broken.take(), std::mem::take(&mut self.host_calls));
        let _ = self.log(level, message);
        (self.broken, self.host_calls) = (broken, host_calls);
    }

    fn exceed(&mut self, limit: LimitKind, asked: u64, allowed: u64) -> ServiceError {
        self.shared.counters.hit_limit(limit);
        self.broken = Some(Outcome::LimitExceeded { limit, asked, allowed });
        ServiceError::LimitExceeded
    }

    /// Checks the frames that a call answered with against the limits of the output.
    pub(crate) fn check_output(&self, frames: &[Frame]) -> Result<(), Stop> {
        let hot = &self.rights.hot;
        let bytes = frames.iter().map(|frame| frame.encoded_len() as u64).sum();
        let checks = [
            (LimitKind::OutputBytes, bytes, &hot.output_bytes),
            (LimitKind::OutputFrames, frames.len() as u64, &hot.output_frames),
        ];
        for (limit, asked, allowed) in checks {
            let allowed = allowed.load(Ordering::Relaxed);
            if asked > allowed {
                self.shared.counters.hit_limit(limit);
                return Err(Stop::Alive(Outcome::LimitExceeded { limit, asked, allowed }));
            }
        }
        Ok(())
    }

    /// True if one host call may carry so many bytes to the host.
    pub(crate) fn may_carry(&self, bytes: usize) -> bool {
        bytes as u64 <= self.rights.hot.host_call_bytes.load(Ordering::Relaxed)
    }

    /// Makes a host call that carries more than it may, without its arguments: for bindings that
    /// know the length before they copy the bytes.
    pub(crate) fn refuse_carried(
        &mut self,
        service: &'static str,
        permission: Permission,
        bytes: usize,
    ) -> ServiceError {
        self.carried = bytes;
        let nowhere = Parameter::Nothing;
        let result = self.serve(service, permission, nowhere, || Value::Null, |_| Ok(()));
        result.err().unwrap_or(ServiceError::LimitExceeded)
    }

    /// Random bytes, as [`Services::random`] gives them into a buffer.
    pub(crate) fn random_bytes(&mut self, length: usize) -> Result<Vec<u8>, ServiceError> {
        let arguments = || Value::Integer(length as i128);
        let nowhere = Parameter::Nothing;
        let bytes = self.serve("random", Permission::Random, nowhere, arguments, |context| {
            if length > MAX_RANDOM_LEN {
                return Err(ServiceError::Invalid);
            }
            let mut bytes = vec![0; length];
            if context.shared.mock.as_ref().is_some_and(|mock| mock.fill(&mut bytes)) {
                return Ok(bytes);
            }
            match &mut context.determinism {
                Some(determinism) => determinism.fill(&mut bytes),
                None => getrandom::fill(&mut bytes).map_err(|_| ServiceError::Unavailable)?,
            }
            Ok(bytes)
        })?;
        // Answers from elsewhere may be of any length.
        if bytes.len() == length { Ok(bytes) } else { Err(ServiceError::Unavailable) }
    }

    /// What [`Answers`] say, if there are any and they do not leave it to the host.
    fn answer<T: Given>(
        &self,
        service: &'static str,
        arguments: &Value,
    ) -> Option<Result<T, ServiceError>> {
        let answers = self.shared.answers.as_ref().filter(|_| ANSWERABLE.contains(&service))?;
        let plugin = &*self.shared.plugin;
        match answers.answer(&Asked { plugin, call: self.call, service, arguments }) {
            Answered::With(Ok(value)) => {
                Some(T::from_value(value).ok_or(ServiceError::Unavailable))
            }
            Answered::With(Err(error)) => Some(Err(error)),
            Answered::ByHost => None,
        }
    }

    /// Lets a mock delay a call, or fail it. Delays that reach the deadline end the call.
    #[expect(clippy::disallowed_methods, reason = "the delay is what the mock asks for")]
    fn mocked(&mut self, service: &str) -> Result<(), ServiceError> {
        let Some(mock) = &self.shared.mock else {
            return Ok(());
        };
        let verdict = mock.verdict(service);
        if !verdict.delay.is_zero() {
            let deadline = Duration::from_millis(self.deadline());
            let left = deadline.saturating_sub(self.delayed);
            self.delayed += verdict.delay.min(left);
            let end = Instant::now() + verdict.delay.min(left);
            // In short naps, because the call may be taken back meanwhile.
            while let Some(nap) = end.checked_duration_since(Instant::now()) {
                std::thread::sleep(nap.min(MOCK_NAP));
                if self.check_cancelled().is_err() {
                    return Err(ServiceError::Unavailable);
                }
            }
            if verdict.delay > left {
                self.shared.counters.hit_deadline();
                self.broken = Some(Outcome::TimedOut { deadline });
                return Err(ServiceError::Unavailable);
            }
        }
        verdict.fail.map_or(Ok(()), Err)
    }

    /// Checks, runs, counts and records one use of a service.
    fn serve<T: Given>(
        &mut self,
        service: &'static str,
        permission: Permission,
        parameter: Parameter<'_>,
        arguments: impl Fn() -> Value,
        work: impl FnOnce(&mut Context) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.answered = false;
        // Where the plugin cannot be stopped in the middle, nothing is done for it any more.
        match &self.broken {
            None => {}
            Some(Outcome::Cancelled) => return Err(ServiceError::Unavailable),
            Some(_) => return Err(ServiceError::LimitExceeded),
        }
        let span = span::service(&self.about(), service).entered();
        let started = self.shared.journal.is_heard().then(Instant::now);
        self.host_calls += 1;
        let allowed = self.rights.limits.load().host_calls;
        let is_cancelled = self.check_cancelled().is_err();
        let carried = std::mem::take(&mut self.carried);
        let may_carry = self.may_carry(carried);
        let result = if is_cancelled {
            Err(ServiceError::Unavailable)
        } else if self.host_calls > allowed {
            Err(self.exceed(LimitKind::HostCalls, self.host_calls, allowed))
        } else if !may_carry {
            let allowed = self.rights.hot.host_call_bytes.load(Ordering::Relaxed);
            Err(self.exceed(LimitKind::HostCallBytes, carried as u64, allowed))
        } else if self.access(permission, &parameter) {
            let is_answered = self.shared.answers.is_some();
            match is_answered.then(|| self.answer(service, &arguments())).flatten() {
                Some(answer) => {
                    self.answered = true;
                    answer
                }
                None => self.mocked(service).and_then(|()| work(self)),
            }
        } else {
            Err(ServiceError::Denied)
        };
        if let Err(error) = &result {
            span.record("error", tracing::field::display(error));
        }
        if let Some(started) = started {
            let took = started.elapsed();
            self.host_time += took;
            let host_call = HostCall {
                service: service.into(),
                permission,
                // What is too much for the host is too much for its events.
                arguments: if may_carry { arguments() } else { Value::Null },
                result: result.as_ref().map(T::to_value).map_err(|error| *error),
                took,
            };
            self.shared.record(self.generation, What::HostCall { call: self.call, host_call });
        }
        result
    }

    fn about(&self) -> About<'_> {
        let Shared { plugin, instance, .. } = &*self.shared;
        About { plugin, instance: *instance, generation: self.generation, tier: self.tier }
    }

    fn access(&self, permission: Permission, parameter: &Parameter<'_>) -> bool {
        self.shared.access(&self.rights.grants.load(), self.generation, permission, parameter)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn key(key: &str, write: bool) -> Parameter<'_> {
    Parameter::Key { key: Cow::Borrowed(key), write }
}

impl Services for Context {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.carried = message.len();
        let arguments = || Value::Array(vec![Value::Integer(level as i128), text(message)]);
        self.serve("log", Permission::Log, Parameter::Nothing, arguments, |context| {
            let asked = context.log_bytes + message.len() as u64;
            if asked > context.rights.limits.load().log_bytes {
                context.shared.counters.hit_limit(LimitKind::LogBytes);
                return Err(ServiceError::LimitExceeded);
            }
            context.log_bytes = asked;
            Ok(())
        })
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        self.serve(
            "now",
            Permission::Now,
            Parameter::Nothing,
            || Value::Null,
            |context| {
                let mocked = context.shared.mock.as_ref().and_then(MockServices::now);
                let now = mocked.unwrap_or_else(|| {
                    context.determinism.as_mut().map_or_else(unix_nanoseconds, Determinism::now)
                });
                Ok(now - now % context.rights.grants.load().precision.max(1))
            },
        )
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        buffer.copy_from_slice(&self.random_bytes(buffer.len())?);
        Ok(())
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        self.carried = key.len();
        self.serve(
            "config",
            Permission::Config,
            Parameter::Nothing,
            || text(key),
            |context| {
                let config = context.rights.config.load();
                Ok(match key {
                    "" => Some(config.to_string()),
                    key => config.get(key).map(ToString::to_string),
                })
            },
        )
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        self.carried = key.len();
        self.serve(
            "kv-get",
            Permission::Kv,
            self::key(key, false),
            || text(key),
            |context| Ok(context.shared.kv.lock().get(key).cloned()),
        )
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        self.carried = key.len() + value.len();
        let arguments = || Value::Array(vec![text(key), Value::Bytes(value.to_vec())]);
        let parameter = self::key(key, true);
        self.serve("kv-set", Permission::Kv, parameter, arguments, |context| {
            let mut kv = context.shared.kv.lock();
            let others = kv.iter().filter(|(known, _)| *known != key);
            let used: usize = others.map(|(key, value)| key.len() + value.len()).sum();
            let asked = (used + key.len() + value.len()) as u64;
            if asked > context.rights.limits.load().kv_bytes {
                context.shared.counters.hit_limit(LimitKind::KvBytes);
                return Err(ServiceError::LimitExceeded);
            }
            kv.insert(key.to_owned(), value.to_vec());
            Ok(())
        })?;
        if self.answered {
            self.shared.kv.lock().insert(key.to_owned(), value.to_vec());
        }
        Ok(())
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        self.carried = key.len();
        let parameter = self::key(key, true);
        let existed = self.serve(
            "kv-delete",
            Permission::Kv,
            parameter,
            || text(key),
            |context| Ok(context.shared.kv.lock().remove(key).is_some()),
        )?;
        if self.answered {
            self.shared.kv.lock().remove(key);
        }
        Ok(existed)
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        self.carried = prefix.len();
        self.serve(
            "kv-list",
            Permission::Kv,
            key(prefix, false),
            || text(prefix),
            |context| {
                let kv = context.shared.kv.lock();
                let from = kv.range(prefix.to_owned()..).map(|(key, _)| key);
                Ok(from.take_while(|key| key.starts_with(prefix)).cloned().collect())
            },
        )
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        self.carried = frame.encoded_len();
        let arguments = || Value::Integer(frame.encoded_len() as i128);
        let empty = frame.header.as_bytes().is_empty();
        let to = if empty { None } else { frame.header.get_text(Header::TARGET) };
        let parameter = Parameter::Frame { kind: frame.kind, to: to.map(Cow::Owned) };
        self.serve("emit", Permission::Emit, parameter, arguments, |context| {
            let limits = context.rights.limits.load();
            let bytes = context.emitted_bytes + frame.encoded_len() as u64;
            let frames = context.emitted.len() as u64 + 1;
            if bytes > limits.output_bytes {
                return Err(context.exceed(LimitKind::OutputBytes, bytes, limits.output_bytes));
            }
            if frames > limits.output_frames {
                return Err(context.exceed(LimitKind::OutputFrames, frames, limits.output_frames));
            }
            context.emitted_bytes = bytes;
            context.emitted.push(frame.clone());
            Ok(())
        })
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        self.carried = name.len();
        let arguments = || Value::Array(vec![text(name), Value::Float(value)]);
        self.serve("metric", Permission::Metric, Parameter::Nothing, arguments, |_| Ok(()))
    }
}
