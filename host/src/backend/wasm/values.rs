//! Functions of the application for components: their arguments and results as values, whatever the
//! types are that the component's WIT gives them.
//!
//! | WIT | value |
//! |---|---|
//! | `bool`, integers, floats | the same |
//! | `char`, `string`, a case of an `enum` | a text |
//! | `list<u8>` | bytes |
//! | other lists, `tuple` | an array |
//! | `record` | a map with its fields |
//! | `option` | null, or the value |
//! | `variant` | a map with one entry, the case; a text for a case without a value |
//! | `flags` | an array with the names of those that are set |
//! | `result` | a map with one entry, `ok` or `err`; what is neither counts as `ok` |
//!
//! The `result` of the function itself is not a value: what the application gives is its good side, and
//! [`FunctionError::Answer`] its error.
//!
//! One argument stands alone, several are an array, none is null.

use std::fmt;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use wasmtime::component::{Linker, Type, Val, types};
use wasmtime::{Engine, StoreContextMut};

use super::component::Data;
use crate::problem::{Incompatible, LoadProblem, shorten};
use crate::services::{FunctionError, carried_by, key_of};

/// A function of the application that a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Imported {
    /// The interface; `None` for a function that the world imports alone.
    interface: Option<String>,
    function: String,
}

impl Imported {
    /// `acme:shop/prices@1.0.0#lookup`.
    pub(super) fn name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.function),
            None => self.function.clone(),
        }
    }
}

/// The functions of one import; an error if it holds what no application can give.
pub(super) fn imported(
    name: &str,
    import: &types::ComponentItem,
    engine: &Engine,
) -> Result<Vec<Imported>, LoadProblem> {
    use types::ComponentItem::{ComponentFunc, ComponentInstance, Resource, Type as TypeItem};
    let instance = match import {
        ComponentFunc(_) => {
            return Ok(vec![Imported { interface: None, function: name.to_owned() }]);
        }
        TypeItem(_) => return Ok(Vec::new()),
        ComponentInstance(instance) => instance,
        _ => return Err(Incompatible::UnknownImports(vec![format!("`{name}`")]).into()),
    };
    let mut functions = Vec::new();
    for (item, kind) in instance.exports(engine) {
        match kind.ty {
            ComponentFunc(_) => functions
                .push(Imported { interface: Some(name.to_owned()), function: item.to_owned() }),
            TypeItem(_) => {}
            Resource(_) => {
                let reason = format!(
                    "`{}#{}` is a resource, and an application gives functions of plain values alone",
                    shorten(name),
                    shorten(item)
                );
                return Err(Incompatible::Import { reason }.into());
            }
            _ => {
                let import = format!("`{}#{}`", shorten(name), shorten(item));
                return Err(Incompatible::UnknownImports(vec![import]).into());
            }
        }
    }
    Ok(functions)
}

/// The linker with the functions. Each is looked up when it is called, so that the code is the
/// same for all hosts.
pub(super) fn link(
    linker: &Linker<Data>,
    functions: &[Imported],
) -> wasmtime::Result<Linker<Data>> {
    let mut linker = linker.clone();
    for imported in functions {
        let name = imported.name();
        let call =
            move |store: StoreContextMut<'_, Data>,
                  ty: types::ComponentFunc,
                  given: &[Val],
                  results: &mut [Val]| call(store, &name, &ty, given, results);
        match &imported.interface {
            Some(interface) => linker.instance(interface)?.func_new(&imported.function, call)?,
            None => linker.root().func_new(&imported.function, call)?,
        }
    }
    Ok(linker)
}

fn call(
    mut store: StoreContextMut<'_, Data>,
    name: &str,
    ty: &types::ComponentFunc,
    given: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let types = ty.params().map(|(_, ty)| ty);
    let mut values: Vec<Value> = given.iter().zip(types).map(|(val, ty)| read(val, &ty)).collect();
    let arguments = match values.len() {
        0 => Value::Null,
        1 => values.remove(0),
        _ => Value::Array(values),
    };
    let context = store.data_mut().context();
    let result = context.call_function(name, &arguments, carried_by(name, &arguments));
    if let Some(broken) = &context.broken {
        return Err(wasmtime::Error::msg(broken.to_string()));
    }
    let wanted = ty.results().next();
    let failed =
        |error: &dyn fmt::Display| format!("the function `{name}` of the application: {error}");
    let written = match (&wanted, result) {
        (None, Ok(_)) => return Ok(()),
        (Some(ty), Ok(value)) => given_by(&value, ty).ok_or_else(|| {
            format!("the function `{name}` of the application gave what its type does not allow")
        }),
        (Some(Type::Result(ty)), Err(FunctionError::Service(error))) => {
            refused(ty, error).ok_or_else(|| failed(&error))
        }
        (Some(Type::Result(ty)), Err(FunctionError::Answer(error))) => {
            match side(ty.err(), &error) {
                Some(error) => Ok(Val::Result(Err(error))),
                None => Err(failed(&"it failed with what its type does not allow")),
            }
        }
        (_, Err(FunctionError::Service(error))) => Err(failed(&error)),
        (_, Err(FunctionError::Answer(_))) => Err(failed(&"it failed, and its type has no error")),
    };
    match (results.first_mut(), written) {
        (Some(place), Ok(written)) => *place = written,
        (None, Ok(_)) => {}
        (_, Err(reason)) => return Err(wasmtime::Error::msg(reason)),
    }
    Ok(())
}

/// The error of a function, where its type has room for one: a code as in the interface `host`, a
/// text, or nothing.
fn refused(ty: &types::ResultType, error: ServiceError) -> Option<Val> {
    let error = match ty.err() {
        None => None,
        Some(Type::U32) => Some(Val::U32(error.code())),
        Some(Type::String) => Some(Val::String(error.to_string())),
        Some(_) => return None,
    };
    Some(Val::Result(Err(error.map(Box::new))))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn entry(key: &str, value: Value) -> Value {
    Value::Map(vec![(text(key), value)])
}

/// A value that a component gave.
fn read(val: &Val, ty: &Type) -> Value {
    match (val, ty) {
        (Val::Bool(truth), _) => Value::Bool(*truth),
        (Val::S8(number), _) => Value::Integer((*number).into()),
        (Val::U8(number), _) => Value::Integer((*number).into()),
        (Val::S16(number), _) => Value::Integer((*number).into()),
        (Val::U16(number), _) => Value::Integer((*number).into()),
        (Val::S32(number), _) => Value::Integer((*number).into()),
        (Val::U32(number), _) => Value::Integer((*number).into()),
        (Val::S64(number), _) => Value::Integer((*number).into()),
        (Val::U64(number), _) => Value::Integer((*number).into()),
        (Val::Float32(number), _) => Value::Float((*number).into()),
        (Val::Float64(number), _) => Value::Float(*number),
        (Val::Char(one), _) => Value::Text(one.to_string()),
        (Val::String(given), _) | (Val::Enum(given), _) => text(given),
        (Val::List(items), Type::List(list)) if list.ty() == Type::U8 => {
            let byte = |item: &Val| if let Val::U8(byte) = item { *byte } else { 0 };
            Value::Bytes(items.iter().map(byte).collect())
        }
        (Val::List(items), Type::List(list)) => {
            let ty = list.ty();
            Value::Array(items.iter().map(|item| read(item, &ty)).collect())
        }
        (Val::Tuple(items), Type::Tuple(tuple)) => {
            let items = items.iter().zip(tuple.types());
            Value::Array(items.map(|(item, ty)| read(item, &ty)).collect())
        }
        (Val::Record(fields), Type::Record(record)) => {
            let fields = fields.iter().zip(record.fields());
            Value::Map(fields.map(|((name, val), of)| (text(name), read(val, &of.ty))).collect())
        }
        (Val::Option(None), _) => Value::Null,
        (Val::Option(Some(val)), Type::Option(option)) => read(val, &option.ty()),
        (Val::Variant(case, None), _) => text(case),
        (Val::Variant(case, Some(val)), Type::Variant(variant)) => {
            let ty = variant.cases().find(|known| known.name == case).and_then(|known| known.ty);
            entry(case, ty.map_or(Value::Null, |ty| read(val, &ty)))
        }
        (Val::Flags(names), _) => Value::Array(names.iter().map(|name| text(name)).collect()),
        (Val::Result(result), Type::Result(of)) => {
            let (key, val, ty) = match result {
                Ok(val) => ("ok", val, of.ok()),
                Err(val) => ("err", val, of.err()),
            };
            let value = val.as_ref().zip(ty).map(|(val, ty)| read(val, &ty));
            entry(key, value.unwrap_or(Value::Null))
        }
        // No function with any other type is linked.
        _ => Value::Null,
    }
}

/// The value that a function gave. In a `result` it is the good one as it stands, or under `ok`: for an
/// error, functions have [`FunctionError`].
fn given_by(value: &Value, ty: &Type) -> Option<Val> {
    let Type::Result(of) = ty else { return write(value, ty) };
    let good = side(of.ok(), value).or_else(|| match value {
        Value::Map(entries) if key_of(entries) == Some("ok") => side(of.ok(), &entries[0].1),
        _ => None,
    });
    Some(Val::Result(Ok(good?)))
}

/// The value of one side of a `result`, which has one if it has a type; `None` if that does not allow
/// it.
fn side(ty: Option<Type>, value: &Value) -> Option<Option<Box<Val>>> {
    match ty {
        None => Some(None),
        Some(ty) => Some(Some(Box::new(write(value, &ty)?))),
    }
}

/// A value for a component; `None` if its type does not allow it.
fn write(value: &Value, ty: &Type) -> Option<Val> {
    Some(match (ty, value) {
        (Type::Bool, Value::Bool(truth)) => Val::Bool(*truth),
        (Type::S8, Value::Integer(number)) => Val::S8((*number).try_into().ok()?),
        (Type::U8, Value::Integer(number)) => Val::U8((*number).try_into().ok()?),
        (Type::S16, Value::Integer(number)) => Val::S16((*number).try_into().ok()?),
        (Type::U16, Value::Integer(number)) => Val::U16((*number).try_into().ok()?),
        (Type::S32, Value::Integer(number)) => Val::S32((*number).try_into().ok()?),
        (Type::U32, Value::Integer(number)) => Val::U32((*number).try_into().ok()?),
        (Type::S64, Value::Integer(number)) => Val::S64((*number).try_into().ok()?),
        (Type::U64, Value::Integer(number)) => Val::U64((*number).try_into().ok()?),
        (Type::Float32, Value::Float(number)) => Val::Float32(*number as f32),
        (Type::Float64, Value::Float(number)) => Val::Float64(*number),
        (Type::Float32, Value::Integer(number)) => Val::Float32(*number as f32),
        (Type::Float64, Value::Integer(number)) => Val::Float64(*number as f64),
        (Type::Char, Value::Text(text)) => {
            let mut letters = text.chars();
            let one = letters.next()?;
            letters.next().is_none().then_some(Val::Char(one))?
        }
        (Type::String, Value::Text(text)) => Val::String(text.clone()),
        (Type::List(list), Value::Bytes(bytes)) if list.ty() == Type::U8 => {
            Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
        }
        (Type::List(list), Value::Text(text)) if list.ty() == Type::U8 => {
            Val::List(text.bytes().map(Val::U8).collect())
        }
        (Type::List(list), Value::Array(items)) => {
            let ty = list.ty();
            Val::List(items.iter().map(|item| write(item, &ty)).collect::<Option<_>>()?)
        }
        (Type::Tuple(tuple), Value::Array(items)) if items.len() == tuple.types().len() => {
            let items = items.iter().zip(tuple.types());
            Val::Tuple(items.map(|(item, ty)| write(item, &ty)).collect::<Option<_>>()?)
        }
        (Type::Record(record), Value::Map(entries)) => {
            let field = |field: types::Field<'_>| {
                let found = entries.iter().find(|(key, _)| *key == text(field.name));
                let value = found.map_or(&Value::Null, |(_, value)| value);
                Some((field.name.to_owned(), write(value, &field.ty)?))
            };
            Val::Record(record.fields().map(field).collect::<Option<_>>()?)
        }
        (Type::Enum(of), Value::Text(case)) => {
            of.names().any(|name| name == case).then(|| Val::Enum(case.clone()))?
        }
        (Type::Option(_), Value::Null) => Val::Option(None),
        (Type::Option(of), value) => Val::Option(Some(Box::new(write(value, &of.ty())?))),
        (Type::Variant(of), value) => {
            let (name, value) = match value {
                Value::Text(name) => (name, None),
                Value::Map(entries) => match &entries[..] {
                    [(Value::Text(name), value)] => (name, Some(value)),
                    _ => return None,
                },
                _ => return None,
            };
            let case = of.cases().find(|case| case.name == name)?;
            let inner = match (case.ty, value) {
                (None, None) => None,
                (Some(ty), Some(value)) => Some(Box::new(write(value, &ty)?)),
                _ => return None,
            };
            Val::Variant(name.clone(), inner)
        }
        (Type::Flags(of), Value::Array(items)) => {
            let flag = |item: &Value| match item {
                Value::Text(name) => of.names().any(|known| known == name).then(|| name.clone()),
                _ => None,
            };
            Val::Flags(items.iter().map(flag).collect::<Option<_>>()?)
        }
        (Type::Result(of), value) => Val::Result(match value {
            Value::Map(entries) if key_of(entries) == Some("err") => {
                Err(side(of.err(), &entries[0].1)?)
            }
            Value::Map(entries) if key_of(entries) == Some("ok") => {
                Ok(side(of.ok(), &entries[0].1)?)
            }
            value => Ok(side(of.ok(), value)?),
        }),
        _ => return None,
    })
}
