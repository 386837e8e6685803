//! The functions that an Extism plug-in imports, in both of its dialects.

use std::str::from_utf8;

use glovebox_abi::cbor::Value;
use glovebox_abi::text::{cut, inert};
use glovebox_abi::{LogLevel, Permission, ServiceError, Services};
use serde::Deserialize;
use wasmtime::{Caller, Engine, FuncType, Linker, Val, ValType};

use super::kernel::{Full, Kernel, Outside};
use crate::backend::wasm::foreign::{Import, Provision, Refusal};
use crate::backend::wasm::module::Data;
use crate::backend::wasm::wasi::preview1;
use crate::policy::Parameter;
use crate::services::{CopyServices, FunctionError, HttpRequest};

/// The module that plug-ins of Extism 1 import from.
const HOST: &str = "extism:host/env";
/// The module and the beginning of the names for plug-ins of Extism 0.
const OLD_HOST: (&str, &str) = ("env", "extism_");

/// The service of what the application or a mock has to give.
const FUNCTIONS: &str = "functions of the application";

/// The functions of the host: the service that each belongs to, the permission, and the names.
const SERVICES: &[(&str, Option<Permission>, &[&str])] = &[
    (
        "memory, input and output",
        None,
        &[
            "alloc",
            "free",
            "length",
            "length_unsafe",
            "load_u8",
            "load_u64",
            "store_u8",
            "store_u64",
            "input_load_u8",
            "input_load_u64",
            "input_length",
            "input_offset",
            "input_set",
            "output_set",
            "output_length",
            "output_offset",
            "error_set",
            "error_get",
            "reset",
            "memory_bytes",
        ],
    ),
    ("configuration", Some(Permission::Config), &["config_get"]),
    ("vars", Some(Permission::Kv), &["var_get", "var_set"]),
    (
        "log",
        Some(Permission::Log),
        &["log_trace", "log_debug", "log_info", "log_warn", "log_error", "get_log_level"],
    ),
    ("HTTP", Some(Permission::Network), &["http_request", "http_status_code", "http_headers"]),
];

/// The fate of an import.
pub(super) fn import(module: &str, name: &str) -> Import {
    let own = match module {
        HOST => Some(name),
        module if module == OLD_HOST.0 => name.strip_prefix(OLD_HOST.1),
        _ => None,
    };
    if let Some(name) = own {
        let known = SERVICES.iter().find(|(.., names)| names.contains(&name));
        return match known {
            Some((service, permission, _)) => {
                Import { service, provision: Provision::Here(*permission) }
            }
            None => Import {
                service: "unknown",
                provision: Provision::Nobody("no version of Extism that is known here has it"),
            },
        };
    }
    match module {
        preview1::MODULE => {
            Import { service: "WASI preview 1", provision: Provision::Here(wasi(name)) }
        }
        _ => Import {
            service: FUNCTIONS,
            provision: Provision::Function(function_name(module, name)),
        },
    }
}

/// True of the functions about vars.
pub(super) fn is_var(module: &str, name: &str) -> bool {
    import(module, name).provision == Provision::Here(Some(Permission::Kv))
}

/// The permission of a function of WASI that is inside of Glovebox; the others need consent, and are asked
/// for by a manifest.
fn wasi(name: &str) -> Option<Permission> {
    match name {
        "clock_time_get" | "clock_res_get" => Some(Permission::Now),
        "random_get" => Some(Permission::Random),
        _ => None,
    }
}

/// The name under which the application or a mock gives a function.
fn function_name(module: &str, name: &str) -> String {
    format!("{module}#{name}")
}

type Plugin<'a> = Caller<'a, Data<Kernel>>;

/// The memory outside of the plug-in, and its services.
fn parts<'a>(caller: &'a mut Plugin<'_>) -> (&'a mut Kernel, &'a mut CopyServices) {
    let data = caller.data_mut();
    (&mut data.extra, &mut data.context)
}

/// Does something that may take memory, and counts it as the plug-in's.
pub(super) fn counted<T>(
    kernel: &mut Kernel,
    context: &mut CopyServices,
    work: impl FnOnce(&mut Kernel, u64) -> Result<T, Full>,
) -> wasmtime::Result<T> {
    let before = kernel.counted();
    match work(kernel, context.memory_left()) {
        Ok(done) => {
            context.take_memory(kernel.counted() - before)?;
            Ok(done)
        }
        Err(Full { needed }) => {
            context.take_memory(needed)?;
            // Somebody raised the limit in this moment.
            Err(Refusal::misuse("its memory is used up"))
        }
    }
}

fn outside(outside: Outside) -> wasmtime::Error {
    Refusal::misuse(outside.to_string())
}

/// The bytes at a handle.
fn block<'a>(kernel: &'a Kernel, function: &str, handle: i64) -> wasmtime::Result<&'a [u8]> {
    kernel.block(handle as u64).ok_or_else(|| {
        Refusal::misuse(format!("`{function}` got the handle {}, which is none", handle as u64))
    })
}

/// The key at a handle.
fn key<'a>(kernel: &'a Kernel, function: &str, handle: i64) -> wasmtime::Result<&'a str> {
    from_utf8(block(kernel, function, handle)?)
        .map_err(|_| Refusal::misuse(format!("`{function}` got a key that is no UTF-8")))
}

/// Ends the call if a service found a limit broken.
fn goes_on(context: &CopyServices) -> wasmtime::Result<()> {
    match &context.broken {
        None => Ok(()),
        Some(broken) => Err(wasmtime::Error::msg(broken.to_string())),
    }
}

/// Refuses what a service did not do.
fn done<T>(
    context: &CopyServices,
    result: Result<T, ServiceError>,
    what: impl FnOnce() -> String,
) -> wasmtime::Result<T> {
    goes_on(context)?;
    result.map_err(|error| {
        let remedy = match error {
            ServiceError::Denied => "; see its permissions",
            ServiceError::LimitExceeded => "; see its limits",
            _ => "",
        };
        Refusal::of(error, format!("{}: {error}{remedy}", what()))
    })
}

/// The imports of both dialects.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data<Kernel>>> {
    let mut linker = Linker::new(engine);
    // Arguments of host functions are the host's since Extism 1; before, the plug-in freed them.
    add(&mut linker, HOST, "", true)?;
    add(&mut linker, OLD_HOST.0, OLD_HOST.1, false)?;
    preview1::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn add(
    linker: &mut Linker<Data<Kernel>>,
    module: &str,
    prefix: &str,
    takes: bool,
) -> wasmtime::Result<()> {
    memory(linker, module, prefix)?;
    let name = |name: &str| format!("{prefix}{name}");
    let free = move |kernel: &mut Kernel, handles: &[i64]| {
        if takes {
            handles.iter().for_each(|handle| kernel.free(*handle as u64));
        }
    };
    linker.func_wrap(module, &name("config_get"), move |mut caller: Plugin<'_>, handle: i64| {
        let (kernel, context) = parts(&mut caller);
        let key = key(kernel, "config_get", handle)?;
        // The empty key is that of all settings, and of none there.
        let found = if key.is_empty() { Ok(None) } else { context.config(key) };
        goes_on(context)?;
        let value = found.ok().flatten().map(|value| setting(&value));
        let value = value.unwrap_or_default();
        let given = counted(kernel, context, |kernel, left| kernel.give(value.as_bytes(), left));
        free(kernel, &[handle]);
        given.map(|given| given as i64)
    })?;
    linker.func_wrap(module, &name("var_get"), move |mut caller: Plugin<'_>, handle: i64| {
        let (kernel, context) = parts(&mut caller);
        let key = key(kernel, "var_get", handle)?;
        let found = context.kv_get(key);
        let found = done(context, found, || format!("the var `{}` was not read", shown(key)))?;
        let value = found.unwrap_or_default();
        let given = counted(kernel, context, |kernel, left| kernel.give(&value, left));
        free(kernel, &[handle]);
        given.map(|given| given as i64)
    })?;
    linker.func_wrap(
        module,
        &name("var_set"),
        move |mut caller: Plugin<'_>, key_handle: i64, handle: i64| {
            let (kernel, context) = parts(&mut caller);
            let key = key(kernel, "var_set", key_handle)?;
            let result = match handle {
                0 => context.kv_delete(key).map(drop),
                handle => context.kv_set(key, block(kernel, "var_set", handle)?),
            };
            done(context, result, || format!("the var `{}` was not set", shown(key)))?;
            free(kernel, &[key_handle, handle]);
            Ok(())
        },
    )?;
    let levels = [
        ("log_trace", LogLevel::Trace),
        ("log_debug", LogLevel::Debug),
        ("log_info", LogLevel::Info),
        ("log_warn", LogLevel::Warn),
        ("log_error", LogLevel::Error),
    ];
    for (function, level) in levels {
        linker.func_wrap(module, &name(function), move |mut caller: Plugin<'_>, handle: i64| {
            let (kernel, context) = parts(&mut caller);
            let line = String::from_utf8_lossy(block(kernel, function, handle)?);
            // Nobody is told that a line was not kept, but by the event.
            let _ = context.log(level, &line);
            goes_on(context)?;
            free(kernel, &[handle]);
            Ok(())
        })?;
    }
    linker.func_wrap(module, &name("get_log_level"), |mut caller: Plugin<'_>| {
        /// No level is as high.
        const OFF: i32 = i32::MAX;
        let (_, context) = parts(&mut caller);
        let grants = context.rights.grants.load();
        let is_on = grants.admits(Permission::Log, &Parameter::Nothing);
        if is_on { LogLevel::Trace as i32 } else { OFF }
    })?;
    linker.func_wrap(
        module,
        &name("http_request"),
        move |mut caller: Plugin<'_>, request: i64, body: i64| {
            let (kernel, context) = parts(&mut caller);
            let answer = http_request(kernel, context, request, body)?;
            kernel.http_status = OK;
            let given = counted(kernel, context, |kernel, left| kernel.give(&answer, left));
            free(kernel, &[request, body]);
            given.map(|given| given as i64)
        },
    )?;
    linker.func_wrap(module, &name("http_status_code"), |mut caller: Plugin<'_>| {
        parts(&mut caller).0.http_status
    })?;
    // Headers of answers are off there as well, unless the application wants them.
    linker.func_wrap(module, &name("http_headers"), || 0i64)?;
    Ok(())
}

/// The functions about memory, input, output and error. They are not counted as host calls: each carries
/// eight bytes at most, and works for less time than the call of it takes.
fn memory(linker: &mut Linker<Data<Kernel>>, module: &str, prefix: &str) -> wasmtime::Result<()> {
    let name = |name: &str| format!("{prefix}{name}");
    linker.func_wrap(module, &name("alloc"), |mut caller: Plugin<'_>, length: i64| {
        let (kernel, context) = parts(&mut caller);
        counted(kernel, context, |kernel, left| kernel.alloc(length as u64, left))
            .map(|handle| handle as i64)
    })?;
    linker.func_wrap(module, &name("free"), |mut caller: Plugin<'_>, handle: i64| {
        caller.data_mut().extra.free(handle as u64);
    })?;
    for function in ["length", "length_unsafe"] {
        linker.func_wrap(module, &name(function), |caller: Plugin<'_>, handle: i64| {
            caller.data().extra.length(handle as u64) as i64
        })?;
    }
    linker.func_wrap(module, &name("load_u8"), |caller: Plugin<'_>, offset: i64| {
        let [byte] = caller.data().extra.load(offset as u64).map_err(outside)?;
        Ok(i32::from(byte))
    })?;
    linker.func_wrap(module, &name("load_u64"), |caller: Plugin<'_>, offset: i64| {
        caller.data().extra.load(offset as u64).map(i64::from_le_bytes).map_err(outside)
    })?;
    linker.func_wrap(
        module,
        &name("store_u8"),
        |mut caller: Plugin<'_>, offset: i64, value: i32| {
            caller.data_mut().extra.store(offset as u64, [value as u8]).map_err(outside)
        },
    )?;
    linker.func_wrap(
        module,
        &name("store_u64"),
        |mut caller: Plugin<'_>, offset: i64, value: i64| {
            caller.data_mut().extra.store(offset as u64, value.to_le_bytes()).map_err(outside)
        },
    )?;
    linker.func_wrap(module, &name("input_load_u8"), |caller: Plugin<'_>, offset: i64| {
        let [byte] = caller.data().extra.input_load(offset as u64);
        i32::from(byte)
    })?;
    linker.func_wrap(module, &name("input_load_u64"), |caller: Plugin<'_>, offset: i64| {
        i64::from_le_bytes(caller.data().extra.input_load(offset as u64))
    })?;
    linker.func_wrap(module, &name("input_length"), |caller: Plugin<'_>| {
        caller.data().extra.input().1 as i64
    })?;
    linker.func_wrap(module, &name("input_offset"), |caller: Plugin<'_>| {
        caller.data().extra.input().0 as i64
    })?;
    linker.func_wrap(
        module,
        &name("input_set"),
        |mut caller: Plugin<'_>, start: i64, length: i64| {
            caller.data_mut().extra.set_input(start as u64, length as u64).map_err(outside)
        },
    )?;
    linker.func_wrap(
        module,
        &name("output_set"),
        |mut caller: Plugin<'_>, start: i64, length: i64| {
            caller.data_mut().extra.set_output(start as u64, length as u64).map_err(outside)
        },
    )?;
    linker.func_wrap(module, &name("output_length"), |caller: Plugin<'_>| {
        caller.data().extra.output_place().1 as i64
    })?;
    linker.func_wrap(module, &name("output_offset"), |caller: Plugin<'_>| {
        caller.data().extra.output_place().0 as i64
    })?;
    linker.func_wrap(module, &name("error_set"), |mut caller: Plugin<'_>, handle: i64| {
        let kernel = &mut caller.data_mut().extra;
        block(kernel, "error_set", handle)?;
        kernel.set_error(handle as u64);
        Ok(())
    })?;
    linker.func_wrap(module, &name("error_get"), |caller: Plugin<'_>| {
        caller.data().extra.error_handle() as i64
    })?;
    linker.func_wrap(module, &name("reset"), |mut caller: Plugin<'_>| {
        caller.data_mut().extra.reset();
    })?;
    linker.func_wrap(module, &name("memory_bytes"), |caller: Plugin<'_>| {
        caller.data().extra.size() as i64
    })?;
    Ok(())
}

/// A text of a plug-in in an error.
fn shown(text: &str) -> String {
    inert(&cut(text, 80)).to_string()
}

/// A setting as the plug-in gets it: texts as they are, all else as JSON.
fn setting(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(serde_json::Value::String(text)) => text,
        _ => json.to_owned(),
    }
}

/// The status of an answer that a mock gives.
const OK: i32 = 200;

/// A request, as Extism writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    url: String,
    #[serde(default, rename = "headers")]
    _headers: std::collections::BTreeMap<String, String>,
    method: Option<String>,
}

fn http_request(
    kernel: &mut Kernel,
    context: &mut CopyServices,
    request: i64,
    body: i64,
) -> wasmtime::Result<Vec<u8>> {
    kernel.http_status = 0;
    let request = block(kernel, "http_request", request)?;
    let request: Request = serde_json::from_slice(request)
        .map_err(|error| Refusal::misuse(format!("`http_request` got no request: {error}")))?;
    let body = block(kernel, "http_request", body)?;
    let url = &request.url;
    let Some((host, port)) = place(url) else {
        return Err(Refusal::misuse(format!("`{}` is no URL of HTTP", shown(url))));
    };
    let method = request.method.as_deref().unwrap_or("GET");
    let given = context.http_request(&HttpRequest { method, url, host, port, body });
    let reason = if given == Err(ServiceError::Unavailable) {
        ", for there is no client for HTTP here; script the answer: `[[function]]` with the name \
         \"http-request\" in the file of --mock"
    } else {
        ""
    };
    done(context, given, || format!("the request to {host}:{port} was not made{reason}"))
}

/// The host and the port of a URL.
fn place(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => usual,
        Some(port) => port.parse().ok()?,
    };
    (!host.is_empty()).then_some((host, port))
}

/// Puts a function of the application in the place of an import.
pub(super) fn add_function(
    linker: &mut Linker<Data<Kernel>>,
    module: &str,
    name: &str,
    ty: FuncType,
) -> wasmtime::Result<()> {
    let function = function_name(module, name);
    let result = ty.results().next();
    linker.func_new(module, name, ty, move |mut caller, given, results| {
        let (kernel, context) = parts(&mut caller);
        let value = call(kernel, context, &function, given)?;
        if let (Some(result), Some(ty)) = (results.first_mut(), &result) {
            *result = returned(kernel, context, &function, value, ty)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// True if an application can give a function of this type.
pub(super) fn can_be_given(ty: &FuncType) -> bool {
    let is_plain = |ty: ValType| ty.is_i32() || ty.is_i64() || ty.is_f32() || ty.is_f64();
    ty.results().len() <= 1 && ty.params().chain(ty.results()).all(is_plain)
}

/// Calls a function of the application. A number that is the handle of a block stands for its bytes.
fn call(
    kernel: &Kernel,
    context: &mut CopyServices,
    function: &str,
    given: &[Val],
) -> wasmtime::Result<Value> {
    let bytes_at = |number: i64| kernel.block(number as u64).filter(|_| number != 0);
    let carried = given.iter().map(|value| match value {
        Val::I64(number) => bytes_at(*number).map_or(size_of::<u64>(), <[u8]>::len),
        _ => size_of::<u64>(),
    });
    let carried = carried.fold(function.len(), usize::saturating_add);
    if !context.may_carry(carried) {
        let refused = context.refuse_carried("call", Permission::Functions, carried);
        return done(context, Err(refused), || format!("`{function}` was not called"));
    }
    let value = |value: &Val| match value {
        Val::I32(number) => Value::Integer((*number).into()),
        Val::I64(number) => match bytes_at(*number) {
            Some(bytes) => Value::Bytes(bytes.to_vec()),
            None => Value::Integer((*number).into()),
        },
        Val::F32(bits) => Value::Float(f32::from_bits(*bits).into()),
        Val::F64(bits) => Value::Float(f64::from_bits(*bits)),
        // Refused when it was linked.
        _ => Value::Null,
    };
    let arguments = match given {
        [] => Value::Null,
        [one] => value(one),
        several => Value::Array(several.iter().map(value).collect()),
    };
    let result = context.call_function(function, &arguments, carried);
    goes_on(context)?;
    result.map_err(|error| match error {
        FunctionError::Service(error) => {
            Refusal::of(error, format!("`{function}` was not called: {error}"))
        }
        FunctionError::Answer(answer) => {
            let reason = format!("`{function}` failed: {answer:?}");
            Refusal::of(ServiceError::Invalid, reason)
        }
    })
}

/// The result of a function of the application: for an `i64`, the handle of a block with its bytes or text,
/// or the number.
fn returned(
    kernel: &mut Kernel,
    context: &mut CopyServices,
    function: &str,
    value: Value,
    ty: &ValType,
) -> wasmtime::Result<Val> {
    let handle = |kernel: &mut Kernel, context: &mut CopyServices, bytes: &[u8]| {
        counted(kernel, context, |kernel, left| kernel.give(bytes, left))
            .map(|handle| Val::I64(handle as i64))
    };
    match (ty, value) {
        (ValType::I64, Value::Bytes(bytes)) => handle(kernel, context, &bytes),
        (ValType::I64, Value::Text(text)) => handle(kernel, context, text.as_bytes()),
        (ValType::I64, Value::Null) => Ok(Val::I64(0)),
        (ValType::I64, Value::Integer(number)) => Ok(Val::I64(number as i64)),
        (ValType::I32, Value::Integer(number)) => Ok(Val::I32(number as i32)),
        (ValType::I32, Value::Bool(truth)) => Ok(Val::I32(truth.into())),
        (ValType::F32, Value::Float(number)) => Ok(Val::F32((number as f32).to_bits())),
        (ValType::F64, Value::Float(number)) => Ok(Val::F64(number.to_bits())),
        (ty, value) => {
            let reason = format!("`{function}` gave {value:?}, and this plug-in takes {ty}");
            Err(Refusal::of(ServiceError::Invalid, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_of_urls_are_told() {
        fn check(url: &str, expected: Option<(&str, u16)>) {
            assert_eq!(place(url), expected, "{url}");
        }
        check("http://example.org", Some(("example.org", 80)));
        check("HTTPS://example.org/a:b@c?d", Some(("example.org", 443)));
        check("https://example.org:8443?x", Some(("example.org", 8443)));
        check("http://user:secret@example.org:81/", Some(("example.org", 81)));
        check("http://good.example@bad.example", Some(("bad.example", 80)));
        check("http://bad.example\\@good.example", Some(("bad.example", 80)));
        check("http://[::1]:8080/a", Some(("::1", 8080)));
        check("http://[::1]", Some(("::1", 80)));
        check("http://example.org:", Some(("example.org", 80)));
        check("http://", None);
        check("http://:80", None);
        check("http://a:99999", None);
        check("file:///etc/passwd", None);
        check("example.org", None);
    }

    #[test]
    fn settings_are_texts() {
        fn check(json: &str, expected: &str) {
            assert_eq!(setting(json), expected);
        }
        check("\"a\\nb\"", "a\nb");
        check("3", "3");
        check("{\"a\":1}", "{\"a\":1}");
    }
}
