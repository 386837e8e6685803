use std::ops::Range;

use super::*;

/// Two functions: one that traps in its fourth byte, and one that calls it.
const TEXT: &str = "(module
    (func $_ZN5guest4work17h0123456789abcdefE nop nop unreachable)
    (func $_RNvCs1234_5guest3run (export \"run\") call 0))";

/// The module without debug information.
fn module() -> Vec<u8> {
    wat::parse_str(TEXT).unwrap()
}

/// Where the contents of the code section of a module are, and the bodies of its functions.
fn places(module: &[u8]) -> (usize, Vec<Range<usize>>) {
    let (mut code, mut bodies) = (0, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::CodeSectionStart { range, .. } => code = range.start,
            Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            _ => {}
        }
    }
    (code, bodies)
}

fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7F) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A section of a module or component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len()), content].concat()
}

/// Debug information as a compiler writes it.
#[derive(Clone)]
struct Written {
    kinds: Vec<u8>,
    entries: Vec<u8>,
    lines: Vec<u8>,
}

impl Written {
    /// The module with it.
    fn module(&self) -> Vec<u8> {
        let parts = [
            (".debug_abbrev", &self.kinds),
            (".debug_info", &self.entries),
            (".debug_line", &self.lines),
        ];
        let mut bytes = module();
        for (name, content) in parts {
            let content = [&number(name.len()), name.as_bytes(), content].concat();
            bytes.extend(section(0, &content));
        }
        bytes
    }
}

/// Something with its length before it.
fn with_length(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_le_bytes()[..], content].concat()
}

/// The entries of a unit, with its header (DWARF 4, 7.5.1.1).
fn unit(entries: &[u8]) -> Vec<u8> {
    with_length(&[&[4, 0, 0, 0, 0, 0, 4][..], entries].concat())
}

/// The debug information about the function that traps: in line 40 at first, and at the trap in line 42
/// of `inner`, which is part of it in line 7.
fn usual() -> Written {
    let (code, bodies) = places(&module());
    // Behind the locals of the function, of which there are none.
    let begin = (bodies[0].start - code) as u32 + 1;
    let (size, trap) = (bodies[0].len() as u32 - 1, begin + 2);
    // Kinds of entries: a unit with name, lines and range; a function with range and mangled name; one
    // that is part of another, with its name, its range, and where it is.
    let kinds = [
        &[1, 0x11, 1, 0x03, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0][..],
        &[2, 0x2E, 1, 0x11, 0x01, 0x12, 0x06, 0x6E, 0x08, 0, 0],
        &[3, 0x1D, 0, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0x58, 0x0B, 0x59, 0x0B, 0, 0],
        &[0],
    ];
    let range = |begin: u32, size: u32| [begin.to_le_bytes(), size.to_le_bytes()].concat();
    let entries = [
        &b"\x01lib.rs\0\0\0\0\0"[..],
        &range(begin, size),
        &[2],
        &range(begin, size),
        b"_ZN5guest4work17h0123456789abcdefE\0",
        b"\x03inner\0",
        &range(trap, 1),
        &[1, 7],
        &[0, 0],
    ];
    // Bytes of an instruction and their kind, lines, arguments of operations; then folders and files.
    let header = [
        &[1, 1, 1, 0xFB, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1][..],
        b"\0src/lib.rs\0\0\0\0\0",
    ];
    let program = [
        &[0, 5, 2][..],
        &begin.to_le_bytes(),
        &[3, 39, 1],
        &[2, 2, 3, 2, 1],
        &[2, 1, 3, 1, 1],
        &[2, (size - 3) as u8, 0, 1, 1],
    ];
    let lines = [&[4, 0][..], &with_length(&header.concat()), &program.concat()].concat();
    Written { kinds: kinds.concat(), entries: unit(&entries.concat()), lines: with_length(&lines) }
}

/// The frames of the trap in a module that begins at this offset.
fn frames(start: usize) -> Vec<StackFrame> {
    let (_, bodies) = places(&module());
    let frame = |name: &str, at: usize| StackFrame {
        module: "guest".to_owned(),
        function: Some(name.to_owned()),
        offset: Some((start + at) as u64),
        place: None,
    };
    vec![
        frame("_ZN5guest4work17h0123456789abcdefE", bodies[0].start + 3),
        frame("_RNvCs1234_5guest3run", bodies[1].start + 1),
    ]
}

/// The functions and places that are found for the frames.
fn found(artifact: &[u8], frames: &[StackFrame]) -> Vec<(String, Option<String>)> {
    let found = symbolized(artifact, frames).into_iter();
    found.map(|frame| (frame.function.unwrap_or_default(), frame.place)).collect()
}

fn check(artifact: &[u8], frames: &[StackFrame], expected: &[(&str, Option<&str>)]) {
    let found = found(artifact, frames);
    let found: Vec<(&str, Option<&str>)> =
        found.iter().map(|(name, place)| (name.as_str(), place.as_deref())).collect();
    assert_eq!(found, expected);
}

/// The result without debug information.
const NAMES: &[(&str, Option<&str>)] = &[("guest::work", None), ("guest::run", None)];

#[test]
fn functions_files_and_lines_are_found() {
    let expected = [
        ("inner", Some("src/lib.rs:42")),
        ("guest::work", Some("src/lib.rs:7")),
        ("guest::run", None),
    ];
    let with_lines = usual().module();
    check(&with_lines, &frames(0), &expected);
    // Inside a component, offsets are from its start.
    let preamble = b"\0asm\x0D\0\x01\0";
    let inner = [&number(with_lines.len())[..], &with_lines].concat();
    let component = [&preamble[..], &[1], &inner].concat();
    let start = component.len() - with_lines.len();
    check(&component, &frames(start), &expected);
    // A frame that points at a whole function means its first instruction, which is in another line.
    let mut at_begin = frames(0);
    at_begin.truncate(1);
    at_begin[0].offset = Some(places(&module()).1[0].start as u64);
    check(&with_lines, &at_begin, &[("guest::work", Some("src/lib.rs:40"))]);
    // The name section has the whole path, and DWARF what is not there.
    at_begin[0].function = Some("_ZN5guest4deep4work17h0123456789abcdefE".to_owned());
    check(&with_lines, &at_begin, &[("guest::deep::work", Some("src/lib.rs:40"))]);
    at_begin[0].function = Some("function 0".to_owned());
    check(&with_lines, &at_begin, &[("guest::work", Some("src/lib.rs:40"))]);
    // A frame in no module keeps its name.
    let elsewhere = frames(1 << 20);
    check(&with_lines, &elsewhere, NAMES);
}

#[test]
fn a_stripped_module_has_names() {
    check(&module(), &frames(0), NAMES);
    check(b"", &frames(0), NAMES);
    check(&usual().module()[..60], &frames(0), NAMES);
    check(&module(), &[], &[]);
}

#[test]
fn damage_takes_lines_and_nothing_else() {
    let whole = usual();
    type Part = fn(&mut Written) -> &mut Vec<u8>;
    let parts: [Part; 3] = [|it| &mut it.kinds, |it| &mut it.entries, |it| &mut it.lines];
    let mut named = 0;
    for part in parts {
        let length = part(&mut whole.clone()).len();
        for at in 0..length {
            for damage in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                let mut damaged = whole.clone();
                part(&mut damaged)[at] = damage;
                let found = found(&damaged.module(), &frames(0));
                assert!(found.len() >= 2, "{found:?}");
                assert_eq!(found[found.len() - 1].0, "guest::run");
                named += usize::from(found[0].0 == "guest::work");
            }
            let mut cut = whole.clone();
            part(&mut cut).truncate(at);
            assert!(found(&cut.module(), &frames(0)).len() >= 2);
        }
    }
    // Some of it was noticed.
    assert!(named > 50, "{named}");
}

#[test]
fn hostile_entries_are_not_followed() {
    let fits = usual();
    // Functions in functions, so deep that the stack would end.
    let mut deep = fits.clone();
    deep.kinds.pop();
    deep.kinds.extend([4, 0x1D, 1, 0, 0, 0]);
    let begin = fits.entries.len() - b"\x03inner\0".len() - 8 - 2 - 2;
    let inside = [&fits.entries[11..begin], &[4; 1_000_000]].concat();
    deep.entries = unit(&inside);
    check(&deep.module(), &frames(0), NAMES);
    // An entry with a thousand attributes that take no byte.
    let mut wide = fits.clone();
    wide.kinds.pop();
    wide.kinds.extend([5, 0x34, 0]);
    wide.kinds.extend([0x34, 0x19].repeat(1000));
    wide.kinds.extend([0, 0, 0]);
    check(&wide.module(), &frames(0), NAMES);
    // Many units, each with the same long list of kinds.
    let mut long = fits.clone();
    long.kinds.pop();
    for code in 10..10_000 {
        long.kinds.extend(number(code));
        long.kinds.extend([0x34, 0, 0, 0]);
    }
    long.kinds.push(0);
    long.entries.extend(unit(&[0]).repeat(100_000));
    check(&long.module(), &frames(0), NAMES);
}

#[test]
fn names_are_readable_and_short() {
    fn check(mangled: &str, expected: &str) {
        assert_eq!(readable(mangled), expected);
    }
    check("deep", "deep");
    check("_ZN5guest4work17h0123456789abcdefE", "guest::work");
    check("_RNvCs1234_5guest3run", "guest::run");
    check("function 7", "function 7");
    check("", "");
    // Cut names stay as they are.
    check("_ZN5guest4work17h0123", "_ZN5guest4work17h0123");
    let long = format!("_ZN3abc{}17h0123456789abcdefE", "3abc".repeat(100));
    assert_eq!(readable(&long).chars().count(), 201);
    assert!(readable(&long).starts_with("abc::abc::"));
    // A pair of pairs of pairs: a short name for one of more letters than there is memory.
    let mut bomb = "INvC1a1f".to_owned();
    let mut last = "TuuE".to_owned();
    for _ in 0..40 {
        let place = number_of_62(bomb.len());
        bomb.push_str(&last);
        last = format!("TB{place}B{place}E");
    }
    let shown = readable(&format!("_R{bomb}E"));
    assert!(shown.starts_with("a::f::<((), ()), (((), ()), ((), ()))"), "{shown}");
    assert!(shown.chars().count() <= 202, "{shown}");
    assert!(kept_name(&"a".repeat(1 << 20)).len() < MAX_NAME_LEN + 50);
}

/// A number as mangled names have it.
fn number_of_62(number: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let Some(mut rest) = number.checked_sub(1) else { return "_".to_owned() };
    let mut digits = Vec::new();
    loop {
        digits.insert(0, char::from(DIGITS[rest % 62]));
        rest /= 62;
        if rest == 0 {
            return digits.into_iter().collect::<String>() + "_";
        }
    }
}
