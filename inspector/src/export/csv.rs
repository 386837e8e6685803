//! Series as comma-separated values (RFC 4180): one line for each bucket of each instance.

use std::io::{self, Write};
use std::time::Duration;

use super::Runner;
use crate::metrics::Series;

const HEADER: &str =
    "plugin,instance,version,start_ns,step_ns,frames,calls,errors,p50_ns,p99_ns,memory_bytes";

/// Writes the series of instances, each of one version; what nobody knows is empty.
///
/// # Errors
///
/// If `out` refuses.
pub fn write_csv<'a>(
    series: impl IntoIterator<Item = (&'a Runner, &'a Series)>,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "{HEADER}\r\n")?;
    for (Runner { plugin, instance, version }, series) in series {
        let (plugin, version) = (quoted(plugin), quoted(version));
        let step = series.step.as_nanos();
        for bucket in &series.buckets {
            let time = |time: Option<Duration>| {
                time.map_or_else(String::new, |time| time.as_nanos().to_string())
            };
            let memory = bucket.memory.map_or_else(String::new, |bytes| bytes.to_string());
            write!(
                out,
                "{plugin},{instance},{version},{},{step},{},{},{},{},{},{memory}\r\n",
                bucket.start,
                bucket.frames,
                bucket.calls,
                bucket.errors,
                time(bucket.p50),
                time(bucket.p99),
            )?;
        }
    }
    Ok(())
}

fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
