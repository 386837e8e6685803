use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::Tier;
use glovebox_abi::{Frame, Header, Kind, Permission, ServiceError};
use glovebox_events::{AnsweredBy, Binding, CallId, Event, HostCall, Outcome, Timing, What};
use serde_json::{Map, Value as Json, json};

/// 1 January 2026, in nanoseconds since the Unix epoch.
const START: u64 = 1_767_225_600_000_000_000;
const MICROSECOND: u64 = 1_000;
/// The made-up plugins; the first ones get most of the calls.
const PLUGINS: [&str; 4] = ["redact", "orders", "pricing", "audit"];
const DEADLINE: Duration = Duration::from_millis(100);

/// A made-up run: four plugins at work on orders, for trying traces of any size.
///
/// The frames have headers with `id`, `content-type` and `user.id`, and about 100 bytes of JSON or
/// CBOR. Latencies have a heavy tail: one call in a hundred takes longer than 3 ms. A few calls
/// fail, time out or trap; some ask for something and get it or are denied. Calls overlap, and the
/// events are in the order of their times.
///
/// The same seed gives the same events on every machine. Only calls that run are in memory.
///
/// ```
/// use glovebox_events::What;
/// use glovebox_trace::MadeUpRun;
///
/// let is_frame = |what: &What| matches!(what, What::FrameIn { .. } | What::FrameOut { .. });
/// let frames = MadeUpRun::new(100, 7).filter(|event| is_frame(&event.what));
/// assert_eq!(frames.count(), 100);
/// ```
#[derive(Debug)]
pub struct MadeUpRun {
    random: Random,
    plugins: [Arc<str>; PLUGINS.len()],
    /// When each plugin has answered all that it was given so far.
    free_at: [u64; PLUGINS.len()],
    /// Frames to make.
    left: u64,
    calls: u64,
    sequence: u64,
    arrival: u64,
    /// Events that are made and wait for their time.
    due: BinaryHeap<Reverse<Due>>,
    made: u64,
    only_inputs: bool,
}

/// An event and its time; events of the same time keep the order in which they were made.
#[derive(Debug)]
struct Due {
    at: u64,
    made: u64,
    plugin: usize,
    what: What,
}

impl MadeUpRun {
    /// A run with exactly this many frames, in and out together.
    pub fn new(frames: u64, seed: u64) -> MadeUpRun {
        let mut run = MadeUpRun::of_plugins(PLUGINS.map(Arc::from), frames, seed);
        for plugin in 0..PLUGINS.len() {
            let what = What::Loaded {
                version: "1.0.0".to_owned(),
                tier: Tier::Wasm,
                binding: Binding::FrameAbi,
                digest: format!("{plugin:064x}"),
                took: Duration::from_millis(2),
                cached: true,
            };
            run.push(START, plugin, what);
        }
        run
    }

    /// The inputs alone, all data and for this plugin, as if nothing had run yet.
    pub fn inputs(plugin: &str, frames: u64, seed: u64) -> MadeUpRun {
        let plugin: Arc<str> = plugin.into();
        let plugins = std::array::from_fn(|_| plugin.clone());
        MadeUpRun { only_inputs: true, ..MadeUpRun::of_plugins(plugins, frames, seed) }
    }

    fn of_plugins(plugins: [Arc<str>; PLUGINS.len()], frames: u64, seed: u64) -> MadeUpRun {
        MadeUpRun {
            random: Random(seed),
            plugins,
            free_at: [START; PLUGINS.len()],
            left: frames,
            calls: 0,
            sequence: 0,
            arrival: START,
            due: BinaryHeap::new(),
            made: 0,
            only_inputs: false,
        }
    }

    fn push(&mut self, at: u64, plugin: usize, what: What) {
        self.due.push(Reverse(Due { at, made: self.made, plugin, what }));
        self.made += 1;
    }

    /// Makes all events of the next call.
    fn call(&mut self) {
        self.calls += 1;
        self.arrival += self.random.between(100, 300) * MICROSECOND;
        // Of two plugins the earlier one, so that they are not all equally busy.
        let pick = |random: &mut Random| random.below(PLUGINS.len() as u64) as usize;
        let plugin = match self.only_inputs {
            true => 0,
            false => pick(&mut self.random).min(pick(&mut self.random)),
        };
        let start = self.arrival.max(self.free_at[plugin]);
        let call = CallId(self.calls);
        let mut order = Order::new(self.calls - 1, &mut self.random);
        if self.only_inputs {
            // A kind that a plugin of which nothing is known accepts.
            order.kind = Kind::DATA;
        }
        let frame = order.question();
        let bytes_in = frame.encoded_len() as u64;
        self.push(start, plugin, What::FrameIn { call, frame });
        self.left -= 1;
        if self.only_inputs {
            return;
        }

        let latency = self.random.latency();
        let outcome = self.random.outcome(latency);
        let latency = latency.min(DEADLINE);
        let end = start + nanoseconds(latency);
        let host = if self.random.one_in(10) {
            let host_call = host_call(&order, &mut self.random);
            let took = host_call.took;
            let at = start + nanoseconds(latency) / 4;
            self.push(at, plugin, What::HostCall { call: Some(call), host_call });
            took.min(latency)
        } else {
            Duration::ZERO
        };
        let answers = match (&outcome, self.random.below(20)) {
            (Outcome::Completed, 0) => 0,
            (Outcome::Completed, 1) => 2,
            (Outcome::Completed, _) => 1,
            _ => 0,
        };
        let answers = self.left.min(answers);
        let mut bytes_out = 0;
        for index in 0..answers as u32 {
            let frame = order.answer(index, &mut self.random);
            bytes_out += frame.encoded_len() as u64;
            let emitted = index > 0;
            self.push(end, plugin, What::FrameOut { call, index, emitted, frame });
        }
        self.left -= answers;
        let boundary = Duration::from_nanos(40).min(latency - host);
        let ended = What::CallEnded {
            call,
            outcome,
            timing: Timing {
                queue: Duration::from_nanos(start - self.arrival),
                guest: latency - host - boundary,
                host,
                boundary,
            },
            bytes_in,
            bytes_out,
            frames_out: answers as u32,
            memory: Some(1 << 20),
        };
        self.push(end, plugin, ended);
        self.free_at[plugin] = end;
    }
}

impl Iterator for MadeUpRun {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        // A call that arrives later starts later, so what is due before can go.
        while self.left > 0 && self.due.peek().is_none_or(|Reverse(due)| due.at > self.arrival) {
            self.call();
        }
        let Reverse(Due { at, plugin, what, .. }) = self.due.pop()?;
        let sequence = self.sequence;
        self.sequence += 1;
        let plugin_id = self.plugins[plugin].clone();
        let instance = plugin as u64;
        Some(Event { sequence, at, plugin: plugin_id, instance, generation: 1, what })
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at, self.made).cmp(&(other.at, other.made))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The content of the frames of one call.
struct Order {
    number: u64,
    user: u64,
    article: u64,
    amount: u64,
    kind: Kind,
    is_cbor: bool,
}

impl Order {
    fn new(number: u64, random: &mut Random) -> Order {
        let kind = match random.below(50) {
            0 => Kind::CONTROL,
            1 => Kind(0x61),
            _ => Kind::DATA,
        };
        // Small numbers are more frequent, as regular customers are.
        let user = random.below(1000).min(random.below(1000));
        let article = random.below(100_000);
        let amount = random.between(1, 99);
        Order { number, user, article, amount, kind, is_cbor: random.one_in(4) }
    }

    fn question(&self) -> Frame {
        self.frame(vec![
            ("order", json!(self.number)),
            ("customer", json!(format!("customer-{}@example.org", self.user))),
            ("article", json!(self.article)),
            ("amount", json!(self.amount)),
            ("note", json!("leave it at the door")),
        ])
    }

    fn answer(&self, index: u32, random: &mut Random) -> Frame {
        let state = if index == 0 { "accepted" } else { "to be audited" };
        self.frame(vec![
            ("order", json!(self.number)),
            ("state", json!(state)),
            ("price", json!(random.below(1_000_000))),
            ("receipt", json!(format!("{:016x}", random.next()))),
        ])
    }

    fn frame(&self, entries: Vec<(&str, Json)>) -> Frame {
        let content_type = if self.is_cbor { "application/cbor" } else { "application/json" };
        let user = vec![(Value::Text("id".to_owned()), Value::Integer(self.user.into()))];
        let header = Header::build()
            .text(Header::ID, format!("order-{}", self.number))
            .text(Header::CONTENT_TYPE, content_type)
            .value("user", Value::Map(user))
            .finish();
        let payload = match self.is_cbor {
            true => {
                // Numbers and texts are all there is.
                let value = |json: &Json| match json.as_u64() {
                    Some(number) => Value::Integer(number.into()),
                    None => Value::Text(json.as_str().unwrap_or_default().to_owned()),
                };
                let entry = |(key, json): &(&str, Json)| (Value::Text((*key).into()), value(json));
                Value::Map(entries.iter().map(entry).collect()).to_bytes()
            }
            false => {
                let entries = entries.into_iter().map(|(key, json)| (key.to_owned(), json));
                Json::Object(entries.collect::<Map<_, _>>()).to_string().into_bytes()
            }
        };
        Frame::new(self.kind, header, payload)
    }
}

fn host_call(order: &Order, random: &mut Random) -> HostCall {
    let text = |text: String| Value::Text(text);
    let (service, permission, arguments, result) = match random.below(4) {
        0 => {
            let line = text(format!("order {} of customer {}", order.number, order.user));
            let arguments = vec![Value::Integer(2), line];
            ("log", Permission::Log, arguments, Ok(Value::Null))
        }
        1 => {
            let arguments = vec![text(format!("price/{}", order.article))];
            ("kv-get", Permission::Kv, arguments, Err(ServiceError::Denied))
        }
        _ => {
            let arguments = vec![text(format!("stock/{}", order.article))];
            let stock = Value::Bytes(json!(random.below(1000)).to_string().into_bytes());
            ("kv-get", Permission::Kv, arguments, Ok(stock))
        }
    };
    HostCall {
        service: service.into(),
        permission,
        arguments: Value::Array(arguments),
        result,
        took: Duration::from_nanos(random.between(200, 2_000)),
        answered_by: AnsweredBy::Host,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Half of all latencies are below 60 µs, a quarter twice as long, and so on.
    fn latency(&mut self) -> Duration {
        let doublings = self.next().trailing_zeros().min(13);
        let base = self.between(30 * MICROSECOND, 60 * MICROSECOND);
        Duration::from_nanos(base << doublings)
    }

    fn outcome(&mut self, latency: Duration) -> Outcome {
        if latency > DEADLINE {
            return Outcome::TimedOut { deadline: DEADLINE, made_up: false };
        }
        match self.below(2000) {
            0 => Outcome::Trapped {
                code: "unreachable".to_owned(),
                message: "wasm `unreachable` instruction executed".to_owned(),
            },
            1..=30 => Outcome::Failed { code: 2, message: "no such article".to_owned() },
            _ => Outcome::Completed,
        }
    }
}
