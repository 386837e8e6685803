//! Sandboxed processes of their own for native plugins and for the compiler of WebAssembly: the first line
//! of `main`, and the reports.
//!
//! ```no_run
//! use glovebox_host::{Host, Isolation, LoadRequest, worker};
//!
//! worker::run_if_requested();
//! let host = Host::builder().build()?;
//! let request = LoadRequest::path("libshout.so").isolation(Isolation::Process);
//! let shout = host.load(request).wait()?;
//! if let Some(sandbox) = host.plugin(shout).and_then(|status| status.sandbox) {
//!     for (layer, missing) in sandbox.missing() {
//!         println!("{layer} is missing: {}; {}", missing.reason, missing.remedy);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A worker is the application's own program, started again: `main` must find that out before it does
//! anything else. Without that line no plugin is loaded into a process of its own, and WebAssembly is
//! compiled in this process, as [`PluginStatus::precaution`](crate::PluginStatus::precaution) says.

pub use glovebox_sandbox::{
    Layer, LayerCheck, LayerReport, LayerState, Missing, Promise, SandboxReport,
};

use crate::backend::outside::WorkerStarter;

/// If this process was started as a worker, becomes one and never returns; else does nothing.
///
/// It must be the first line of `main`: a sandbox is entered by a process with one thread. It does
/// nothing on systems other than Linux, where no plugin has a process of its own yet.
pub fn run_if_requested() {
    #[cfg(target_os = "linux")]
    crate::backend::worker::run_if_requested();
}

/// Lets this process leave a report in `folder` if a signal of a crash ends it, such as for a fault in
/// native code that it trusts, and a notice on standard error. It is `crash-`, the number of this process
/// and `.txt`, begins with `about`, and has the signal, the address and the functions at work. A trap of
/// WebAssembly is no such crash. Does nothing on systems other than Linux.
///
/// Call it once, before a [`Host`](crate::Host) is built.
pub fn report_crashes(folder: &std::path::Path, about: &str) {
    #[cfg(target_os = "linux")]
    {
        let path = folder.join(format!("crash-{}.txt", std::process::id()));
        let notice = format!(
            "\nThis process crashed. The report is in {}; a recording that was under way is whole up to \
             the last quarter of a second (`glovebox trace recover`).\n",
            path.display()
        );
        glovebox_worker::report_faults(&path, about, &notice);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (folder, about);
}

/// The means of this machine for workers; see [`check`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerCheck {
    /// Each layer of the sandbox, by a child that entered it and then tried what it forbids; why no
    /// child could try, otherwise.
    pub layers: Result<Vec<LayerCheck>, Missing>,
    /// The report of a worker that was started and ended again; why there is none, otherwise.
    pub started: Result<SandboxReport, Missing>,
}

impl WorkerCheck {
    /// True if a forbidden thing failed because of the layer.
    pub fn holds(&self, layer: Layer) -> bool {
        let mut checks = self.layers.iter().flatten();
        checks.any(|check| check.layer == layer && check.missing.is_none())
    }

    /// The promises about workers, and whether each is kept here: by the layers that were tried.
    pub fn promises(&self) -> impl Iterator<Item = (&'static Promise, bool)> {
        Promise::ALL.iter().map(|promise| (promise, promise.is_kept(|layer| self.holds(layer))))
    }
}

/// Finds out what this machine has for workers, by trying. Starts processes, and takes up to half a
/// minute; much less as a rule.
pub fn check() -> WorkerCheck {
    #[cfg(target_os = "linux")]
    {
        use crate::backend::worker::check;
        WorkerCheck { layers: check::layers(), started: check::start() }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let missing = |error: glovebox_sandbox::SandboxError| Missing::new(error.to_string(), "");
        let layers = glovebox_sandbox::check_layers().map_err(missing);
        let reason = format!("workers are written for Linux, and this is {}", std::env::consts::OS);
        let remedy = "run strangers' plugins on Linux, or as WebAssembly";
        WorkerCheck { layers, started: Err(Missing::new(reason, remedy)) }
    }
}

/// The engines of containers that are known, and what each says about itself on this machine: its version,
/// whose it is, and whether it limits its containers. Asks each of them, which takes a second; in a container of
/// bubblewrap, a program tries what none should be able to do.
pub fn engines() -> Vec<(&'static str, Result<String, Missing>)> {
    #[cfg(target_os = "linux")]
    {
        crate::backend::worker::engines()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let missing = || Missing::new("containers run on Linux alone", "use Linux");
        let names = glovebox_abi::manifest::EngineName::ALL.map(|name| name.name());
        names.map(|name| (name, Err(missing()))).into()
    }
}

/// Whether WebAssembly is compiled in a sandboxed process of its own here: compiles an empty module, and
/// gives the layers of the sandbox. It takes as long as starting two processes.
///
/// # Errors
///
/// Why there is no such process, and what to do.
pub fn compiles_outside() -> Result<SandboxReport, Missing> {
    WorkerStarter::default().compiles_outside()
}
