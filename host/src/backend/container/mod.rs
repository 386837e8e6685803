//! Plugins in images of containers, run by the engine of this machine.
//!
//! [`Engine`] is podman or docker, and [`Image`] one that is there, from which containers are made. `filter`
//! holds the system calls that they may make, and `layers` looks at the process in one: an engine is not
//! believed.

mod engine;
mod filter;
mod image;
mod layers;

pub(crate) use engine::{Engine, examine};
pub(crate) use image::Image;
pub(crate) use layers::check_as_before;
