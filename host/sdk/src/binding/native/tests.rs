//! Calls a plugin through the table, as a host does, with `TestHost` behind the host's table.

use super::*;
use crate::testing::TestHost;

/// Uses every service, fails and panics on demand.
#[derive(Default)]
struct Everything {
    seen: u32,
}

impl Plugin for Everything {
    fn initialize(&mut self, services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        match config {
            "panic" => panic!("no start"),
            "fail" => Err(Failure::new(1000, "no start")),
            _ => Ok(services.log(LogLevel::Info, config)?),
        }
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        self.seen += 1;
        let text = match &frame.payload[..] {
            b"echo" => return Ok(vec![frame.clone(), frame.clone()]),
            b"now" => services.now()?.to_string(),
            b"random" => {
                let mut bytes = [0; 3];
                services.random(&mut bytes)?;
                format!("{bytes:?}")
            }
            b"config" => format!("{:?}", services.config("")?),
            b"config-absent" => format!("{:?}", services.config("absent")?),
            b"set" => format!("{:?}", services.kv_set("key", b"value")?),
            b"get" => format!("{:?}", services.kv_get("key")?),
            b"list" => format!("{:?}", services.kv_list("k")?),
            b"delete" => format!("{:?}", services.kv_delete("key")?),
            b"emit" => format!("{:?}", services.emit(frame)?),
            b"call" => String::from_utf8_lossy(&services.call("shop", b"apple")?).into_owned(),
            b"call-absent" => format!("{:?}", services.call("absent", b"")),
            b"metric" => format!("{:?}", services.metric("seen", self.seen.into())?),
            b"fail" => return Err(Failure::new(1001, "not today")),
            b"panic" => panic!("on demand"),
            b"own" => return Err(Failure::new(Failure::PANIC, "it did not panic")),
            b"bomb" => std::panic::panic_any(Bomb),
            _ => String::new(),
        };
        Ok(vec![Frame::data(text)])
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        let bytes = vec![self.seen as u8];
        Ok(Some(State { version: 3, bytes }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        self.seen = (state.version * u32::from(state.bytes[0])).max(1);
        Ok(())
    }
}

/// The frames, state and message that one call handed to the output.
#[derive(Default)]
struct Taken {
    frames: Vec<String>,
    state: Option<(u32, Vec<u8>)>,
    message: String,
}

fn output(taken: &mut Taken) -> Output {
    unsafe extern "C" fn frame(context: *mut c_void, kind: u8, header: Slice, payload: Slice) {
        // SAFETY: the context is a `Taken` that outlives the call, the slices are lent.
        let (taken, header, payload) =
            unsafe { (&mut *context.cast::<Taken>(), bytes(&header), bytes(&payload)) };
        let payload = String::from_utf8_lossy(payload);
        taken.frames.push(format!("{kind:x}/{}/{payload}", header.len()));
    }
    unsafe extern "C" fn state(context: *mut c_void, version: u32, state: Slice) {
        // SAFETY: as above.
        let (taken, state) = unsafe { (&mut *context.cast::<Taken>(), bytes(&state)) };
        taken.state = Some((version, state.to_vec()));
    }
    unsafe extern "C" fn message(context: *mut c_void, code: u32, message: Slice) {
        // SAFETY: as above.
        let (taken, message) = unsafe { (&mut *context.cast::<Taken>(), bytes(&message)) };
        taken.message = format!("{code}: {}", String::from_utf8_lossy(message));
    }
    Output { context: ptr::from_mut(taken).cast(), frame, state, message }
}

/// The services of a `TestHost` behind a table.
fn host_table(services: &mut TestHost) -> HostTable {
    fn code(result: Result<(), ServiceError>) -> u32 {
        result.map_or_else(ServiceError::code, |()| 0)
    }
    /// # Safety
    ///
    /// The context must be the host that the table was made of.
    unsafe fn host<'a>(context: *mut c_void) -> &'a mut TestHost {
        // SAFETY: the caller's promise.
        unsafe { &mut *context.cast::<TestHost>() }
    }
    /// # Safety
    ///
    /// The slice must be lent.
    unsafe fn text(slice: &Slice) -> &str {
        // SAFETY: the caller's promise.
        str::from_utf8(unsafe { bytes(slice) }).unwrap()
    }
    /// # Safety
    ///
    /// The receiver must be the plugin's.
    unsafe fn give<T: AsRef<[u8]>>(
        result: Result<impl IntoIterator<Item = T>, ServiceError>,
        to: Receiver,
    ) -> u32 {
        code(result.map(|values| {
            for value in values {
                // SAFETY: the caller's promise.
                unsafe { (to.receive)(to.context, Slice::new(value.as_ref())) };
            }
        }))
    }
    // SAFETY, for all of them: the plugin passes its own arguments on, lent for the call.
    unsafe extern "C" fn log(context: *mut c_void, level: u32, message: Slice) -> u32 {
        // SAFETY: see above.
        code(unsafe { host(context).log(LogLevel::from_u32(level), text(&message)) })
    }
    unsafe extern "C" fn now(context: *mut c_void, nanoseconds: *mut u64) -> u32 {
        // SAFETY: see above.
        code(unsafe { host(context) }.now().map(|now| unsafe { *nanoseconds = now }))
    }
    unsafe extern "C" fn random(context: *mut c_void, buffer: *mut u8, length: usize) -> u32 {
        // SAFETY: see above.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
        // SAFETY: see above.
        code(unsafe { host(context) }.random(buffer))
    }
    unsafe extern "C" fn config(context: *mut c_void, key: Slice, to: Receiver) -> u32 {
        // SAFETY: see above.
        unsafe { give(host(context).config(text(&key)), to) }
    }
    unsafe extern "C" fn kv_get(context: *mut c_void, key: Slice, to: Receiver) -> u32 {
        // SAFETY: see above.
        unsafe { give(host(context).kv_get(text(&key)), to) }
    }
    unsafe extern "C" fn kv_set(context: *mut c_void, key: Slice, value: Slice) -> u32 {
        // SAFETY: see above.
        code(unsafe { host(context).kv_set(text(&key), bytes(&value)) })
    }
    unsafe extern "C" fn kv_delete(context: *mut c_void, key: Slice, existed: *mut u32) -> u32 {
        // SAFETY: see above.
        let result = unsafe { host(context).kv_delete(text(&key)) };
        // SAFETY: see above.
        code(result.map(|was| unsafe { *existed = was.into() }))
    }
    unsafe extern "C" fn kv_list(context: *mut c_void, prefix: Slice, to: Receiver) -> u32 {
        // SAFETY: see above.
        unsafe { give(host(context).kv_list(text(&prefix)), to) }
    }
    unsafe extern "C" fn emit(
        context: *mut c_void,
        kind: u8,
        header: Slice,
        payload: Slice,
    ) -> u32 {
        // SAFETY: see above.
        let (host, header, payload) =
            unsafe { (host(context), bytes(&header), bytes(&payload).to_vec()) };
        let header = Header::from_cbor(Bytes::copy_from_slice(header)).unwrap();
        code(host.emit(&Frame::new(Kind(kind), header, payload)))
    }
    unsafe extern "C" fn metric(context: *mut c_void, name: Slice, value: f64) -> u32 {
        // SAFETY: see above.
        code(unsafe { host(context).metric(text(&name), value) })
    }
    unsafe extern "C" fn call(
        context: *mut c_void,
        function: Slice,
        argument: Slice,
        to: Receiver,
    ) -> u32 {
        // SAFETY: see above.
        let given = unsafe { host(context).call(text(&function), bytes(&argument)) };
        // SAFETY: see above.
        unsafe { give(given.map(Some), to) }
    }
    HostTable {
        abi_version: ProtocolVersion::CURRENT.to_u32(),
        struct_size: size_of::<HostTable>() as u32,
        context: ptr::from_mut(services).cast(),
        log,
        now,
        random,
        config,
        kv_get,
        kv_set,
        kv_delete,
        kv_list,
        emit,
        metric,
        call,
    }
}

/// Creates a plugin, gives it frames with these payloads, and shows each answer.
fn run(config: &str, payloads: &[&str]) -> Vec<String> {
    let table = table::<Everything>();
    let mut host = TestHost::default();
    host.config = "{\"a\":1}".to_owned();
    host.functions.insert("shop".to_owned(), |given| Ok([b"given ", given].concat()));
    let host_table = host_table(&mut host);
    let mut taken = Taken::default();
    let config = Slice::new(config.as_bytes());
    // SAFETY: table, host and output outlive the calls; the instance is used until destroyed.
    unsafe {
        let instance = (table.create)(&raw const host_table, config, &output(&mut taken));
        if instance.is_null() {
            return vec![taken.message];
        }
        let mut answers = Vec::new();
        for payload in payloads {
            let mut taken = Taken::default();
            let out = output(&mut taken);
            let code = match *payload {
                "health" => (table.health)(instance, &out),
                "save" => (table.save_state)(instance, &out),
                "restore" => (table.restore_state)(instance, 3, Slice::new(&[2]), &out),
                "bad header" => {
                    (table.process)(instance, 0x52, Slice::new(&[1]), Slice::new(&[]), &out)
                }
                text => {
                    let header = Slice::new(&[0xA0]);
                    (table.process)(instance, 0x60, header, Slice::new(text.as_bytes()), &out)
                }
            };
            answers.push(match taken {
                Taken { message, .. } if code != 0 => format!("failed {message}"),
                Taken { state: Some(state), .. } => format!("{state:?}"),
                Taken { frames, .. } => frames.join(" "),
            });
        }
        (table.destroy)(instance);
        answers
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("again");
    }
}

#[test]
fn calls_go_through_the_table() {
    fn check(config: &str, payload: &str, expected: &str) {
        let answer = run(config, &["set", payload]).pop().unwrap();
        assert!(answer.contains(expected), "{payload}: {answer:?} does not say {expected:?}");
    }
    check("{}", "echo", "60/1/echo 60/1/echo");
    check("{}", "now", "52/0/1700000000000000000");
    check("{}", "random", "52/0/[193, 92, 2]");
    check("{}", "config", r#"52/0/Some("{\"a\":1}")"#);
    check("{}", "config-absent", "52/0/None");
    check("{}", "get", "Some([118, 97, 108, 117, 101])");
    check("{}", "list", r#"["key"]"#);
    check("{}", "delete", "true");
    check("{}", "emit", "()");
    check("{}", "metric", "()");
    check("{}", "call", "given apple");
    check("{}", "call-absent", "Err(Unavailable)");
    check("{}", "fail", "failed 1001: not today");
    check("{}", "bad header", "failed 2: expected a map");
    check("{}", "save", "(3, [1])");
    check("{}", "restore", "");
    check("{}", "health", "");
    check("{}", "panic", "failed 5: panicked at");
    check("{}", "panic", "on demand");
    check("{}", "own", "failed 1: it did not panic");
    check("{}", "bomb", "failed 5: ");
    check("fail", "", "1000: no start");
    check("panic", "", "no start");
}

#[test]
fn after_a_panic_nothing_runs() {
    let answers = run("{}", &["panic", "echo", "health", "save", "restore"]);
    for answer in &answers[1..] {
        assert!(answer.starts_with("failed 5: not run, because it panicked earlier"), "{answer}");
    }
}
