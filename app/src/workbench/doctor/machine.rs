//! The machine: its system, its cores and its display.

use std::io;
use std::time::Duration;

use glovebox_abi::units::show_size;

use super::{Check, Section};

/// How long a display may take to answer.
const SOON: Duration = Duration::from_secs(2);

pub(super) fn examine() -> Section {
    let mut checks = vec![system(), cores()];
    if cfg!(target_os = "linux") {
        checks.extend([memory(), cgroups()]);
    }
    checks.push(display(|name| std::env::var(name).ok().filter(|value| !value.is_empty())));
    Section { name: "machine", about: "where all of it runs", checks }
}

fn read(path: &str) -> Option<String> {
    glovebox_files::read_to_string(std::path::Path::new(path), 1 << 20).ok()
}

fn system() -> Check {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = format!("{system} {} on {processor}", release.trim());
    match cfg!(target_os = "linux") {
        true => Check::works("system", found),
        false => Check::missing(
            "system",
            format!("{found}: Glovebox is tested on Linux"),
            "run plugins of strangers on Linux",
        ),
    }
}

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(cores) => Check::works("cores", format!("{cores} for this process")),
        Err(error) => Check::not_tried("cores", format!("the system does not say: {error}")),
    }
}

fn memory() -> Check {
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    let line = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(show_size(kilobytes.saturating_mul(1024)))
    };
    match (line("MemTotal:"), line("MemAvailable:")) {
        (Some(all), Some(free)) => {
            Check::works("memory", format!("{all}, of which {free} are free"))
        }
        _ => Check::not_tried("memory", "the system does not say"),
    }
}

/// The version of cgroups; whether this process may make one is tried by the layer.
fn cgroups() -> Check {
    let controllers = read("/sys/fs/cgroup/cgroup.controllers");
    let own = read("/proc/self/cgroup").unwrap_or_default();
    match (controllers, own.lines().next()) {
        (Some(controllers), _) => Check::works(
            "cgroups",
            format!("version 2, with {}", controllers.trim().replace(' ', ", ")),
        ),
        (None, Some(_)) => Check::works("cgroups", "version 1"),
        (None, None) if !std::path::Path::new("/proc/self").exists() => {
            Check::missing("cgroups", "nobody says whether there are any", "mount /proc")
        }
        (None, None) => {
            Check::missing("cgroups", "the kernel has none", "use a kernel with cgroups")
        }
    }
}

/// The display that the window would open on; a connection is made and closed again.
fn display(variable: impl Fn(&str) -> Option<String>) -> Check {
    let name = "display";
    let (wayland, x) = (variable("WAYLAND_DISPLAY"), variable("DISPLAY"));
    let (shown, connected) = match (wayland, x) {
        (Some(display), _) => {
            let folder = variable("XDG_RUNTIME_DIR").unwrap_or_default();
            let path = std::path::Path::new(&folder).join(&display);
            (format!("Wayland {display}"), connect(&path))
        }
        (None, Some(display)) => (format!("X11 {display}"), connect_to_x(&display)),
        (None, None) if cfg!(all(unix, not(target_os = "macos"))) => {
            let remedy = "set DISPLAY or WAYLAND_DISPLAY, or run `xvfb-run glovebox`; the command \
                          line needs none";
            return Check::missing(name, "neither DISPLAY nor WAYLAND_DISPLAY is set", remedy);
        }
        (None, None) => return Check::not_tried(name, "this system always has one"),
    };
    match connected {
        Ok(()) => Check::works(name, format!("{shown} answers")),
        Err(error) => {
            let remedy = "start the display, or name another one in DISPLAY or WAYLAND_DISPLAY";
            Check::missing(name, format!("{shown} does not answer: {error}"), remedy)
        }
    }
}

#[cfg(unix)]
fn connect(path: &std::path::Path) -> io::Result<()> {
    std::os::unix::net::UnixStream::connect(path).map(drop)
}

#[cfg(not(unix))]
fn connect(_: &std::path::Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `:1`, `:1.0`, `unix:1` or `host:1`.
fn connect_to_x(display: &str) -> io::Result<()> {
    use std::net::ToSocketAddrs;
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "this is no name of a display");
    let (host, number) = display.rsplit_once(':').ok_or_else(wrong)?;
    let number = number.split('.').next().unwrap_or_default();
    let number: u16 = number.parse().map_err(|_| wrong())?;
    if host.is_empty() || host == "unix" {
        return connect(std::path::Path::new(&format!("/tmp/.X11-unix/X{number}")));
    }
    let port = 6000_u16.checked_add(number).ok_or_else(wrong)?;
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(wrong)?;
    std::net::TcpStream::connect_timeout(&address, SOON).map(drop)
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::CheckResult;
    use super::*;

    #[test]
    fn a_display_is_there_if_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("wayland-7");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let check = |variables: &[(&str, &str)], result: CheckResult, found: &str| {
            let value = |name: &str| {
                let mut variables = variables.iter();
                variables.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let check = display(value);
            assert_eq!(check.result, result, "{variables:?}: {}", check.found);
            assert!(check.found.starts_with(found), "{variables:?}: {}", check.found);
        };
        let folder = folder.path().to_str().unwrap();
        check(
            &[("WAYLAND_DISPLAY", "wayland-7"), ("XDG_RUNTIME_DIR", folder)],
            CheckResult::Works,
            "Wayland wayland-7 answers",
        );
        check(
            &[("WAYLAND_DISPLAY", "wayland-8"), ("XDG_RUNTIME_DIR", folder)],
            CheckResult::Missing,
            "Wayland wayland-8 does not answer: ",
        );
        check(&[("DISPLAY", ":64999")], CheckResult::Missing, "X11 :64999 does not answer: ");
        check(
            &[("DISPLAY", "a:b")],
            CheckResult::Missing,
            "X11 a:b does not answer: this is no name",
        );
        if cfg!(not(target_os = "macos")) {
            check(&[], CheckResult::Missing, "neither DISPLAY nor WAYLAND_DISPLAY");
        }
    }
}
