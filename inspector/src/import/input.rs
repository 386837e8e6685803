//! The bytes of a capture: read on as they are needed, unpacked if they are packed.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// A window into what is read, which grows as far as somebody looks ahead.
pub(super) struct Input<'a> {
    reader: Box<dyn Read + 'a>,
    window: Vec<u8>,
    /// Where the window begins that was not taken yet.
    start: usize,
    /// How many bytes were taken.
    taken: u64,
    ended: bool,
    /// Why reading ended before the end.
    trouble: Option<String>,
}

impl<'a> Input<'a> {
    /// A regular file, or standard input if the path is `-`. What gzip, zstd or LZ4 packed is
    /// unpacked on the way.
    pub(super) fn open(path: &Path) -> io::Result<Input<'static>> {
        let reader: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            let (file, _): (File, u64) = glovebox_files::open(path, u64::MAX)?;
            Box::new(file)
        };
        Input::of(reader)
    }

    /// What another reader gives.
    pub(super) fn of(mut reader: Box<dyn Read + 'a>) -> io::Result<Input<'a>> {
        let mut start = Vec::new();
        (&mut reader).take(4).read_to_end(&mut start)?;
        let packing: [u8; 4] =
            start.get(..4).and_then(|start| start.try_into().ok()).unwrap_or([0; 4]);
        let whole = Cursor::new(start).chain(reader);
        let reader: Box<dyn Read + 'a> = match packing {
            [0x1F, 0x8B, ..] => Box::new(MultiGzDecoder::new(BufReader::new(whole))),
            [0x28, 0xB5, 0x2F, 0xFD] => Box::new(zstd::stream::read::Decoder::new(whole)?),
            [0x04, 0x22, 0x4D, 0x18] => Box::new(lz4::Decoder::new(whole)?),
            _ => Box::new(whole),
        };
        let (window, trouble) = (Vec::new(), None);
        Ok(Input { reader, window, start: 0, taken: 0, ended: false, trouble })
    }

    /// Looks ahead by so many bytes; `false` if there are not as many.
    pub(super) fn has(&mut self, count: usize) -> bool {
        while self.window.len() - self.start < count && !self.ended {
            if self.start >= CHUNK {
                self.window.drain(..self.start);
                self.start = 0;
            }
            let before = self.window.len();
            self.window.resize(before + CHUNK, 0);
            let read = loop {
                match self.reader.read(&mut self.window[before..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            let read = read.unwrap_or_else(|error| {
                self.trouble = Some(error.to_string());
                0
            });
            self.window.truncate(before + read);
            self.ended = read == 0;
        }
        self.window.len() - self.start >= count
    }

    /// What was looked at and not taken: as much as the last [`has`](Self::has) asked for, or more.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.window[self.start..]
    }

    pub(super) fn skip(&mut self, count: usize) {
        debug_assert!(count <= self.ahead().len(), "skips what was looked at");
        self.start += count;
        self.taken += count as u64;
    }

    /// Where the next byte stands in the unpacked file.
    pub(super) fn offset(&self) -> u64 {
        self.taken
    }

    /// Why reading ended before the end, if it did.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The first bytes, as many as there are up to `most`.
    pub(super) fn first(&mut self, most: usize) -> &[u8] {
        self.has(most);
        let ahead = self.ahead();
        &ahead[..ahead.len().min(most)]
    }
}

/// For formats that are read as text.
impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.has(1);
        if self.ahead().is_empty()
            && let Some(trouble) = &self.trouble
        {
            return Err(io::Error::other(trouble.clone()));
        }
        let count = out.len().min(self.ahead().len());
        out[..count].copy_from_slice(&self.ahead()[..count]);
        self.skip(count);
        Ok(count)
    }
}
