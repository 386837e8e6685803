//! A plugin that does what frames tell it: a word, and a number or a text.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_abi::wire::Load;
use glovebox_abi::{Failure, Frame, Health, LogLevel, Plugin, Services, State};
use glovebox_worker::{Handler, LoadFailure};

/// Loads itself; the binding `none` it cannot load.
pub(crate) struct Commands;

static CANCELLED: AtomicBool = AtomicBool::new(false);

impl Handler for Commands {
    fn load(&mut self, load: &Load) -> Result<Box<dyn Plugin>, LoadFailure> {
        if load.binding == "none" {
            return Err(LoadFailure::new("sniff", Failure::invalid("there is no such binding")));
        }
        if load.binding == "library" {
            let path = std::ffi::CString::new(load.config.as_str())
                .map_err(|error| LoadFailure::new("open", Failure::invalid(error.to_string())))?;
            // SAFETY: its constructors are those of the C library.
            if unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) }.is_null() {
                return Err(LoadFailure::new("open", Failure::invalid("it cannot be opened")));
            }
        }
        // The plugin may be opened here, so that it must be in the sandbox already.
        assert!(std::fs::read_dir("/").is_err(), "a plugin is loaded outside of the sandbox");
        Ok(Box::new(Test { state: Vec::new() }))
    }

    fn canceller(&self) -> Option<Box<dyn Fn(u64) + Send>> {
        Some(Box::new(|_| CANCELLED.store(true, Ordering::Relaxed)))
    }
}

struct Test {
    state: Vec<u8>,
}

impl Plugin for Test {
    fn initialize(&mut self, services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        services.log(LogLevel::Info, config)?;
        if config.contains("refuse") {
            return Err(Failure::new(1001, "refused"));
        }
        Ok(())
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let text = String::from_utf8_lossy(&frame.payload);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let number = rest.parse::<usize>().unwrap_or(0);
        match word {
            "many" => return Ok((0..number).map(|_| frame.clone()).collect()),
            "large" => return Ok(vec![Frame::data(vec![b'x'; number])]),
            "fail" => return Err(Failure::new(1000, rest)),
            "set" => services.kv_set("key", rest.as_bytes())?,
            "get" => {
                let value = services.kv_get("key")?.unwrap_or_default();
                return Ok(vec![Frame::data(value)]);
            }
            "ask" => (0..number).try_for_each(|_| services.metric("asked", 1.0))?,
            "ask-forever" => loop {
                services.metric("asked", 1.0)?;
            },
            "keep" => self.state = rest.as_bytes().to_vec(),
            "environment" => {
                let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
                return Ok(vec![Frame::data(names.join(" "))]);
            }
            "descriptors" => return Ok(vec![Frame::data(descriptors())]),
            "print" => {
                let _ = std::io::stdout().write_all(&vec![b'o'; number]);
                let _ = std::io::stderr().write_all(b"errors");
            }
            "loop" => loop {
                std::hint::black_box(0);
            },
            "loop-until-cancelled" => {
                while !CANCELLED.swap(false, Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                return Err(Failure::new(1002, "cancelled"));
            }
            "exit" => std::process::exit(number as i32),
            "raise" => raise(number as i32),
            "segfault" => {
                let nowhere = std::hint::black_box(8 as *mut u8);
                // SAFETY: none; to crash is what this is for.
                unsafe { nowhere.write_volatile(1) };
            }
            "abort" => std::process::abort(),
            "panic" => panic!("as told"),
            "allocate" => {
                let mut bytes = vec![0_u8; number];
                bytes.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                return Ok(vec![Frame::data(vec![bytes[0]])]);
            }
            "fork" => return Ok(vec![Frame::data(fork(number))]),
            // SAFETY: it takes nothing. No list has it.
            "unlisted" => drop(unsafe { libc::umask(0) }),
            _ => return Ok(vec![frame.clone()]),
        }
        Ok(Vec::new())
    }

    fn health(&mut self) -> Health {
        Health::bad(7, "as told")
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok((!self.state.is_empty()).then(|| State { version: 3, bytes: self.state.clone() }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        if state.version != 3 {
            return Err(Failure::invalid("another version"));
        }
        self.state = state.bytes;
        Ok(())
    }

    fn cleanup(&mut self) {
        println!("cleaned up");
    }
}

fn raise(signal: i32) {
    // SAFETY: the action of a signal becomes the usual one, and then it is sent to this process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
}

/// The descriptors that are open.
fn descriptors() -> String {
    // SAFETY: it takes numbers, and changes nothing.
    let open = (0..1024).filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } != -1);
    open.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

/// Starts processes that do not end by themselves, and says how many it could, and which.
fn fork(count: usize) -> String {
    let mut started = Vec::new();
    for _ in 0..count {
        // SAFETY: the child makes no use of what other threads may have been doing: it only waits.
        match unsafe { libc::fork() } {
            -1 => break,
            0 => loop {
                // SAFETY: it takes nothing.
                unsafe { libc::pause() };
            },
            child => started.push(child.to_string()),
        }
    }
    started.join(" ")
}
