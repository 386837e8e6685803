//! Whether a limit holds.

/// Whether a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It does.
    Enforced,
    /// It does not, and why.
    NotAvailable(&'static str),
}
