//! Runs a plugin in unit tests, natively and without a host.
//!
//! [`Harness`] drives a plugin; [`TestHost`] answers its services and remembers what it did.
//!
//! ```
//! use glovebox_sdk::testing::Harness;
//! use glovebox_sdk::{Failure, Frame, LogLevel, Permission, Plugin, Services};
//!
//! #[derive(Default)]
//! struct Stamp;
//!
//! impl Plugin for Stamp {
//!     fn process(
//!         &mut self,
//!         services: &mut dyn Services,
//!         _frame: &Frame,
//!     ) -> Result<Vec<Frame>, Failure> {
//!         services.log(LogLevel::Info, "stamping")?;
//!         Ok(vec![Frame::data(services.now()?.to_string())])
//!     }
//! }
//!
//! let mut harness = Harness::new(Stamp).config(r#"{"zone": "UTC"}"#);
//! assert_eq!(harness.answer("stamp this")?, ["1700000000000000000"]);
//! assert_eq!(harness.host.logs, [(LogLevel::Info, "stamping".to_owned())]);
//!
//! harness.host.deny(Permission::Now);
//! let failure = harness.answer("again").unwrap_err();
//! assert!(failure.message.contains("denied"));
//! # Ok::<(), Failure>(())
//! ```
//!
//! It deliberately has no limits, deadlines or traps: those belong to the real host.

mod harness;
mod host;

pub use harness::Harness;
pub use host::{Function, TestHost};
