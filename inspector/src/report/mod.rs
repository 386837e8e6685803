//! Reports for other programs and for people without this one.
//!
//! [`junit`] is for continuous integration, [`html`] is a page that needs nothing but itself.
//!
//! This module deliberately writes no files: it makes texts.

pub mod html;
pub mod junit;
mod plot;
