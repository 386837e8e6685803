//! Rows of a trace in a file: any of them ([`FrameWindows`]), those that match ([`find`]), also in another
//! order than that of time ([`rank`]), and a new trace of the calls that match ([`select`]).
//!
//! All of it works by a [`TraceIndex`](glovebox_trace::TraceIndex), so that what is not wanted is not
//! read. Read [`FrameWindows`] first, then [`find`].
//!
//! This module deliberately keeps nothing but the index in memory: a trace may be larger than that.

mod find;
mod order;
mod row_set;
mod select;
#[cfg(test)]
mod tests;
mod windows;

pub use find::{Hit, find};
pub use order::{NO_FIGURE, Order, RANKED, Ranked, Ranking, SortBy, rank};
pub use row_set::RowSet;
pub use select::{SelectReport, select};
pub use windows::{CallWindow, FrameWindows, Window};
