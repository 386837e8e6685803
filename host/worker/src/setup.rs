//! The first words of host and worker, over the control socket: the profile of the sandbox, and
//! what became of it. They are between two copies of this executable, and no part of the wire
//! protocol.

use std::io::{self, Read, Write};

use glovebox_sandbox::{Profile, SandboxReport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The setup that the worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) profile: Profile,
    /// Variables, set once it is in the sandbox.
    pub(crate) environment: Vec<(String, String)>,
    /// The program that takes the worker's place once the host wants it, and its arguments.
    pub(crate) program: Option<Vec<String>>,
    /// The descriptors that the program gets beside its standard streams.
    pub(crate) handed_on: Vec<i32>,
}

/// The answer of the worker before it reads anything else, and of one whose program cannot be run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Entered {
    /// It is in the sandbox.
    In(SandboxReport),
    /// It is not, and ends.
    Not(String),
}

/// The longest text of either, in bytes.
const LONGEST: u32 = 4 << 20;

/// Sends one of them: a length, then JSON.
pub(crate) fn send(mut to: impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&bytes)
}

/// Takes one of them.
pub(crate) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        let reason = format!("{length} bytes at the start, at most {LONGEST} are possible");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_survive() {
        let mut bytes = Vec::new();
        let environment = vec![("LANG".to_owned(), "C".to_owned())];
        let program = Some(vec!["/bin/true".to_owned()]);
        let setup =
            Setup { profile: Profile::strictest(), environment, program, handed_on: vec![7] };
        send(&mut bytes, &setup).unwrap();
        let again: Setup = receive(&bytes[..]).unwrap();
        assert_eq!((again.profile, again.environment), (setup.profile, setup.environment));
        assert_eq!((again.program, again.handed_on), (setup.program, setup.handed_on));
        fn check(bytes: &[u8], expected: &str) {
            let error = receive::<Entered>(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        }
        check(&[1, 0], "fill whole buffer");
        check(&[0xFF; 8], "4294967295 bytes");
        check(&[2, 0, 0, 0, b'{', b'}'], "expected value");
        check(&[9, 0, 0, 0, b'"'], "fill whole buffer");
    }
}
