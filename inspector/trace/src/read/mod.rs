//! From the file to events: records ([`framing`]), chunks ([`chunk`]), events ([`reader`]), or all
//! of them at once ([`whole`]).

pub(crate) mod chunk;
mod foreign;
pub(crate) mod framing;
pub(crate) mod reader;
pub(crate) mod whole;
