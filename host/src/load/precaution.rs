use std::fmt;

/// Where a host compiles WebAssembly that its cache does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CompilePlace {
    /// In a sandboxed process of its own where there can be one, else in the process of the host:
    /// [`PluginStatus::precaution`](crate::PluginStatus::precaution) says which, and why.
    #[default]
    ProcessIfPossible,
    /// In a sandboxed process of its own; where there is none, nothing is compiled.
    Process,
    /// In the process of the host, where no limit counts its memory and nothing ends it.
    ThisProcess,
}

/// The compiler that made the code of a WebAssembly plugin; see
/// [`LoadRequest::compiler`](crate::LoadRequest::compiler).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompiledBy {
    /// The optimising one.
    Optimising,
    /// The optimising one, because the quick one did not compile it.
    OptimisingInstead {
        /// Why it did not.
        reason: String,
    },
    /// The quick one.
    Quick,
    /// The quick one, until the code of the optimising one is there.
    QuickFirst,
}

impl fmt::Display for CompiledBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompiledBy::Optimising => formatter.write_str("optimising"),
            CompiledBy::OptimisingInstead { reason } => {
                write!(formatter, "optimising, because the quick one cannot compile it: {reason}")
            }
            CompiledBy::Quick => formatter.write_str("quick"),
            CompiledBy::QuickFirst => {
                formatter.write_str("quick, until the optimising one is done")
            }
        }
    }
}

/// The precaution that was taken with the code of a plugin before this process got it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precaution {
    /// None is needed: this process does not run its code, or the code is part of the application.
    #[default]
    NotNeeded,
    /// It was not compiled now: the code comes from the cache, or other instances run it.
    FromCache,
    /// It was compiled in a sandboxed process of its own.
    CompiledOutside,
    /// It was compiled in this process.
    CompiledHere {
        /// Why.
        reason: String,
    },
    /// The library was opened in a sandboxed process first.
    Tried,
    /// The library was opened in this process first.
    NotTried {
        /// Why.
        reason: String,
    },
}

impl Precaution {
    /// True if the code was compiled before.
    pub(crate) fn is_cached(&self) -> bool {
        *self == Precaution::FromCache
    }
}

impl fmt::Display for Precaution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precaution::NotNeeded => formatter.write_str("none is needed"),
            Precaution::FromCache => formatter.write_str("compiled before"),
            Precaution::CompiledOutside => formatter.write_str("compiled in a sandboxed process"),
            Precaution::CompiledHere { reason } => {
                write!(formatter, "compiled in this process: {reason}")
            }
            Precaution::Tried => formatter.write_str("opened in a sandboxed process first"),
            Precaution::NotTried { reason } => {
                write!(formatter, "opened in this process first: {reason}")
            }
        }
    }
}
