//! From events to the file: bytes of an event ([`encoder`]), bytes of MCAP ([`container`]), the file
//! and its name ([`writer`]).

pub(crate) mod container;
mod encoder;
pub(crate) mod writer;
