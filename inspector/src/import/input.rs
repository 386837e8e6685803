//! The bytes of a capture: read on as they are needed, unpacked if they are packed.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

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
    is_packed: bool,
    /// Why reading ended before the end.
    trouble: Option<io::Error>,
}

impl<'a> Input<'a> {
    /// The bytes of a reader. Data packed by gzip, zstd or LZ4 is unpacked on the way.
    pub(super) fn of(mut reader: Box<dyn Read + 'a>) -> io::Result<Input<'a>> {
        let mut start = Vec::new();
        (&mut reader).take(4).read_to_end(&mut start)?;
        let packing: [u8; 4] =
            start.get(..4).and_then(|start| start.try_into().ok()).unwrap_or([0; 4]);
        let has_failed = Rc::new(Cell::new(false));
        let packed = Packed { reader, has_failed: Rc::clone(&has_failed) };
        let whole = Cursor::new(start).chain(packed);
        let (packing, reader): (_, Box<dyn Read + 'a>) = match packing {
            [0x1F, 0x8B, ..] => {
                ("gzip", Box::new(Gzip { member: Some(GzDecoder::new(BufReader::new(whole))) }))
            }
            // The second is a frame to skip; LZ4 has them too, but is not begun with one by any program.
            [0x28, 0xB5, 0x2F, 0xFD] | [0x50..=0x5F, 0x2A, 0x4D, 0x18] => {
                ("zstd", Box::new(zstd::stream::read::Decoder::new(whole)?))
            }
            [0x04, 0x22, 0x4D, 0x18] => ("LZ4", Box::new(Lz4::of(BufReader::new(whole))?)),
            _ => ("", Box::new(whole)),
        };
        let is_packed = !packing.is_empty();
        let reader: Box<dyn Read + 'a> = match packing {
            "" => reader,
            packing => Box::new(Unpacked { reader, packing, has_failed }),
        };
        let (window, trouble) = (Vec::new(), None);
        Ok(Input { reader, window, start: 0, taken: 0, ended: false, is_packed, trouble })
    }

    /// True if it is unpacked on the way.
    pub(super) fn is_packed(&self) -> bool {
        self.is_packed
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
                self.trouble = Some(error);
                0
            });
            self.window.truncate(before + read);
            self.ended = read == 0;
        }
        self.window.len() - self.start >= count
    }

    /// The bytes that were looked at and not taken: as many as the last [`has`](Self::has) asked
    /// for, or more.
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
    pub(super) fn trouble(&self) -> Option<&io::Error> {
        self.trouble.as_ref()
    }

    /// The first bytes, as many as there are up to `most`.
    pub(super) fn first(&mut self, most: usize) -> &[u8] {
        self.has(most);
        let ahead = self.ahead();
        &ahead[..ahead.len().min(most)]
    }
}

/// The content of a packed file before it is unpacked. It notes whether reading itself failed.
struct Packed<R> {
    reader: R,
    has_failed: Rc<Cell<bool>>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out);
        let is_failure = |error: &io::Error| error.kind() != ErrorKind::Interrupted;
        self.has_failed.set(read.as_ref().is_err_and(is_failure));
        read
    }
}

/// The output of an unpacker. If reading went well, its errors are about the packed data.
struct Unpacked<R> {
    reader: R,
    packing: &'static str,
    has_failed: Rc<Cell<bool>>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out).map_err(|error| match self.has_failed.get() {
            true => error,
            false => {
                let reason = format!("the {} data is damaged or cut short ({error})", self.packing);
                io::Error::new(ErrorKind::InvalidData, reason)
            }
        })
    }
}

/// Members of gzip, one after the other, and zeros behind them, with which tapes and some programs fill up
/// a block.
struct Gzip<R> {
    /// `None` once everything was read.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            if !ends_in_zeros(&mut rest)? {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// True if nothing but zeros is left, which is read then. If anything stands behind zeros, it is still
/// there, with the last of them in front.
fn ends_in_zeros(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let ahead = match rest.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        if ahead.is_empty() {
            return Ok(true);
        }
        let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
        let is_more = zeros < ahead.len();
        rest.consume(if is_more { zeros.saturating_sub(1) } else { zeros });
        if is_more {
            return Ok(false);
        }
    }
}

/// Frames of LZ4, one after the other. The decoder itself ends at the first, and where a frame is cut it
/// ends as well as at its end.
struct Lz4<R> {
    /// `None` once everything was read.
    frame: Option<lz4::Decoder<R>>,
}

impl<R: BufRead> Lz4<R> {
    fn of(reader: R) -> io::Result<Lz4<R>> {
        Ok(Lz4 { frame: Some(lz4::Decoder::new(reader)?) })
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(frame) = &mut self.frame {
            let count = frame.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let Some((mut rest, ended)) = self.frame.take().map(lz4::Decoder::finish) else {
                break;
            };
            ended.map_err(|_| io::Error::new(ErrorKind::UnexpectedEof, "incomplete LZ4 frame"))?;
            let is_more = loop {
                match rest.fill_buf() {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break !other?.is_empty(),
                }
            };
            if is_more {
                self.frame = Some(lz4::Decoder::new(rest)?);
            }
        }
        Ok(0)
    }
}

/// For formats that are read as text.
impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.has(1);
        if self.ahead().is_empty()
            && let Some(trouble) = &self.trouble
        {
            return Err(io::Error::new(trouble.kind(), trouble.to_string()));
        }
        let count = out.len().min(self.ahead().len());
        out[..count].copy_from_slice(&self.ahead()[..count]);
        self.skip(count);
        Ok(count)
    }
}
