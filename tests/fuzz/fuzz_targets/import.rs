#![no_main]

#[path = "../bodies/import.rs"]
mod import;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| import::run(bytes));
