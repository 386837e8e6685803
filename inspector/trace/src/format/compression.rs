//! The compression of our chunks.

use std::io::{self, Write};

/// The name of the compression in the file.
pub(crate) const COMPRESSION: &str = "lz4";

/// One LZ4 frame. [`ChunkBuffer`](crate::read::chunk::ChunkBuffer) reads this form without the decoder
/// of frames.
pub(crate) fn compress(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = lz4::EncoderBuilder::new()
        .block_size(lz4::BlockSize::Max256KB)
        .block_mode(lz4::BlockMode::Independent)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
        .checksum(lz4::ContentChecksum::NoChecksum)
        // The bytes are compressed where they stand, not copied first.
        .auto_flush(true)
        .build(out)?;
    encoder.write_all(bytes)?;
    encoder.finish().1
}
