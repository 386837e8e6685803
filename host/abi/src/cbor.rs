//! CBOR values (RFC 8949), as headers carry them.
//!
//! [`Value`] is the decoded form; [`check_map`] accepts a header without decoding it. Depth and
//! claimed lengths are bounded, so hostile bytes cost no more memory than their own size.

use std::error::Error;
use std::fmt;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

/// How deeply values may nest.
pub const MAX_DEPTH: usize = 64;

/// A decoded CBOR value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null` or `undefined`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer from −2⁶⁴ to 2⁶⁴ − 1. One beyond that is written with all its digits too, as a
    /// [`Tag`](Value::Tag) 2 or 3 of bytes, and read as that.
    Integer(i128),
    /// A floating-point number of any width.
    Float(f64),
    /// A text.
    Text(String),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// A map, in the order of the encoding; keys may be any value.
    Map(Vec<(Value, Value)>),
    /// A tagged value.
    Tag(u64, Box<Value>),
    /// A simple value without a meaning of its own.
    Simple(u8),
}

/// Why bytes are not the CBOR that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborError {
    /// The outermost value has another type.
    NotAMap {
        /// The type that was found.
        found: String,
    },
    /// Values nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Something follows the value.
    Trailing {
        /// How many bytes follow.
        bytes: usize,
    },
    /// The bytes break the rules of CBOR.
    Malformed {
        /// Offset of the first bad byte.
        position: usize,
        /// The error there.
        reason: String,
    },
}

impl fmt::Display for CborError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CborError::NotAMap { found } => write!(formatter, "expected a map, found {found}"),
            CborError::TooDeep => write!(formatter, "nested deeper than {MAX_DEPTH} levels"),
            CborError::Trailing { bytes } => write!(formatter, "{bytes} bytes follow the value"),
            CborError::Malformed { position, reason } => {
                write!(formatter, "malformed at byte {position}: {reason}")
            }
        }
    }
}

impl Error for CborError {}

/// Calls a method of a decoder and says where its error stands.
macro_rules! take {
    ($decoder:ident . $method:ident ()) => {{
        let start = $decoder.position();
        $decoder.$method().map_err(|error| malformed(start, &error))?
    }};
}

/// Accepts bytes that are exactly one CBOR map, without allocating.
///
/// # Errors
///
/// If they are not.
pub fn check_map(bytes: &[u8]) -> Result<(), CborError> {
    // An empty map is what most headers that are not omitted hold.
    if bytes == [0xA0] {
        return Ok(());
    }
    let mut decoder = Decoder::new(bytes);
    let found = take!(decoder.datatype());
    if !matches!(found, Type::Map | Type::MapIndef) {
        return Err(CborError::NotAMap { found: found.to_string() });
    }
    skip(&mut decoder, 0)?;
    expect_end(&decoder, bytes)
}

impl Value {
    /// Reads exactly one value; no bytes at all are an empty map, as in a [`Header`](crate::Header).
    ///
    /// # Errors
    ///
    /// If the bytes are not one well-formed value.
    pub fn decode(bytes: &[u8]) -> Result<Value, CborError> {
        if bytes.is_empty() {
            return Ok(Value::Map(Vec::new()));
        }
        let mut decoder = Decoder::new(bytes);
        let value = read(&mut decoder, 0)?;
        expect_end(&decoder, bytes)?;
        Ok(value)
    }

    /// The encoded value, in the shortest form; an integer of more than 64 bits and a sign becomes a big
    /// number, which [`decode`](Self::decode) reads as the [`Tag`](Self::Tag) 2 or 3 with its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        write(&mut encoder, self).expect("writing to a vector cannot fail");
        encoder.into_writer()
    }
}

fn malformed(start: usize, error: &minicbor::decode::Error) -> CborError {
    let position = error.position().unwrap_or(start);
    CborError::Malformed { position, reason: error.to_string() }
}

fn expect_end(decoder: &Decoder<'_>, bytes: &[u8]) -> Result<(), CborError> {
    match bytes.len() - decoder.position() {
        0 => Ok(()),
        bytes => Err(CborError::Trailing { bytes }),
    }
}

fn deeper(depth: usize) -> Result<usize, CborError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(CborError::TooDeep) }
}

/// Runs `item` for every item of an array or pair of a map, of known or open length.
fn each_item(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    mut item: impl FnMut(&mut Decoder<'_>) -> Result<(), CborError>,
) -> Result<(), CborError> {
    match length {
        Some(length) => (0..length).try_for_each(|_| item(decoder)),
        None => loop {
            let next = take!(decoder.datatype());
            if next == Type::Break {
                decoder.set_position(decoder.position() + 1);
                return Ok(());
            }
            item(decoder)?;
        },
    }
}

fn skip(decoder: &mut Decoder<'_>, depth: usize) -> Result<(), CborError> {
    let depth = deeper(depth)?;
    match take!(decoder.datatype()) {
        Type::Array | Type::ArrayIndef => {
            let length = take!(decoder.array());
            each_item(decoder, length, |decoder| skip(decoder, depth))
        }
        Type::Map | Type::MapIndef => {
            let length = take!(decoder.map());
            each_item(decoder, length, |decoder| {
                skip(decoder, depth)?;
                skip(decoder, depth)
            })
        }
        Type::Tag => {
            take!(decoder.tag());
            skip(decoder, depth)
        }
        Type::String => {
            take!(decoder.str());
            Ok(())
        }
        Type::StringIndef | Type::BytesIndef => read(decoder, depth).map(drop),
        _ => {
            take!(decoder.skip());
            Ok(())
        }
    }
}

fn read(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, CborError> {
    let depth = deeper(depth)?;
    Ok(match take!(decoder.datatype()) {
        Type::Null => {
            take!(decoder.null());
            Value::Null
        }
        Type::Undefined => {
            take!(decoder.undefined());
            Value::Null
        }
        Type::Bool => Value::Bool(take!(decoder.bool())),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::Integer(take!(decoder.u64()).into()),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            Value::Integer(take!(decoder.int()).into())
        }
        Type::F16 => Value::Float(half_float(decoder)?),
        Type::F32 => Value::Float(take!(decoder.f32()).into()),
        Type::F64 => Value::Float(take!(decoder.f64())),
        Type::Simple => Value::Simple(take!(decoder.simple())),
        Type::String => Value::Text(take!(decoder.str()).to_owned()),
        Type::StringIndef => {
            let start = decoder.position();
            let parts = take!(decoder.str_iter()).collect::<Result<String, _>>();
            Value::Text(parts.map_err(|error| malformed(start, &error))?)
        }
        Type::Bytes => Value::Bytes(take!(decoder.bytes()).to_vec()),
        Type::BytesIndef => {
            let start = decoder.position();
            let parts = take!(decoder.bytes_iter()).collect::<Result<Vec<_>, _>>();
            Value::Bytes(parts.map_err(|error| malformed(start, &error))?.concat())
        }
        Type::Array | Type::ArrayIndef => {
            let mut items = Vec::new();
            let length = take!(decoder.array());
            each_item(decoder, length, |decoder| {
                items.push(read(decoder, depth)?);
                Ok(())
            })?;
            Value::Array(items)
        }
        Type::Map | Type::MapIndef => {
            let mut entries = Vec::new();
            let length = take!(decoder.map());
            each_item(decoder, length, |decoder| {
                let key = read(decoder, depth)?;
                entries.push((key, read(decoder, depth)?));
                Ok(())
            })?;
            Value::Map(entries)
        }
        Type::Tag => {
            let tag = take!(decoder.tag()).as_u64();
            Value::Tag(tag, Box::new(read(decoder, depth)?))
        }
        other @ (Type::Break | Type::Unknown(_)) => {
            return Err(CborError::Malformed {
                position: decoder.position(),
                reason: format!("unexpected {other}"),
            });
        }
    })
}

/// Takes a floating-point number of 16 bits (IEEE 754 `binary16`; RFC 8949, appendix D). minicbor
/// would do it with a crate that is larger than itself, which every plugin would have to build.
fn half_float(decoder: &mut Decoder<'_>) -> Result<f64, CborError> {
    let start = decoder.position();
    take!(decoder.skip());
    let [_, high, low] = decoder.input()[start..decoder.position()] else {
        unreachable!(
            "a half float is three bytes long, and skipping it checks that they are there"
        );
    };
    let exponent = u64::from(high >> 2 & 0x1F);
    let fraction = u64::from(high & 0x03) << 8 | u64::from(low);
    // A double has 52 bits of fraction instead of 10, and counts its exponent from -1023 instead of -15.
    let double = |exponent: u64| f64::from_bits(exponent << 52 | fraction << 42);
    let magnitude = match exponent {
        0 => fraction as f64 / f64::from(1 << 24),
        0x1F => double(0x7FF),
        _ => double(exponent + 1023 - 15),
    };
    Ok(if high & 0x80 == 0 { magnitude } else { -magnitude })
}

/// Writes a number beyond 64 bits and a sign as RFC 8949 has it in 3.4.3: its bytes, under a tag.
fn write_large(encoder: &mut Encoder<Vec<u8>>, number: i128) -> Written {
    let (tag, magnitude) = if number < 0 { (3, -1 - number) } else { (2, number) };
    let bytes = magnitude.to_be_bytes();
    let start = bytes.iter().take_while(|byte| **byte == 0).count();
    encoder.tag(minicbor::data::Tag::new(tag))?.bytes(&bytes[start..])?;
    Ok(())
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn write(encoder: &mut Encoder<Vec<u8>>, value: &Value) -> Written {
    match value {
        Value::Null => encoder.null()?,
        Value::Bool(value) => encoder.bool(*value)?,
        Value::Integer(number) => match minicbor::data::Int::try_from(*number) {
            Ok(number) => encoder.int(number)?,
            Err(_) => return write_large(encoder, *number),
        },
        Value::Float(number) => encoder.f64(*number)?,
        Value::Text(text) => encoder.str(text)?,
        Value::Bytes(bytes) => encoder.bytes(bytes)?,
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            return items.iter().try_for_each(|item| write(encoder, item));
        }
        Value::Map(entries) => {
            encoder.map(entries.len() as u64)?;
            return entries.iter().try_for_each(|(key, value)| {
                write(encoder, key)?;
                write(encoder, value)
            });
        }
        Value::Tag(tag, value) => {
            encoder.tag(minicbor::data::Tag::new(*tag))?;
            return write(encoder, value);
        }
        Value::Simple(value) => encoder.simple(*value)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_integers_keep_all_digits() {
        fn check(number: i128, tag: u64, bytes: &[u8]) {
            let read = Value::decode(&Value::Integer(number).to_bytes());
            assert_eq!(read, Ok(Value::Tag(tag, Box::new(Value::Bytes(bytes.to_vec())))));
        }
        // The examples of RFC 8949.
        check(1 << 64, 2, &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
        check(-1 - (1 << 64), 3, &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
        check(i128::MAX, 2, &i128::MAX.to_be_bytes());
        check(i128::MIN, 3, &i128::MAX.to_be_bytes());
    }

    #[test]
    fn values_survive_encoding() {
        fn check(value: Value) {
            let bytes = value.to_bytes();
            assert_eq!(Value::decode(&bytes), Ok(value));
        }
        check(Value::Null);
        check(Value::Integer(-1));
        check(Value::Integer(u64::MAX.into()));
        check(Value::Float(0.5));
        check(Value::Tag(1, Box::new(Value::Integer(5))));
        check(Value::Map(vec![
            (Value::Text("a".into()), Value::Array(vec![Value::Bool(true), Value::Bytes(vec![1])])),
            (Value::Integer(3), Value::Text("ü".into())),
        ]));
    }

    #[test]
    fn half_floats_are_read() {
        fn check(bits: u16, expected: f64) {
            let [high, low] = bits.to_be_bytes();
            let Ok(Value::Float(found)) = Value::decode(&[0xF9, high, low]) else {
                panic!("{bits:04X} is no float");
            };
            // As bits, since 0 equals -0 otherwise, and not-a-number nothing.
            assert_eq!(found.to_bits(), expected.to_bits(), "{bits:04X}: {found}");
        }
        // RFC 8949, appendix A.
        check(0x0000, 0.0);
        check(0x8000, -0.0);
        check(0x3C00, 1.0);
        check(0x3E00, 1.5);
        check(0x7BFF, 65504.0);
        check(0x0001, 5.960_464_477_539_063e-8);
        check(0x0400, 0.000_061_035_156_25);
        check(0xC400, -4.0);
        check(0x7C00, f64::INFINITY);
        check(0x7E00, f64::NAN);
        check(0xFC00, f64::NEG_INFINITY);
        let cut = Value::decode(&[0xF9, 0x3C]).map_err(|error| error.to_string());
        assert_eq!(cut, Err("malformed at byte 0: end of input bytes".to_owned()));
    }

    #[test]
    fn bad_maps_are_refused() {
        fn check(bytes: &[u8], expected: &str) {
            let shown = check_map(bytes).map_or_else(|error| error.to_string(), |()| "good".into());
            assert!(shown.contains(expected), "{bytes:02X?}: {shown:?} does not say {expected:?}");
        }
        check(&[0xA0], "good");
        check(&[0xA1, 0x61, b'a', 0x01], "good");
        check(&[0xBF, 0x61, b'a', 0x01, 0xFF], "good");
        check(&[0x01], "expected a map");
        check(&[0xA1, 0x61, b'a'], "malformed");
        check(&[0xA0, 0x00], "1 bytes follow");
        check(&[0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "malformed");
        check(&[0xA1, 0x61, 0xFF, 0x01], "malformed");
        let mut deep = vec![0xA1, 0x00];
        deep.extend([0x81; 100]);
        deep.push(0x00);
        check(&deep, "nested deeper");
    }
}
