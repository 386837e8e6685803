//! Paths as text that tells them apart.

use std::path::Path;
use std::str::Utf8Chunk;

/// A path as text. In a name that is no UTF-8, or that could be taken for one that is not, a byte stands
/// as `\xFF` and a backslash as two: two paths never have one text.
pub fn text_of_path(path: &Path) -> String {
    match path.to_str() {
        // On Windows, a backslash stands between folders.
        Some(text) if cfg!(windows) || !text.contains("\\x") => text.to_owned(),
        _ => path.as_os_str().as_encoded_bytes().utf8_chunks().map(escaped).collect(),
    }
}

fn escaped(part: Utf8Chunk<'_>) -> String {
    let bytes = part.invalid().iter().map(|byte| format!("\\x{byte:02X}"));
    part.valid().replace('\\', "\\\\") + &bytes.collect::<String>()
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn two_paths_never_have_one_text() {
        #[track_caller]
        fn check(path: &[u8], expected: &str) {
            assert_eq!(text_of_path(OsStr::from_bytes(path).as_ref()), expected);
        }
        check("a/ü \u{FFFD}.mcap".as_bytes(), "a/ü \u{FFFD}.mcap");
        check(b"n\xFF.mcap", r"n\xFF.mcap");
        check(b"n\xFE.mcap", r"n\xFE.mcap");
        check(br"n\xFF.mcap", r"n\\xFF.mcap");
        check(br"a\b", r"a\b");
        check(b"a\\b\xC3", r"a\\b\xC3");
    }
}
