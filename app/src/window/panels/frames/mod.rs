//! The list of frames: virtual, filtered, following the newest.

mod bar;
mod model;
mod paint;
mod room;
mod rows;
mod stretch;

pub use model::RowList;
pub use paint::{State, show};
pub(in crate::window) use paint::{refresh, thousands};
