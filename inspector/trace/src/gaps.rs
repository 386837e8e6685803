use crate::{TraceError, TraceReader, TraceWriter};

/// Hands on to a trace that is made of another one how many events the recorder of that could not keep.
///
/// It stands where the gap was, to the chunk.
#[derive(Debug, Default)]
pub struct Gaps {
    passed: u64,
}

impl Gaps {
    /// Writes the gaps that the reader came upon since the last time. Called before what the reader
    /// gave last is written, and once at the end.
    ///
    /// # Errors
    ///
    /// As [`TraceWriter::write`].
    pub fn pass_on(
        &mut self,
        reader: &TraceReader,
        writer: &mut TraceWriter,
    ) -> Result<(), TraceError> {
        let lost = reader.lost_events() - self.passed;
        if lost > 0 {
            writer.write_gap(lost, reader.gap_cause())?;
            self.passed += lost;
        }
        Ok(())
    }
}
