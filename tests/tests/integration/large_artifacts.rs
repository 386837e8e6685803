//! Artifacts that are large where no plugin needs to be: the host has one copy of each, and no more.
#![cfg(target_os = "linux")]

use std::io::{BufWriter, Write};
use std::path::Path;

use glovebox_tests::alone::{alone, peak, resident};
use glovebox_tests::{Bench, sample};

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7F) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[test]
fn a_large_custom_section_takes_its_size_of_memory() {
    let test = "large_artifacts::a_large_custom_section_takes_its_size_of_memory";
    alone(test, || takes_its_size_of_memory("custom"));
}

#[test]
fn long_names_of_sections_take_their_size_of_memory() {
    let test = "large_artifacts::long_names_of_sections_take_their_size_of_memory";
    alone(test, || takes_its_size_of_memory("sections"));
}

#[test]
fn long_names_of_exports_take_their_size_of_memory() {
    let test = "large_artifacts::long_names_of_exports_take_their_size_of_memory";
    alone(test, || takes_its_size_of_memory("exports"));
}

#[test]
fn long_names_of_imports_take_their_size_of_memory() {
    let test = "large_artifacts::long_names_of_imports_take_their_size_of_memory";
    alone(test, || takes_its_size_of_memory("imports"));
}

/// A large artifact takes its size of the memory of the host, and little more, whatever it is large by.
fn takes_its_size_of_memory(which: &str) {
    const MORE: u64 = 64 << 20;
    const SIZE: usize = 91 << 20;
    const NAMES: usize = 95_000;
    const LENGTH: usize = SIZE / NAMES;
    type Out = BufWriter<std::fs::File>;
    /// A name, how it is written, and the reason for which it is refused.
    type Case = (&'static str, fn(&mut Out), Option<&'static str>);
    fn check(name: &str, write: fn(&mut Out), expected: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.wasm");
        let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
        write(&mut out);
        drop(out);
        let size = path.metadata().unwrap().len();
        assert!(size > SIZE as u64 - (1 << 20), "{name}: {size} bytes");
        let bench = Bench::new();
        let before = resident().unwrap();
        let _ = glovebox_host::inspect(Path::new(&path));
        let request = glovebox_host::LoadRequest::path(&path);
        let loaded = bench.host.load(request.compile_deadline(glovebox_tests::PATIENCE)).wait();
        let grown = peak().unwrap().saturating_sub(before);
        assert!(grown < size + MORE, "{name}: {grown} bytes for one of {size}");
        match (loaded, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{name}: {error}");
            }
            (Ok(_), Some(_)) => panic!("{name} is loaded"),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
    fn section(out: &mut Out, id: u8, length: usize) {
        out.write_all(&[&[id][..], &leb(length)].concat()).unwrap();
    }
    fn names(out: &mut Out, each: impl Fn(usize) -> Vec<u8>) {
        (0..NAMES).for_each(|number| out.write_all(&each(number)).unwrap());
    }
    fn name(number: usize) -> Vec<u8> {
        let text = format!("{number:0LENGTH$}");
        [leb(LENGTH), text.into_bytes()].concat()
    }
    fn sample_first(out: &mut Out) {
        out.write_all(&std::fs::read(sample("echo.wasm")).unwrap()).unwrap();
    }
    fn custom(out: &mut Out) {
        sample_first(out);
        section(out, 0, SIZE + 6);
        out.write_all(b"\x05large").unwrap();
        let block = vec![0; 1 << 20];
        (0..91).for_each(|_| out.write_all(&block).unwrap());
    }
    fn sections(out: &mut Out) {
        sample_first(out);
        names(out, |number| {
            let name = name(number);
            [&[0][..], &leb(name.len()), &name].concat()
        });
    }
    fn exports(out: &mut Out) {
        out.write_all(b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0").unwrap();
        let entry = name(0).len() + 2;
        section(out, 7, leb(NAMES).len() + NAMES * entry);
        out.write_all(&leb(NAMES)).unwrap();
        names(out, |number| [&name(number)[..], &[0, 0]].concat());
        out.write_all(b"\x0A\x04\x01\x02\0\x0B").unwrap();
    }
    fn imports(out: &mut Out) {
        out.write_all(b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0").unwrap();
        let entry = name(0).len() + 3;
        section(out, 2, leb(NAMES).len() + NAMES * entry);
        out.write_all(&leb(NAMES)).unwrap();
        names(out, |number| [&[0][..], &name(number), &[0, 0]].concat());
    }
    let refused = "bytes in the names of imports and exports";
    let cases: [Case; 4] = [
        ("custom", custom, None),
        ("sections", sections, None),
        ("exports", exports, Some(refused)),
        ("imports", imports, Some(refused)),
    ];
    let (name, write, expected) = cases.into_iter().find(|(name, ..)| *name == which).unwrap();
    check(name, write, expected);
}
