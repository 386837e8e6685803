//! Instances and what is done to them, in an order that the test forces: a file for each subject, and here
//! the plugins and steps that they share.

use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Failure, Frame, Manifest, Permission, Plugin, Services, State};

use super::plan::Plan;
use super::*;
use crate::instance::Carry;
use crate::policy::{Decision, Lifetime};
use crate::reply::Reply;

mod candidate;
mod drain;
mod files;
mod mocks;
#[cfg(target_arch = "x86_64")]
mod optimise;
mod policy;
mod queues;
mod reload;
mod remains;
mod states;
mod versions;

/// How long a test waits for something that comes soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// The function by which the plugin calls back.
const BACK: &str = "test:host/back@1.0.0#back";

/// Counts its frames and answers with the count. It panics at the frame `die`, and calls the
/// application at the frame `back` and when it starts.
#[derive(Default)]
struct Counter {
    count: u8,
}

impl Plugin for Counter {
    fn initialize(&mut self, services: &mut dyn Services, _: &str) -> Result<(), Failure> {
        // Nobody listens, most of the time.
        let _ = services.call(BACK, b"start");
        Ok(())
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        match &*frame.payload {
            b"die" => panic!("on purpose"),
            b"back" => Ok(vec![Frame::data(services.call(BACK, b"call")?)]),
            _ => {
                self.count += 1;
                Ok(vec![Frame::data(self.count.to_string())])
            }
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(Some(State { version: 1, bytes: vec![self.count] }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        self.count = state.bytes[0];
        Ok(())
    }
}

fn counter(keys: &str) -> LoadRequest {
    let manifest = Manifest::parse(&format!("[plugin]\nid = \"counter\"\n{keys}")).unwrap();
    LoadRequest::core(manifest, || Box::new(Counter::default()))
}

/// Writes a module that answers each frame with a letter, or traps without one.
fn write(folder: &Path, letter: Option<char>, keys: &str) {
    let process = match letter {
        Some(letter) => format!(
            "(i32.store8 (i32.const 2060) (i32.const {}))
             (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 13))",
            u32::from(letter)
        ),
        None => "unreachable".to_owned(),
    };
    let module = format!(
        r#"(module
            (memory (export "memory") 1)
            (data (i32.const 2048) "\52\00\01\00\00\00\00\00\01\00\00\00")
            (func (export "glovebox_abi_0_1"))
            (func (export "glovebox_buffer") (param i32) (result i32) i32.const 4096)
            (func (export "glovebox_process") (param i32) (result i64) {process}))"#
    );
    fs::write(folder.join("letter.wat"), module).unwrap();
    let manifest = format!("[plugin]\nid = \"letter\"\n[artifact]\nwasm = \"letter.wat\"\n{keys}");
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
}

fn host() -> Host {
    Host::builder().build().unwrap()
}

fn load(host: &Host, request: LoadRequest) -> InstanceId {
    host.load(request).wait().unwrap_or_else(|error| panic!("{error}"))
}

/// The answer to a frame, or its outcome.
fn told(reply: &Reply) -> String {
    match reply.frames.first() {
        Some(frame) => String::from_utf8_lossy(&frame.payload).into_owned(),
        None => reply.outcome.name().to_owned(),
    }
}

fn ask(host: &Host, id: InstanceId, payload: &'static str) -> String {
    told(&host.call(id, &Frame::data(payload)))
}

fn is_granted(host: &Host, id: InstanceId, permission: Permission) -> bool {
    host.plugin(id).unwrap().permission(permission).unwrap().granted
}

/// All events, in words.
#[derive(Default)]
struct Remembered(Mutex<Vec<String>>);

impl glovebox_events::Sink for Remembered {
    fn record(&self, event: &glovebox_events::Event) {
        self.0.lock().push(format!("{:?}", event.what));
    }
}

/// Does something on a thread of its own.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, is_done) = sync_channel(1);
    std::thread::spawn(move || done.send(work()));
    is_done
}
