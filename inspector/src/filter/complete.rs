//! Completions of a filter, from the language and from the values seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use glovebox_abi::Kind;

use super::condition::{FIELDS, has_paths};
use super::expression::Word;
use super::parse::{Expected, expected_at_end, read_path};
use super::path::{Path, Step};
use super::{Filter, Subject};
use crate::decode::document::{Item, Sort};
use crate::decode::print::{Notation, Style, key_text, print};
use crate::decode::{Document, looks_like_cbor, looks_like_json};
use glovebox_trace::{Kinds, Statuses};

/// Completions that are offered at once.
const MAX_OFFERED: usize = 12;
/// Paths that are remembered of headers, and as many of payloads.
const MAX_PATHS: usize = 200;
/// Values that are remembered of a path.
const MAX_VALUES: usize = 20;
/// Characters of a value that is remembered.
const MAX_VALUE: usize = 60;
/// Plugins that are remembered, and as many of their versions and instances.
const MAX_PLUGINS: usize = 200;
/// Bytes of a payload that is looked into.
const MAX_PAYLOAD: usize = 64 << 10;
/// Steps of a path, and items of a list, that are looked at.
const MAX_STEPS: usize = 6;
const MAX_ITEMS: usize = 3;

/// Values that frames had, as a source of completions. Bounded; what no longer fits is left out.
#[derive(Debug, Clone, Default)]
pub struct SeenValues {
    plugins: BTreeSet<String>,
    versions: BTreeSet<String>,
    instances: BTreeSet<u64>,
    kinds: Kinds,
    header: Paths,
    payload: Paths,
}

/// Paths as they are written, each with values.
type Paths = BTreeMap<String, BTreeSet<String>>;

impl SeenValues {
    /// Takes in a frame. Header and payload are decoded whole, so give it a sample of frames.
    pub fn add(&mut self, subject: &Subject<'_>) {
        self.add_plugin(subject.plugin);
        self.kinds.insert(subject.kind);
        if self.versions.len() < MAX_PLUGINS && !subject.version.is_empty() {
            self.versions.insert(subject.version.to_owned());
        }
        // A frame by itself is of none.
        if self.instances.len() < MAX_PLUGINS && subject.generation > 0 {
            self.instances.insert(subject.instance);
        }
        if let Ok(header) = Document::cbor(subject.header) {
            collect(header.root(), &mut Path(Vec::new()), &mut self.header);
        }
        let payload = subject.payload;
        let document = match payload {
            _ if payload.len() > MAX_PAYLOAD => return,
            payload if looks_like_json(payload) => Document::json(payload),
            payload if looks_like_cbor(payload) => Document::cbor(payload),
            _ => return,
        };
        if let Ok(document) = document {
            collect(document.root(), &mut Path(Vec::new()), &mut self.payload);
        }
    }

    /// Takes in the id of a plugin, of which there may be no frame yet.
    pub fn add_plugin(&mut self, id: &str) {
        if self.plugins.len() < MAX_PLUGINS && !id.is_empty() && !self.plugins.contains(id) {
            self.plugins.insert(id.to_owned());
        }
    }
}

fn collect(item: Item<'_>, path: &mut Path, paths: &mut Paths) {
    let item = item.untagged();
    let mut inside = |path: &mut Path, name: String, item: Item<'_>| {
        path.0.push(Step::new(name));
        if path.0.len() <= MAX_STEPS {
            collect(item, path, paths);
        }
        path.0.pop();
    };
    let value = match item.sort() {
        Sort::Map => {
            return item.entries().for_each(|(key, value)| inside(path, key_text(key), value));
        }
        Sort::List => {
            let items = item.children().take(MAX_ITEMS).enumerate();
            return items.for_each(|(index, item)| inside(path, index.to_string(), item));
        }
        Sort::Text => String::from_utf8_lossy(&item.content()).into_owned(),
        _ => {
            let style = Style { notation: Notation::Json, sorted: false, pretty: false };
            print(item, style).trim_matches('"').to_owned()
        }
    };
    let path = path.to_string();
    if path.is_empty() || (paths.len() >= MAX_PATHS && !paths.contains_key(&path)) {
        return;
    }
    let values = paths.entry(path).or_default();
    if values.len() < MAX_VALUES && value.chars().nth(MAX_VALUE).is_none() {
        values.insert(value);
    }
}

/// Something that could be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The part that it replaces, in bytes of the text; the cursor belongs behind it.
    pub replace: Range<usize>,
    /// The text to write there.
    pub text: String,
    /// Its meaning, in a few words.
    pub hint: &'static str,
}

impl Completion {
    /// The text with the completion in it, and where the cursor belongs, in bytes.
    pub fn apply(&self, text: &str) -> (String, usize) {
        let before = text.get(..self.replace.start).unwrap_or(text);
        let after = text.get(self.replace.end..).unwrap_or_default();
        (format!("{before}{}{after}", self.text), before.len() + self.text.len())
    }
}

impl Filter {
    /// Completions for the text at `cursor`, in bytes of the text: the likeliest first, at most a
    /// dozen.
    ///
    /// ```
    /// use glovebox_inspector::filter::{Filter, SeenValues};
    ///
    /// let mut seen = SeenValues::default();
    /// seen.add_plugin("redact");
    /// let offered = Filter::complete("plugin:re", 9, &seen);
    /// assert_eq!(offered[0].apply("plugin:re").0, "plugin:redact");
    /// assert_eq!(Filter::complete("lat", 3, &seen)[0].text, "latency>");
    /// ```
    pub fn complete(text: &str, cursor: usize, seen: &SeenValues) -> Vec<Completion> {
        let cursor = text.floor_char_boundary(cursor.min(text.len()));
        let (before, after) = text.split_at(cursor);
        let Some(expected) = expected_at_end(before) else {
            return Vec::new();
        };
        let (start, offers) = match expected {
            Expected::Condition { start } => {
                let separate = |c: char| c.is_whitespace() || "(!".contains(c);
                if !before[..start].chars().next_back().is_none_or(separate) {
                    return Vec::new();
                }
                (start, conditions(&before[start..], start > 0, seen))
            }
            Expected::Value { field, start } => (start, values(&field, seen)),
        };
        let typed = before[start..].trim_start_matches('"');
        // The rest of the word goes too; what follows it stays.
        let ends = |c: char| c.is_whitespace() || "()\":=!<>~{},".contains(c);
        let rest = after.find(ends).unwrap_or(after.len());
        let has_operator = after[rest..].trim_start().starts_with([':', '=', '!', '<', '>', '~']);
        let rank = |offer: &Offer| {
            let (name, typed) = (offer.name.to_lowercase(), typed.to_lowercase());
            match () {
                () if offer.name == typed && offer.text == offer.name => None,
                () if name.starts_with(&typed) => Some(0),
                () if typed.len() > 1 && name.contains(&typed) => Some(1),
                () => None,
            }
        };
        let mut ranked: Vec<_> =
            offers.into_iter().filter_map(|offer| Some((rank(&offer)?, offer))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        let completion = |(_, offer): (u8, Offer)| Completion {
            replace: start..cursor + rest,
            text: if has_operator { offer.name } else { offer.text },
            hint: offer.hint,
        };
        ranked.into_iter().take(MAX_OFFERED).map(completion).collect()
    }
}

/// A possible completion.
struct Offer {
    /// The name that the typed text is compared with.
    name: String,
    /// The text to write: the name with its usual operator, or in quotes.
    text: String,
    hint: &'static str,
}

fn conditions(typed: &str, follows: bool, seen: &SeenValues) -> Vec<Offer> {
    let root = typed.find(['.', '[']).map(|end| &typed[..end]).filter(|root| has_paths(root));
    if let Some(root) = root {
        let paths = seen.paths(root).keys();
        return paths
            .map(|path| {
                let name = format!("{root}{path}");
                Offer { text: format!("{name}="), name, hint: "seen" }
            })
            .collect();
    }
    let field = |field: &&str| {
        let (operator, hint) = describe(field);
        Offer { name: (*field).to_owned(), text: format!("{field}{operator}"), hint }
    };
    let keyword =
        |word: &str, hint| Offer { name: word.to_owned(), text: format!("{word} "), hint };
    let mut offers: Vec<_> = FIELDS.iter().map(field).collect();
    offers.push(keyword("not", "the opposite"));
    if follows {
        offers.push(keyword("or", "one of both"));
        offers.push(keyword("and", "both"));
    }
    offers
}

/// The usual operator of a field, and what it is.
fn describe(field: &str) -> (&'static str, &'static str) {
    match field {
        "plugin" => (":", "part of a plugin's id"),
        "kind" => (":", "kind of frame"),
        "dir" => (":", "in or out"),
        "status" => (":", "how the call ended"),
        "latency" => (">", "duration of the call"),
        "size" => (">", "bytes of the frame"),
        "time" => (">", "since the first event"),
        "call" => (":", "number of the call"),
        "instance" => ("=", "one running plugin, by its number"),
        "gen" => (":", "generation of the plugin"),
        "version" => ("=", "version of the plugin"),
        "text" => (":", "in header or payload"),
        "header" => (".", "a value in the header"),
        "payload" => (".", "a value in JSON or CBOR"),
        "json" => (".", "a value in JSON"),
        _ => (".", "a value in CBOR"),
    }
}

fn values(field: &str, seen: &SeenValues) -> Vec<Offer> {
    let offer = |hint| {
        move |value: &str| Offer { name: value.to_owned(), text: Word(value).to_string(), hint }
    };
    match field {
        "plugin" => seen.plugins.iter().map(String::as_str).map(offer("seen")).collect(),
        "version" => seen.versions.iter().map(String::as_str).map(offer("seen")).collect(),
        "instance" => {
            seen.instances.iter().map(|number| offer("seen")(&number.to_string())).collect()
        }
        "kind" => {
            let mut kinds = seen.kinds;
            let there = seen.kinds.iter().map(|kind| offer("seen")(&kind.to_string()));
            let mut offers: Vec<_> = there.collect();
            let known = Kind::NAMED.iter().filter(|(kind, _)| {
                let new = !kinds.contains(*kind);
                kinds.insert(*kind);
                new
            });
            offers.extend(known.map(|(_, name)| offer("kind of frame")(name)));
            offers
        }
        "dir" => ["in", "out"].into_iter().map(offer("direction")).collect(),
        "status" => Statuses::names().map(offer("how the call ended")).collect(),
        "latency" | "time" => {
            ["1ms", "10ms", "100ms", "1s"].into_iter().map(offer("duration")).collect()
        }
        "size" => ["1k", "64k", "1M"].into_iter().map(offer("size")).collect(),
        _ => {
            let root = field.find(['.', '[']).map_or(field, |end| &field[..end]);
            let path = read_path(&field[root.len()..]).map(|path| path.to_string());
            let known = path.ok().and_then(|path| seen.paths(root).get(&path));
            known.into_iter().flatten().map(String::as_str).map(offer("seen")).collect()
        }
    }
}

impl SeenValues {
    fn paths(&self, root: &str) -> &Paths {
        if root == "header" { &self.header } else { &self.payload }
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::{Frame, Header};

    use super::*;
    use glovebox_abi::cbor::Value;

    fn seen() -> SeenValues {
        let user = Value::Map(vec![(Value::Text("id".into()), Value::Integer(42))]);
        let header = Header::build().text("id", "Q 1").value("user", user).finish();
        let payload = r#"{"items": [{"price": 10}], "mail": "ann@example.org"}"#;
        let mut seen = SeenValues::default();
        let frame = Frame::new(Kind(0x61), header, payload);
        seen.add(&Subject { plugin: "redact", ..Subject::of_frame(&frame) });
        seen.add_plugin("echo");
        seen
    }

    #[test]
    fn what_could_follow_is_offered() {
        /// `|` is the cursor; the texts that the first completions make are expected.
        fn check(text: &str, expected: &[&str]) {
            let cursor = text.find('|').expect("the test marks the cursor");
            let text = text.replace('|', "");
            let offered = Filter::complete(&text, cursor, &seen());
            let results: Vec<_> =
                offered.iter().map(|offered| offered.apply(&text).0).take(expected.len()).collect();
            assert_eq!(results, expected, "{text}");
        }
        check("|", &["plugin:", "kind:"]);
        check("pl|", &["plugin:"]);
        check("plu|gin:redact", &["plugin:redact"]);
        check("kind:data la|", &["kind:data latency>"]);
        check("(s|", &["(status:", "(size>"]);
        check("!s|", &["!status:"]);
        check("a o|", &["a or "]);
        check("no|", &["not "]);
        check("plugin:|", &["plugin:echo", "plugin:redact"]);
        check("plugin=r|", &["plugin=redact"]);
        check("plugin:dac|", &["plugin:redact"]);
        check("plugin:re| kind:data", &["plugin:redact kind:data"]);
        check("plugin in {echo, r|", &["plugin in {echo, redact"]);
        check("plugin:\"r|", &["plugin:redact"]);
        check("kind:|", &["kind:0x61", "kind:handshake"]);
        check("status!=t|", &["status!=timed-out", "status!=trapped"]);
        check("dir:|", &["dir:in", "dir:out"]);
        check("latency>1|", &["latency>1ms", "latency>10ms"]);
        check("header|", &["header."]);
        check("header.|", &["header.id=", "header.user.id="]);
        check("header.us|", &["header.user.id="]);
        check("header.user.id=|", &["header.user.id=42"]);
        check("header.id=|", &["header.id=\"Q 1\""]);
        check("json.it|", &["json.items[0].price="]);
        check("payload[\"items\"][0].price>|", &["payload[\"items\"][0].price>10"]);
    }

    #[test]
    fn nothing_is_offered_where_nothing_is_known() {
        fn check(text: &str) {
            assert_eq!(Filter::complete(text, text.len(), &seen()), [], "{text}");
        }
        check("plugin:redact");
        check("plugin:nobody");
        check("payload ~ /re");
        check("payload ~ hex:\"de");
        check("text:\"abc\"");
        check("call:");
        check("header.missing=");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = SeenValues::default();
        for number in 0..1000 {
            let payload = format!(r#"{{"k{number}": 1, "k": {number}, "long": "{number:0100}"}}"#);
            let plugin = format!("plugin-{number}");
            let frame = Frame::data(payload);
            seen.add(&Subject { plugin: &plugin, ..Subject::of_frame(&frame) });
        }
        assert_eq!((seen.plugins.len(), seen.payload.len()), (MAX_PLUGINS, MAX_PATHS));
        assert_eq!(seen.payload.get(".k").map(BTreeSet::len), Some(MAX_VALUES));
        assert_eq!(seen.payload.get(".long").map(BTreeSet::len), Some(0));
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_completed(text in r#"(plugin|json\.|in|[a-z:=!<>()" ü{},~/\[\]]){0,12}"#, at in 0usize..40) {
            for offered in Filter::complete(&text, at, &seen()) {
                let (_, cursor) = offered.apply(&text);
                proptest::prop_assert!(offered.replace.end <= text.len() && cursor > 0);
            }
        }
    }
}
