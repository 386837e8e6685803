//! Recording while plugins run: bounded memory ([`ring`]), a thread that writes ([`recording`]), the
//! files one after the other ([`segments`]), and a thread that asks the disk ([`syncer`]).

pub(crate) mod recorder;
pub(crate) mod recording;
pub(crate) mod ring;
pub(crate) mod segments;
mod syncer;
