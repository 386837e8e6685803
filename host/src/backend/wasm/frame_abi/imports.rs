//! The imports of the frame ABI: host functions that read and write the module's memory.

use std::borrow::Cow;

use bytes::Bytes;
use glovebox_abi::{Frame, LogLevel, Permission, ServiceError, Services, frame_abi};
use wasmtime::{Caller, Engine, Extern, Linker};

use crate::backend::wasm::module::Data;
use crate::backend::wasm::wasi::preview1;
use crate::services::CopyServices;

/// The functions that a module may import.
pub(super) const NAMES: [&str; 12] = [
    "log",
    "now",
    "random",
    "config",
    "kv_get",
    "kv_set",
    "kv_delete",
    "kv_list",
    "emit",
    "metric",
    "call",
    "call_result",
];

/// The access of a host function to the module's memory.
struct Guest<'a> {
    memory: &'a mut [u8],
    context: &'a mut CopyServices,
    service: &'static str,
    permission: Permission,
}

impl<'a> Guest<'a> {
    fn of(
        caller: &'a mut Caller<'_, Data>,
        (service, permission): (&'static str, Permission),
    ) -> wasmtime::Result<Guest<'a>> {
        let memory = match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => memory,
            _ => return Err(wasmtime::Error::msg("the module has no export `memory`")),
        };
        let (memory, context) = memory.data_and_store_mut(caller);
        Ok(Guest { memory, context, service, permission })
    }

    /// Ends the call if two arguments together are more than it may carry, before they are copied.
    fn room(&mut self, first: i32, second: i32) -> wasmtime::Result<()> {
        let bytes = (first as u32 as usize).saturating_add(second as u32 as usize);
        if self.context.may_carry(bytes) {
            return Ok(());
        }
        let error = self.context.refuse_carried(self.service, self.permission, bytes);
        Err(wasmtime::Error::new(error))
    }

    /// Bytes of the module's memory, lent, beside the services that get them.
    fn bytes(&mut self, pointer: i32, length: i32) -> wasmtime::Result<(&[u8], &mut CopyServices)> {
        self.room(length, 0)?;
        Ok((slice(self.memory, pointer, length)?, self.context))
    }

    /// The same for a text. Bytes that are not UTF-8 are replaced.
    fn text(
        &mut self,
        pointer: i32,
        length: i32,
    ) -> wasmtime::Result<(Cow<'_, str>, &mut CopyServices)> {
        let (bytes, context) = self.bytes(pointer, length)?;
        Ok((String::from_utf8_lossy(bytes), context))
    }

    /// Writes `bytes` if they fit in `length`; the length they need is what the plugin gets.
    fn give(&mut self, bytes: &[u8], pointer: i32, length: i32) -> wasmtime::Result<i64> {
        if bytes.len() <= length as u32 as usize {
            let start = pointer as u32 as usize;
            let target = self.memory.get_mut(start..start + bytes.len()).ok_or_else(outside)?;
            target.copy_from_slice(bytes);
        }
        Ok(bytes.len() as i64)
    }

    /// The number for the plugin, unless a limit was broken: then the call ends here.
    fn answer(&self, result: Result<i64, ServiceError>) -> wasmtime::Result<i64> {
        match &self.context.broken {
            Some(broken) => Err(wasmtime::Error::msg(broken.to_string())),
            None => Ok(result.unwrap_or_else(|error| -i64::from(error.code()))),
        }
    }
}

fn slice(memory: &[u8], pointer: i32, length: i32) -> wasmtime::Result<&[u8]> {
    let start = pointer as u32 as usize;
    memory.get(start..start + length as u32 as usize).ok_or_else(outside)
}

fn outside() -> wasmtime::Error {
    wasmtime::Trap::MemoryOutOfBounds.into()
}

/// The imports of the frame ABI.
pub(in super::super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    let module = frame_abi::IMPORT_MODULE;
    linker.func_wrap(
        module,
        "log",
        |mut caller: Caller<'_, Data>, level: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("log", Permission::Log))?;
            let (message, context) = guest.text(ptr, len)?;
            let result = context.log(LogLevel::from_u32(level as u32), &message);
            guest.answer(result.map(|()| 0)).map(|code| code as i32)
        },
    )?;
    linker.func_wrap(module, "now", |mut caller: Caller<'_, Data>| {
        let guest = Guest::of(&mut caller, ("now", Permission::Now))?;
        let result = guest.context.now();
        guest.answer(result.map(|now| now as i64))
    })?;
    linker.func_wrap(module, "random", |mut caller: Caller<'_, Data>, ptr: i32, len: i32| {
        let mut guest = Guest::of(&mut caller, ("random", Permission::Random))?;
        let result = guest.context.random_bytes(len as u32 as usize);
        if let Ok(bytes) = &result {
            guest.give(bytes, ptr, len)?;
        }
        guest.answer(result.map(|_| 0)).map(|code| code as i32)
    })?;
    linker.func_wrap(
        module,
        "config",
        |mut caller: Caller<'_, Data>, key: i32, key_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("config", Permission::Config))?;
            let (key, context) = guest.text(key, key_len)?;
            let result = match context.config(&key) {
                Ok(None) => Ok(0),
                Ok(Some(value)) => Ok(guest.give(value.as_bytes(), ptr, len)?),
                Err(error) => Err(error),
            };
            guest.answer(result).map(|length| length as i32)
        },
    )?;
    linker.func_wrap(
        module,
        "kv_get",
        |mut caller: Caller<'_, Data>, key: i32, key_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("kv-get", Permission::Kv))?;
            let (key, context) = guest.text(key, key_len)?;
            let result = match context.kv_get(&key) {
                Ok(None) => Ok(0),
                Ok(Some(value)) => Ok(guest.give(&value, ptr, len)? + 1),
                Err(error) => Err(error),
            };
            guest.answer(result)
        },
    )?;
    linker.func_wrap(
        module,
        "kv_set",
        |mut caller: Caller<'_, Data>, key: i32, key_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("kv-set", Permission::Kv))?;
            guest.room(key_len, len)?;
            let key = String::from_utf8_lossy(slice(guest.memory, key, key_len)?);
            let value = slice(guest.memory, ptr, len)?;
            let result = guest.context.kv_set(&key, value);
            guest.answer(result.map(|()| 0)).map(|code| code as i32)
        },
    )?;
    linker.func_wrap(module, "kv_delete", |mut caller: Caller<'_, Data>, key: i32, len: i32| {
        let mut guest = Guest::of(&mut caller, ("kv-delete", Permission::Kv))?;
        let (key, context) = guest.text(key, len)?;
        let result = context.kv_delete(&key);
        guest.answer(result.map(i64::from)).map(|code| code as i32)
    })?;
    linker.func_wrap(
        module,
        "kv_list",
        |mut caller: Caller<'_, Data>, prefix: i32, prefix_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("kv-list", Permission::Kv))?;
            let (prefix, context) = guest.text(prefix, prefix_len)?;
            let result = match context.kv_list(&prefix) {
                Ok(keys) => {
                    let mut list = Vec::new();
                    for key in keys {
                        list.extend((key.len() as u32).to_le_bytes());
                        list.extend(key.as_bytes());
                    }
                    Ok(guest.give(&list, ptr, len)?)
                }
                Err(error) => Err(error),
            };
            guest.answer(result)
        },
    )?;
    linker.func_wrap(module, "emit", |mut caller: Caller<'_, Data>, ptr: i32, len: i32| {
        let mut guest = Guest::of(&mut caller, ("emit", Permission::Emit))?;
        let (bytes, context) = guest.bytes(ptr, len)?;
        let result = context.emit_read(bytes.len(), Frame::decode(&Bytes::copy_from_slice(bytes)));
        guest.answer(result.map(|()| 0)).map(|code| code as i32)
    })?;
    linker.func_wrap(
        module,
        "metric",
        |mut caller: Caller<'_, Data>, name: i32, name_len: i32, value: f64| {
            let mut guest = Guest::of(&mut caller, ("metric", Permission::Metric))?;
            let (name, context) = guest.text(name, name_len)?;
            let result = context.metric(&name, value);
            guest.answer(result.map(|()| 0)).map(|code| code as i32)
        },
    )?;
    linker.func_wrap(
        module,
        "call",
        |mut caller: Caller<'_, Data>, name: i32, name_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("call", Permission::Functions))?;
            guest.room(name_len, len)?;
            let name = String::from_utf8_lossy(slice(guest.memory, name, name_len)?);
            let argument = slice(guest.memory, ptr, len)?;
            let result = guest.context.call(&name, argument);
            let length = result.as_ref().map(|given| given.len() as i64);
            let answer = length.map_err(|error| *error);
            guest.context.given = result.ok();
            guest.answer(answer)
        },
    )?;
    linker.func_wrap(module, "call_result", |mut caller: Caller<'_, Data>, ptr: i32| {
        let mut guest = Guest::of(&mut caller, ("call", Permission::Functions))?;
        let result = match guest.context.given.take() {
            Some(given) => guest.give(&given, ptr, given.len() as i32).map(|_| Ok(0))?,
            None => Err(ServiceError::Invalid),
        };
        guest.answer(result).map(|code| code as i32)
    })?;
    preview1::add_to_linker(&mut linker)?;
    Ok(linker)
}
