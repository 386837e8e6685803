//! Does whatever a plugin can do, one command a frame.
//!
//! A command is the text of a data frame; every other frame is answered with itself. The answer of
//! a service comes back as text.

use std::fmt::Debug;

use glovebox_sdk::{
    Failure, Frame, Header, Health, Kind, LogLevel, Plugin, ServiceError, Services, State,
};

/// The plugin: how many frames it has answered, and what it was told.
#[derive(Debug, Default)]
pub struct Parity {
    frames: u64,
    config: String,
    state_version: Option<u32>,
}

/// The layout of the state: the number of frames, little-endian. Version 1 was the number as text.
const STATE_VERSION: u32 = 2;

impl Plugin for Parity {
    fn initialize(&mut self, services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        config.clone_into(&mut self.config);
        match services.config("start")?.as_deref() {
            Some("\"fail\"") => Err(Failure::new(1001, "told to fail at the start")),
            Some("\"panic\"") => panic!("told to panic at the start"),
            Some("\"flood\"") => {
                // A polite plugin would stop at the first refusal.
                for _ in 0..60 {
                    let _ = services.now();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        self.frames += 1;
        if frame.kind != Kind::DATA {
            return Ok(vec![frame.clone()]);
        }
        let text = str::from_utf8(&frame.payload)
            .map_err(|_| Failure::invalid("a command is a text in UTF-8"))?;
        self.obey(services, text, frame)
    }

    fn health(&mut self) -> Health {
        if self.config.contains("\"start\":\"sick\"") {
            Health::bad(1002, "told to be sick")
        } else {
            Health::good()
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        match self.state_version {
            Some(0) => Ok(None),
            Some(1) => Ok(Some(State { version: 1, bytes: self.frames.to_string().into_bytes() })),
            Some(13) => Err(Failure::new(1003, "told not to give its state")),
            version => {
                let bytes = self.frames.to_le_bytes().to_vec();
                Ok(Some(State { version: version.unwrap_or(STATE_VERSION), bytes }))
            }
        }
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        let damaged = || Failure::invalid("the state is damaged");
        self.frames = match state.version {
            1 => {
                let text = str::from_utf8(&state.bytes).map_err(|_| damaged())?;
                text.parse().map_err(|_| damaged())?
            }
            STATE_VERSION => u64::from_le_bytes(state.bytes.try_into().map_err(|_| damaged())?),
            version => {
                let message = format!("version {version} of the state is not known");
                return Err(Failure::new(Failure::UNSUPPORTED, message));
            }
        };
        Ok(())
    }
}

impl Parity {
    fn obey(
        &mut self,
        services: &mut dyn Services,
        command: &str,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let answer = match verb {
            "echo" => return Ok(vec![frame.clone()]),
            "none" => return Ok(Vec::new()),
            "frames" => {
                let count = number(rest)?;
                return Ok((0..count).map(|n| Frame::data(n.to_string())).collect());
            }
            "bytes" => return Ok(vec![Frame::data(vec![b'x'; number(rest)?])]),
            "kind" => return Ok(vec![Frame::new(kind(rest)?, Header::empty(), "of that kind")]),
            "kinds" => {
                let kinds = [Kind::DATA, Kind::CONTROL, Kind::ERROR, Kind(0x60)];
                let frame = |(n, kind)| {
                    Frame::new(kind, Header::build().integer("n", n).finish(), "of that kind")
                };
                return Ok((0..).zip(kinds).map(frame).collect());
            }
            "fail" => {
                let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
                return Err(Failure::new(number(code)? as u32, message));
            }
            "fail-long" => return Err(Failure::new(1004, "é".repeat(number(rest)?))),
            "panic" => panic!("{rest}"),
            "count" => self.frames.to_string(),
            "config-at-start" => self.config.clone(),
            "state-version" => {
                self.state_version = Some(number(rest)? as u32);
                "done".to_owned()
            }
            "repeat" => {
                let (times, command) = rest.split_once(' ').unwrap_or((rest, "echo"));
                let mut answers = Vec::new();
                for _ in 0..number(times)? {
                    answers = self.obey(services, command, frame)?;
                }
                return Ok(answers);
            }
            "service" => serve(services, rest)?,
            // Fails where the other only tells.
            "needs" => match serve(services, rest)? {
                refused if refused.starts_with("refused") => {
                    return Err(Failure::new(Failure::SERVICE, refused));
                }
                answer => answer,
            },
            verb => return Err(Failure::invalid(format!("unknown command `{verb}`"))),
        };
        Ok(vec![Frame::data(answer)])
    }
}

/// Uses one service and tells what it said.
fn serve(services: &mut dyn Services, call: &str) -> Result<String, Failure> {
    let (service, rest) = call.split_once(' ').unwrap_or((call, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(match service {
        "log" => told(services.log(LogLevel::from_u32(number(first)? as u32), second)),
        "log-bytes" => told(services.log(LogLevel::Info, &"x".repeat(number(first)?))),
        "now" => told(services.now().map(|now| now > 0)),
        "random" => {
            let mut bytes = vec![0; number(first)?];
            told(services.random(&mut bytes).map(|()| bytes.len()))
        }
        "config" => told(services.config(rest)),
        "kv-get" => told(services.kv_get(rest)),
        "kv-set" => told(services.kv_set(first, second.as_bytes())),
        "kv-bytes" => told(services.kv_set(first, &vec![0; number(second)?])),
        "kv-delete" => told(services.kv_delete(rest)),
        "kv-list" => told(services.kv_list(rest)),
        "emit" => told(services.emit(&Frame::data(rest.to_owned()))),
        "emit-bytes" => told(services.emit(&Frame::data(vec![0; number(first)?]))),
        "emit-kind" => {
            told(services.emit(&Frame::new(kind(first)?, Header::empty(), second.to_owned())))
        }
        "emit-as" => {
            let header = Header::build().text(Header::SOURCE, first).text("a", "b").finish();
            told(services.emit(&Frame::new(Kind::DATA, header, second.to_owned())))
        }
        "emit-to" => {
            let header = Header::build().text(Header::TARGET, first).finish();
            told(services.emit(&Frame::new(Kind::CONTROL, header, second.to_owned())))
        }
        "call" => told(
            services
                .call(first, second.as_bytes())
                .map(|given| String::from_utf8_lossy(&given).into_owned()),
        ),
        "metric" => told(services.metric(first, second.parse().unwrap_or(f64::NAN))),
        service => return Err(Failure::invalid(format!("unknown service `{service}`"))),
    })
}

fn told(result: Result<impl Debug, ServiceError>) -> String {
    match result {
        Ok(value) => format!("granted {value:?}"),
        Err(error) => format!("refused {error}"),
    }
}

fn kind(text: &str) -> Result<Kind, Failure> {
    text.parse().map(Kind).map_err(|_| Failure::invalid(format!("`{text}` is no byte")))
}

fn number(text: &str) -> Result<usize, Failure> {
    text.parse().map_err(|_| Failure::invalid(format!("`{text}` is no number")))
}
