//! The services themselves: log, clock, random bytes, configuration, store, emit, metrics.

use std::borrow::Cow;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Frame, Header, Kind, LogLevel, Permission, ServiceError, Services, text};

use glovebox_events::AnsweredBy;

use super::CopyServices;
use super::answers::HTTP_REQUEST;
use super::arguments::Argument;
use super::determinism::Determinism;
use super::functions::{NoBytes, bytes_of};
use super::store::KeyValues;
use crate::policy::Parameter;
use crate::record::unix_nanoseconds;

const MAX_RANDOM_LEN: usize = 64 << 10;

/// The longest line of a log that is kept, in bytes. All of a line counts against the limit.
pub(crate) const MAX_LINE_LEN: usize = 16 << 10;

/// The longest name of a measurement or function that is kept, in bytes.
const MAX_NAME_LEN: usize = 256;

/// A request of a plugin of another host.
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    /// The host and port in the URL.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) body: &'a [u8],
}

impl CopyServices {
    /// The body of the answer to a request. There is no client: a mock answers, as the function
    /// `http-request` of the URL, or nobody.
    pub(crate) fn http_request(
        &mut self,
        request: &HttpRequest<'_>,
    ) -> Result<Vec<u8>, ServiceError> {
        let HttpRequest { method, url, host, port, body } = *request;
        self.carried = url.len().saturating_add(body.len());
        let arguments = [Argument::Text(method), Argument::Text(url), Argument::Bytes(body)];
        let parameter = Parameter::Peer { host: Cow::Borrowed(host), port };
        self.serve(HTTP_REQUEST, Permission::Network, parameter, &arguments, |context| {
            let mock = context.shared.mock.load_full();
            let url = Value::Text(url.to_owned());
            let effect = mock.and_then(|mock| mock.function(HTTP_REQUEST, &url));
            let effect = effect.ok_or(ServiceError::Unavailable)?;
            context.answered_by = AnsweredBy::Mock;
            context.delay(effect.delay)?;
            let answer = effect.answer.unwrap_or(Err(ServiceError::Unavailable));
            Ok(bytes_of(answer.map_err(Into::into))?)
        })
    }

    /// [`Services::emit`] of what a binding has read. A frame that cannot be read is a use of the
    /// service too, which is counted, recorded, and refused.
    pub(crate) fn emit_read<E>(
        &mut self,
        bytes: usize,
        frame: Result<Frame, E>,
    ) -> Result<(), ServiceError> {
        let Ok(frame) = frame else {
            self.carried = bytes;
            let arguments = [Argument::Integer(bytes as i128)];
            let invalid = |_: &mut CopyServices| Err::<(), _>(ServiceError::Invalid);
            return self.serve("emit", Permission::Emit, Parameter::Nothing, &arguments, invalid);
        };
        self.emit(&frame)
    }

    /// True if the store may hold this entry too.
    fn has_room(&self, kv: &KeyValues, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        if kv.bytes_with(key, value) as u64 <= self.rights.limits.load().kv_bytes {
            return Ok(());
        }
        self.shared.counters.hit_limit(LimitKind::KvBytes);
        Err(ServiceError::LimitExceeded)
    }

    /// Random bytes, as [`Services::random`] gives them into a buffer.
    pub(crate) fn random_bytes(&mut self, length: usize) -> Result<Vec<u8>, ServiceError> {
        let (permission, nowhere) = (Permission::Random, Parameter::Nothing);
        let arguments = [Argument::Integer(length as i128)];
        let within = |_: &CopyServices| match length <= MAX_RANDOM_LEN {
            true => Ok(()),
            false => Err(ServiceError::Invalid),
        };
        let bytes =
            self.serve_within("random", permission, nowhere, &arguments, within, |context| {
                let mut bytes = vec![0; length];
                if context.shared.mock.load().as_ref().is_some_and(|mock| mock.fill(&mut bytes)) {
                    context.answered_by = AnsweredBy::Mock;
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
}

impl Services for CopyServices {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.carried = message.len();
        let line = text::cut(message, MAX_LINE_LEN);
        let arguments = [Argument::Integer(level as i128), Argument::Text(&line)];
        self.serve("log", Permission::Log, Parameter::Nothing, &arguments, |context| {
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
        self.serve("now", Permission::Now, Parameter::Nothing, &[], |context| {
            let mocked = context.shared.mock.load().as_ref().and_then(|mock| mock.now());
            let now = mocked.unwrap_or_else(|| {
                context.determinism.as_mut().map_or_else(unix_nanoseconds, Determinism::now)
            });
            let (now, set_by) = context.shared.shifted(now);
            if set_by != AnsweredBy::Host {
                context.answered_by = set_by;
            } else if mocked.is_some() {
                context.answered_by = AnsweredBy::Mock;
            }
            Ok(now - now % context.rights.grants.load().precision.max(1))
        })
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
            &[Argument::Text(key)],
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
            Parameter::key(key, false),
            &[Argument::Text(key)],
            |context| Ok(context.shared.kv.lock().entries().get(key).cloned()),
        )
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        self.carried = key.len() + value.len();
        let arguments = [Argument::Text(key), Argument::Bytes(value)];
        let parameter = Parameter::key(key, true);
        let within =
            |context: &CopyServices| context.has_room(&context.shared.kv.lock(), key, value);
        self.serve_within("kv-set", Permission::Kv, parameter, &arguments, within, |context| {
            let mut kv = context.shared.kv.lock();
            // Again: other copies use the store too.
            context.has_room(&kv, key, value)?;
            kv.set(key, value);
            Ok(())
        })?;
        if self.answered_by == AnsweredBy::Application {
            self.shared.kv.lock().set(key, value);
        }
        Ok(())
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        self.carried = key.len();
        let parameter = Parameter::key(key, true);
        let existed = self.serve(
            "kv-delete",
            Permission::Kv,
            parameter,
            &[Argument::Text(key)],
            |context| Ok(context.shared.kv.lock().remove(key)),
        )?;
        if self.answered_by == AnsweredBy::Application {
            self.shared.kv.lock().remove(key);
        }
        Ok(existed)
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        self.carried = prefix.len();
        self.serve(
            "kv-list",
            Permission::Kv,
            Parameter::key(prefix, false),
            &[Argument::Text(prefix)],
            |context| Ok(context.shared.kv.lock().keys(prefix)),
        )
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        self.carried = frame.encoded_len();
        let arguments = [Argument::Integer(frame.encoded_len() as i128)];
        let empty = frame.header.as_bytes().is_empty();
        let to = if empty { None } else { frame.header.get_text(Header::TARGET) };
        let parameter = Parameter::Frame { kind: frame.kind, to: to.map(Cow::Owned) };
        let is_reserved = frame.kind.is_reserved();
        let within = |_: &CopyServices| match is_reserved {
            true => Err(ServiceError::Invalid),
            false => Ok(()),
        };
        let emitted =
            self.serve_within("emit", Permission::Emit, parameter, &arguments, within, |context| {
                let limits = context.rights.limits.load();
                let bytes = context.emitted_bytes + frame.encoded_len() as u64;
                let frames = context.emitted.len() as u64 + 1;
                if bytes > limits.output_bytes {
                    return Err(context.exceed(LimitKind::OutputBytes, bytes, limits.output_bytes));
                }
                if frames > limits.output_frames {
                    return Err(context.exceed(
                        LimitKind::OutputFrames,
                        frames,
                        limits.output_frames,
                    ));
                }
                context.emitted_bytes = bytes;
                let mut frame = frame.clone();
                // No plugin speaks for another one. Most frames name no source.
                if !empty && frame.header.get(Header::SOURCE).is_some() {
                    let own = &context.shared.plugin;
                    frame.header = frame.header.with_text(Header::SOURCE, own);
                }
                context.emitted.push(frame);
                Ok(())
            });
        if is_reserved && emitted == Err(ServiceError::Invalid) {
            let message = format!(
                "a frame of the kind {} was not emitted, which is reserved; use {}",
                frame.kind,
                Kind::USABLE
            );
            self.log_on_behalf(LogLevel::Warn, &message);
        }
        emitted
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        self.carried = name.len();
        let name = text::cut(name, MAX_NAME_LEN);
        let arguments = [Argument::Text(&name), Argument::Float(value)];
        self.serve("metric", Permission::Metric, Parameter::Nothing, &arguments, |_| Ok(()))
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let name = text::cut(function, MAX_NAME_LEN);
        let carried = function.len() + argument.len();
        let given = self.call_function(&name, &Value::Bytes(argument.to_vec()), carried);
        bytes_of(given).map_err(|error| {
            if let NoBytes::Kind(kind) = error {
                let name = text::inert(&name);
                self.log_on_behalf(
                    LogLevel::Warn,
                    &format!(
                        "`{name}` gave {kind}, and this plugin takes bytes: give a text, bytes, a \
                         number or a truth, or build the plugin as a component"
                    ),
                );
            }
            error.into()
        })
    }
}
