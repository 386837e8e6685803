//! NDJSON, as [`export`](crate::export) writes it, or as little as `{"payload":"hello"}`.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::units::show_size;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::Event;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::foreign::{
    Foreign, START_LEN, json as json_of_others, several_lines as several_lines_of,
};
use super::numbers::CallNumbers;
use super::{Format, ImportError, ImportReport};
use crate::decode::document::{Item, Sort};
use crate::decode::print::key_text;
use crate::decode::{
    Document, Json as Exact, bytes_of_text, from_json, hex, is_same, json, to_json, to_value,
    to_value_of_texts,
};
use glovebox_trace::format::wire::{Body, Follows, Part, host_call_from_value};
use glovebox_trace::{InstanceRecord, MARK, PluginRecord};

/// The longest line: a frame of the largest size in hexadecimal, and some room.
const MAX_LINE: u64 = 3 * glovebox_abi::MAX_FRAME_LEN as u64;

/// How much of what is no number is shown, in characters.
const MAX_SHOWN: usize = 40;

/// Fields of a frame of which one must be there, unless the type is.
const OF_A_FRAME: [&str; 5] = ["payload", "payload_hex", "header", "header_hex", "kind"];
/// Fields of a host call, of which `call` is one of the event.
const OF_A_HOST_CALL: [&str; 8] =
    ["call", "service", "permission", "arguments", "result", "error", "took", "answered_by"];

pub(super) use json::BYTE_ORDER_MARK;

pub(super) fn read<E: From<ImportError>>(
    path: &Path,
    mut file: impl BufRead,
    each: &mut impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let mut times = Times::default();
    let report = read_lines(path, &mut file, &mut times, each);
    // The lines before one that is wrong are good.
    times.hand_on(each)?;
    Ok(ImportReport { without_time: times.without, ..report? })
}

fn read_lines<E: From<ImportError>>(
    path: &Path,
    file: &mut impl BufRead,
    times: &mut Times,
    each: &mut impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let mut events = 0;
    let mut cut_short;
    let mut number = 0;
    let mut reading = Reading::default();
    let mut calls = CallNumbers::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        // The text before it may be a whole event.
        cut_short = read.err().map(|error| error.to_string());
        if line.is_empty() {
            break;
        }
        number += 1;
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            let reason = format!("it is longer than {}", show_size(MAX_LINE));
            return Err(ImportError::Line { line: number, reason, path: path.to_owned() }.into());
        }
        let is_last = !line.ends_with(b"\n") && (line.len() as u64) < MAX_LINE;
        let line = match number {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line),
            _ => &line,
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (mut event, has_time) = match parse(line, events, &mut reading) {
            Ok(parsed) => parsed,
            // A value that goes on in the next lines is another format, not a wrong line.
            Err(_)
                if number == 1
                    && opens_more_than_it_closes(line)
                    && let Some(found) = several_lines(line, file) =>
            {
                return Err(ImportError::UnknownFormat { found, path: path.to_owned() }.into());
            }
            Err(_)
                if number == 1
                    && let Some(found) = json_of_others(line.trim_ascii()) =>
            {
                return Err(ImportError::UnknownFormat { found, path: path.to_owned() }.into());
            }
            Err(_) if cut_short.is_some() => break,
            // A program that is stopped may leave half of its last line.
            Err(_) if is_last && events > 0 && opens_more_than_it_closes(line) => {
                cut_short = Some(format!("the file ends in the middle of line {number}"));
                break;
            }
            Err(reason) => {
                return Err(
                    ImportError::Line { line: number, reason, path: path.to_owned() }.into()
                );
            }
        };
        calls.tell_apart(&mut event);
        times.take(event, has_time, each)?;
        events += 1;
        if cut_short.is_some() {
            break;
        }
    }
    Ok(ImportReport {
        events,
        cut_short,
        renumbered_calls: calls.renumbered(),
        texts_like_bytes: reading.texts_like_bytes,
        plugins: reading.plugins(),
        ..ImportReport::new(Format::Ndjson)
    })
}

/// Events that wait for the first time in a file. An event from a pipe that stays open is in the
/// trace before long.
const MAX_WAITING: usize = 64;

/// Gives events without a time that of an event beside them: of the one before, or of the first that has
/// one. In a file without any time, each has its place.
#[derive(Default)]
struct Times {
    last: Option<u64>,
    /// The events before the first that has a time.
    waiting: Vec<Event>,
    /// Events that had their places before there was a time, because too many waited.
    placed: u64,
    /// Events without a time, in a file that has times.
    without: u64,
}

impl Times {
    fn take<E>(
        &mut self,
        mut event: Event,
        has_time: bool,
        each: &mut impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        match (has_time, self.last) {
            (true, None) => {
                self.without += self.placed + self.waiting.len() as u64;
                self.waiting.iter_mut().for_each(|waiting| waiting.at = event.at);
                self.last = Some(event.at);
                self.hand_on(each)?;
            }
            (true, Some(_)) => self.last = Some(event.at),
            (false, Some(last)) => {
                self.without += 1;
                event.at = last;
            }
            (false, None) => {
                self.waiting.push(event);
                if self.waiting.len() > MAX_WAITING {
                    self.placed += self.waiting.len() as u64;
                    self.hand_on(each)?;
                }
                return Ok(());
            }
        }
        each(event)
    }

    /// Hands on what waits.
    fn hand_on<E>(&mut self, each: &mut impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        std::mem::take(&mut self.waiting).into_iter().try_for_each(each)
    }
}

/// The things that lines share.
#[derive(Default)]
pub(super) struct Reading {
    /// Ids that events share.
    ids: HashMap<String, Arc<str>>,
    /// The marks of instances, by the id of their plugin and their number.
    marks: BTreeMap<(Arc<str>, u64), String>,
    /// Lines with a text that looks like bytes.
    texts_like_bytes: u64,
}

impl Reading {
    fn id(&mut self, plugin: String) -> Arc<str> {
        self.ids.entry(plugin).or_insert_with_key(|plugin| plugin.as_str().into()).clone()
    }

    /// Takes in the name of an instance: its plugin, and what tells it from others of that.
    fn name(&mut self, plugin: &Arc<str>, instance: u64, name: &str) -> Result<(), String> {
        let start = format!("{plugin}{MARK}");
        let Some(mark) = name.strip_prefix(&start).filter(|mark| !mark.is_empty()) else {
            let expected =
                format!("it begins with `{start}`, and what tells the instance from others");
            return Err(format!("`instance_name` is `{name}`: {expected} follows"));
        };
        let key = (plugin.clone(), instance);
        match self.marks.get(&key) {
            Some(known) if known != mark => {
                Err(format!("`instance_name` is `{name}`, and was `{start}{known}` before"))
            }
            Some(_) => Ok(()),
            None if self.marks.len() >= MAX_MARKS => {
                Err(format!("more than {MAX_MARKS} instances have an `instance_name`"))
            }
            None => {
                self.marks.insert(key, mark.to_owned());
                Ok(())
            }
        }
    }

    /// Notes if any text in these values looks like bytes.
    fn look_for_bytes(&mut self, entries: &[(Value, Value)]) {
        let found = entries.iter().any(|(_, value)| has_text_like_bytes(value));
        self.texts_like_bytes += u64::from(found);
    }

    /// The records of plugins of which instances have names.
    fn plugins(self) -> Vec<PluginRecord> {
        let mut plugins: Vec<PluginRecord> = Vec::new();
        for ((id, instance), mark) in self.marks {
            if plugins.last().is_none_or(|last| *last.id != *id) {
                plugins.push(PluginRecord::of_id(&id));
            }
            if let Some(last) = plugins.last_mut() {
                let record = InstanceRecord { instance, mark, ..InstanceRecord::default() };
                last.instances.push(record);
            }
        }
        plugins
    }
}

/// The most instances with names.
const MAX_MARKS: usize = 10_000;

fn has_text_like_bytes(value: &Value) -> bool {
    match value {
        Value::Text(text) => bytes_of_text(text).is_some(),
        Value::Array(items) => items.iter().any(has_text_like_bytes),
        Value::Map(entries) => entries.iter().any(|(_, value)| has_text_like_bytes(value)),
        _ => false,
    }
}

/// True of a line that is the beginning of a JSON value only.
fn opens_more_than_it_closes(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

/// The kind of a JSON value over several lines, as far as its first lines tell. `None` if it is none: it
/// ends with the file before it is whole, or what comes next does not belong to it.
fn several_lines(line: &[u8], rest: &mut impl BufRead) -> Option<Foreign> {
    let mut start = line.to_vec();
    // Data that cannot be read says nothing.
    let read = rest.take(START_LEN as u64).read_to_end(&mut start);
    let is_cut = read.is_ok_and(|read| read < START_LEN);
    let mut values = serde_json::Deserializer::from_slice(&start).into_iter::<IgnoredAny>();
    let is_value = match values.next()? {
        Ok(_) => true,
        Err(error) => error.is_eof() && !is_cut,
    };
    is_value.then(|| several_lines_of(&start))
}

/// The event of a line, and whether it has a time. The fields of all events have defaults, so that frames
/// can be written by hand.
pub(super) fn parse(
    line: &[u8],
    position: u64,
    reading: &mut Reading,
) -> Result<(Event, bool), String> {
    let document = Document::json(line).map_err(|error| format!("no JSON: {error}"))?;
    let mut fields = Fields::of(document.root())?;
    let sequence = fields.number("sequence", position)?;
    let at = fields.take("at").map(|item| whole("at", item)).transpose()?;
    let instance = fields.number("instance", 0)?;
    let generation = fields.number("generation", 1)?;
    let plugin = fields.text("plugin")?.unwrap_or_else(|| "import".to_owned());
    let plugin = reading.id(plugin);
    if let Some(instance_name) = fields.text("instance_name")? {
        reading.name(&plugin, instance, &instance_name)?;
    }
    // For people; events have the number alone.
    fields.text("instance_version")?;
    let name = fields.text("type")?;
    if name.is_none() && !fields.0.iter().any(|(key, _)| OF_A_FRAME.contains(&key.as_str())) {
        return Err(match fields.0.first() {
            Some((unknown, _)) => unknown_field(unknown),
            None => "it has neither `type` nor `payload`, e.g. {\"payload\":\"hello\"}".to_owned(),
        });
    }
    let name = name.unwrap_or_else(|| "frame-in".to_owned());
    let part = match name.as_str() {
        "frame-in" | "frame-out" => Part::Frame(frame(&mut fields, reading)?),
        "host-call" => {
            let part = Part::HostCall(host_call(&mut fields, reading)?);
            fields.0.retain(|(key, _)| !OF_A_HOST_CALL[1..].contains(&key.as_str()));
            part
        }
        _ => Part::Nothing,
    };
    let body: Body = fields.body(&name, position)?;
    let part = match body.follows() {
        Follows::Nothing => Part::Nothing,
        _ => part,
    };
    let what = body.join(part)?;
    let event = Event { sequence, at: at.unwrap_or(position), plugin, instance, generation, what };
    Ok((event, at.is_some()))
}

/// A whole number from 0 on, up to a largest one.
trait Whole: FromStr {
    /// The largest.
    const LARGEST: u64;
}

impl Whole for u8 {
    const LARGEST: u64 = u8::MAX as u64;
}

impl Whole for u32 {
    const LARGEST: u64 = u32::MAX as u64;
}

impl Whole for u64 {
    const LARGEST: u64 = u64::MAX;
}

/// A field that must be a whole number.
fn whole<N: Whole>(key: &str, item: Item<'_>) -> Result<N, String> {
    let number = (item.sort() == Sort::Number).then(|| item.word().parse().ok()).flatten();
    number.ok_or_else(|| out_of_range(key, &String::from_utf8_lossy(item.raw()), N::LARGEST))
}

fn out_of_range(key: &str, given: &str, largest: u64) -> String {
    let end = given.char_indices().nth(MAX_SHOWN);
    let given = end.map_or_else(|| given.to_owned(), |(end, _)| format!("{}…", &given[..end]));
    let digits = match given.contains(['.', 'e', 'E']) {
        true => ", written with digits alone",
        false => "",
    };
    format!("`{key}` is {given}, and must be a whole number from 0 to {largest}{digits}")
}

/// The fields of a line that nobody took yet.
struct Fields<'d>(Vec<(String, Item<'d>)>);

impl<'d> Fields<'d> {
    fn of(item: Item<'d>) -> Result<Fields<'d>, String> {
        if item.sort() != Sort::Map {
            return Err("expected an object, e.g. {\"payload\":\"hello\"}".to_owned());
        }
        let mut fields: Vec<(String, Item<'d>)> = Vec::new();
        for (key, value) in item.entries() {
            let key = key_text(key);
            if fields.iter().any(|(known, _)| *known == key) {
                return Err(format!("`{key}` stands there twice"));
            }
            fields.push((key, value));
        }
        Ok(Fields(fields))
    }

    fn take(&mut self, key: &str) -> Option<Item<'d>> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    fn number<N: Whole>(&mut self, key: &str, default: N) -> Result<N, String> {
        self.take(key).map_or(Ok(default), |item| whole(key, item))
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        let Some(item) = self.take(key) else {
            return Ok(None);
        };
        match to_value(item) {
            _ if item.sort() != Sort::Text => Err(format!("`{key}` is no text")),
            Ok(_) => Ok(String::from_utf8(item.content().into_owned()).ok()),
            Err(error) => Err(format!("`{key}`: {error}")),
        }
    }

    fn bytes(&mut self, key: &str) -> Result<Option<Bytes>, String> {
        let Some(digits) = self.text(key)? else {
            return Ok(None);
        };
        let bytes =
            hex::decode(&digits).map_err(|error| format!("`{key}` is not hexadecimal: {error}"))?;
        Ok(Some(bytes.into()))
    }

    /// The rest, as the event without its frame or host call.
    fn body(&self, name: &str, position: u64) -> Result<Body, String> {
        let mut given: Vec<(&str, String)> = Vec::new();
        for (key, item) in &self.0 {
            given.push((key, String::from_utf8_lossy(item.raw()).into_owned()));
        }
        let mut default = |key: &'static str, value: String| {
            if !given.iter().any(|(known, _)| *known == key) {
                given.push((key, value));
            }
        };
        if name == "frame-in" || name == "frame-out" {
            default("call", (position + 1).to_string());
        }
        if name == "frame-out" {
            default("index", "0".to_owned());
            default("emitted", "false".to_owned());
        }
        let quoted = |text: &str| Json::from(text).to_string();
        let unknown = |key: &str| format!("unknown field `{key}` of `{name}`");
        let body = match (serde_json::from_str(&quoted(name)), given.first()) {
            // Of an event without fields.
            (Ok(body), None) => body,
            (Ok(_), Some((key, _))) => return Err(unknown(key)),
            (Err(_), _) => read_body(name, &given).map_err(|reason| {
                let wrong =
                    wrong_number(name, &given).or_else(|| wrong_type(name, &given, &reason));
                wrong.unwrap_or(reason)
            })?,
        };
        // People write events by hand; what they mean must not be lost. A trace may have more.
        let known = serde_json::to_value(&body).map_err(|error| error.to_string())?;
        let is_known = |key: &str| known.get(name).is_some_and(|fields| fields.get(key).is_some());
        match given.iter().find(|(key, _)| !is_known(key)) {
            Some((key, _)) if name.starts_with("frame-") => Err(unknown_field(key)),
            Some((key, _)) => Err(unknown(key)),
            None => {
                for (key, item) in &self.0 {
                    let known = known.get(name).and_then(|fields| fields.get(key));
                    check_inside(*item, key, known.unwrap_or(&Json::Null), &unknown)?;
                }
                Ok(body)
            }
        }
    }
}

/// An event with these fields; why it is none, otherwise.
fn read_body(name: &str, given: &[(&str, String)]) -> Result<Body, String> {
    let quoted = |text: &str| Json::from(text).to_string();
    let fields = given.iter().map(|(key, raw)| format!("{}:{raw}", quoted(key)));
    let fields = fields.collect::<Vec<_>>().join(",");
    serde_json::from_str(&format!("{{{}:{{{fields}}}}}", quoted(name)))
        .map_err(|error| without_place(&error))
}

/// The field of an event that is no event because of its type, and the type that it must have.
fn wrong_type(name: &str, given: &[(&str, String)], reason: &str) -> Option<String> {
    let (_, expected) = reason.strip_prefix("invalid type: ")?.rsplit_once(", expected ")?;
    // The field without which something else is wrong.
    let is_wrong = |at: &usize| {
        let others = given.iter().enumerate().filter(|(other, _)| other != at);
        let others: Vec<_> = others.map(|(_, field)| field.clone()).collect();
        read_body(name, &others).is_err_and(|other| other != reason)
    };
    let (key, _) = &given[(0..given.len()).find(is_wrong)?];
    let expected = match expected {
        "u8" | "u32" | "u64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text",
        expected if ["struct", "enum", "map"].iter().any(|word| expected.contains(word)) => {
            "an object"
        }
        expected => expected,
    };
    Some(format!("`{key}` must be {expected}"))
}

/// The field of an event that is no event because of a number, and the range that it may have.
fn wrong_number(name: &str, given: &[(&str, String)]) -> Option<String> {
    let reads = |at: usize, number: &str| {
        let mut given = given.to_vec();
        given[at].1 = number.to_owned();
        read_body(name, &given).is_ok()
    };
    let is_number =
        |raw: &str| raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    given.iter().enumerate().filter(|(_, (_, raw))| is_number(raw)).find_map(|(at, (key, raw))| {
        let fits = |largest: &u64| reads(at, &largest.to_string());
        let largest = [u64::MAX, u64::from(u32::MAX), u64::from(u8::MAX)].into_iter().find(fits)?;
        Some(out_of_range(key, raw, largest))
    })
}

/// The reason alone: the place is one in a text that was put together from the fields of a line.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Refuses fields inside of a field, such as `outcome`, that stand there twice or mean nothing.
fn check_inside(
    item: Item<'_>,
    path: &str,
    known: &Json,
    unknown: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    if item.sort() != Sort::Map {
        return Ok(());
    }
    let mut seen = Vec::new();
    for (key, value) in item.entries() {
        let key = key_text(key);
        let inside = format!("{path}.{key}");
        if seen.contains(&key) {
            return Err(format!("`{inside}` stands there twice"));
        }
        let Some(known) = known.get(&key) else {
            return Err(unknown(&inside));
        };
        check_inside(value, &inside, known, unknown)?;
        seen.push(key);
    }
    Ok(())
}

fn unknown_field(name: &str) -> String {
    format!("unknown field `{name}`; what a frame carries stands in `payload`")
}

fn frame(fields: &mut Fields<'_>, reading: &mut Reading) -> Result<Frame, String> {
    let number = fields.0.iter().any(|(key, kind)| key == "kind" && kind.sort() == Sort::Number);
    let kind = if number {
        Kind(fields.number("kind", 0)?)
    } else {
        fields.text("kind")?.map_or(Ok(Kind::DATA), |name| kind(&name))?
    };
    let object = fields.take("header");
    let header = match (fields.bytes("header_hex")?, object) {
        (None, None) => Header::empty(),
        (None, Some(object)) => match to_value_of_texts(object) {
            Ok(Value::Map(entries)) => {
                reading.look_for_bytes(&entries);
                Header::from_entries(entries)
            }
            Ok(_) => return Err("`header` is no object".to_owned()),
            Err(error) => return Err(format!("`header`: {error}")),
        },
        (Some(exact), object) => {
            let exact =
                Header::from_cbor(exact).map_err(|error| format!("`header_hex`: {error}"))?;
            if let Some(object) = object {
                let json = to_json(&Value::Map(exact.entries()));
                agree(("header", object), ("header_hex", Some(json)))?;
            }
            exact
        }
    };
    let exact = fields.bytes("payload_hex")?;
    let payload = fields.take("payload").map(payload).transpose()?;
    let payload = match (exact, payload) {
        (Some(exact), Some(payload)) if exact != payload => {
            return Err(disagreement("payload", "payload_hex"));
        }
        (exact, payload) => exact.or(payload).unwrap_or_default(),
    };
    Ok(Frame::new(kind, header, payload))
}

fn payload(item: Item<'_>) -> Result<Bytes, String> {
    if item.sort() != Sort::Text {
        // Written by hand: the payload is JSON itself, as it stands there.
        return Ok(item.raw().to_vec().into());
    }
    // A payload is bytes, so that half of a surrogate pair means nothing.
    let text = String::from_utf8(item.content().into_owned());
    Ok(text.map_err(|_| "`payload` has half of a surrogate pair".to_owned())?.into())
}

/// Refuses a field that somebody changed while the exact bytes beside it stayed as they were: to
/// take either would lose the other.
fn agree(
    (name, readable): (&str, Item<'_>),
    (exact_name, exact): (&str, Option<Exact>),
) -> Result<(), String> {
    let readable = to_value(readable).map_err(|error| format!("`{name}`: {error}"))?;
    // JSON that was made of a value can be made a value again.
    let exact = exact.and_then(|exact| from_json(&exact.to_string()).ok());
    match exact.is_some_and(|exact| is_same(&exact, &readable)) {
        true => Ok(()),
        false => Err(disagreement(name, exact_name)),
    }
}

fn disagreement(name: &str, exact_name: &str) -> String {
    format!("`{name}` and `{exact_name}` do not say the same; remove the one that is out of date")
}

/// Reads reserved kinds too: they were on the wire.
fn kind(name: &str) -> Result<Kind, String> {
    let number = match name.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    };
    match number {
        Some(number) => Ok(Kind(number)),
        None => name.parse().map_err(|error: glovebox_abi::UnknownKind| error.to_string()),
    }
}

fn host_call(
    fields: &mut Fields<'_>,
    reading: &mut Reading,
) -> Result<glovebox_events::HostCall, String> {
    let value = match fields.bytes("host_call_hex")? {
        Some(exact) => {
            let exact =
                Value::decode(&exact).map_err(|error| format!("`host_call_hex`: {error}"))?;
            let json = to_json(&exact);
            for (key, item) in &fields.0 {
                if key != "call" {
                    agree((key, *item), ("host_call_hex", json.get(key)))?;
                }
            }
            exact
        }
        None => {
            // `call` belongs to the event, the rest to the host call.
            let rest =
                fields.0.iter().filter(|(key, _)| OF_A_HOST_CALL[1..].contains(&key.as_str()));
            let entries = rest.map(|(key, item)| {
                match key.as_str() {
                    "took" => drop(whole::<u64>(key, *item)?),
                    "error" => drop(whole::<u32>(key, *item)?),
                    _ => {}
                }
                let value =
                    to_value_of_texts(*item).map_err(|error| format!("`{key}`: {error}"))?;
                Ok((Value::Text(key.clone()), value))
            });
            let entries = entries.collect::<Result<Vec<_>, String>>()?;
            reading.look_for_bytes(&entries);
            Value::Map(entries)
        }
    };
    host_call_from_value(value)
}
