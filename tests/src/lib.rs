//! Support for the integration tests and benches: the places of files, and a sink that remembers.

pub mod alone;
pub mod display;
pub mod guest;
#[path = "../parity-plugin/src/plugin.rs"]
pub mod parity_plugin;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_abi::manifest::LimitChanges;
use glovebox_events::{Event, Sink};
use glovebox_host::{Host, HostBuilder, InstanceId, LoadRequest, PolicyMode};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A sample plugin's artifact: from `GLOVEBOX_TEST_PLUGINS` if set, so that freshly built samples
/// run through the same tests, otherwise the prebuilt one.
pub fn sample(name: &str) -> PathBuf {
    let folder = std::env::var_os("GLOVEBOX_TEST_PLUGINS")
        .map_or_else(|| root().join("assets/plugins"), PathBuf::from);
    folder.join(name)
}

/// A prebuilt plugin that is for tests alone, found as a [`sample`] is.
///
/// `glovebox build tests/NAME --out tests/fixtures --force` makes its component, and with
/// `--binding frame-abi` its module.
pub fn fixture(name: &str) -> PathBuf {
    let folder = std::env::var_os("GLOVEBOX_TEST_PLUGINS")
        .map_or_else(|| root().join("tests/fixtures"), PathBuf::from);
    folder.join(name)
}

/// The shared library of a Rust sample, built now if need be, in the profile of this program.
///
/// # Panics
///
/// If it does not build.
pub fn native_sample(name: &str) -> PathBuf {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    build(&["--package", &format!("glovebox-{name}")])
        .join(format!("{DLL_PREFIX}glovebox_{}{DLL_SUFFIX}", name.replace('-', "_")))
}

/// The binary `glovebox`, built now if need be, in the profile of this program.
///
/// # Panics
///
/// If it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // The whole workspace is named so that features are the same as for this program, and
        // nothing large is built twice.
        let folder = build(&["--workspace", "--bin", "glovebox"]);
        folder.join(format!("glovebox{}", std::env::consts::EXE_SUFFIX))
    })
}

/// An example of the host, built now if need be, in the profile of this program.
///
/// # Panics
///
/// If the examples do not build.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    // The whole workspace, for the same reason as above.
    let folder = FOLDER.get_or_init(|| build(&["--workspace", "--examples"]));
    folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Time enough for a call on a busy machine, for which the deadlines of samples are too short.
pub fn patient() -> LimitChanges {
    LimitChanges { call_deadline: Some(Duration::from_secs(30)), ..LimitChanges::default() }
}

/// Time enough for a compile on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The load of a prebuilt sample that is [`patient`], also while other tests compile.
pub fn patiently(name: &str) -> LoadRequest {
    LoadRequest::path(sample(name)).limits(patient()).compile_deadline(PATIENCE)
}

/// Puts a file in the place of another one at once, so that nobody who watches it sees half of it
/// however long this takes.
///
/// # Panics
///
/// If it cannot be written.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&new, content).expect("there is space");
    std::fs::rename(&new, path).expect("both are in one folder");
}

/// Builds something with cargo and gives the folder of the profile.
fn build(what: &[&str]) -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    // Tests and benches lie in `deps` below the folder of their profile.
    let folder = program.ancestors().nth(2).expect("programs lie in target/PROFILE/deps");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet"]).args(what).current_dir(root());
    let profile = folder.file_name().and_then(|name| name.to_str());
    if let Some(profile) = profile.filter(|name| *name != "debug") {
        cargo.args(["--profile", profile]);
    }
    assert!(cargo.status().is_ok_and(|status| status.success()), "{what:?} does not build");
    folder.to_owned()
}

/// Remembers every event.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<Vec<Event>>);

impl Remembered {
    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no test panics while it records").clone()
    }
}

impl Sink for Remembered {
    fn record(&self, event: &Event) {
        self.0.lock().expect("no test panics while it records").push(event.clone());
    }
}

/// A host, and what happened in it.
#[derive(Debug)]
pub struct Bench {
    /// The host.
    pub host: Host,
    /// Its events.
    pub events: Arc<Remembered>,
}

impl Bench {
    /// A host with its defaults.
    pub fn new() -> Bench {
        Bench::with(|builder| builder)
    }

    /// A host in which plugins have all that their manifests ask for, files, network and environment
    /// too.
    pub fn as_declared() -> Bench {
        let bench = Bench::new();
        bench.host.set_policy_mode(PolicyMode::AsDeclared);
        bench
    }

    /// A host that was set up otherwise.
    pub fn with(set_up: impl FnOnce(HostBuilder) -> HostBuilder) -> Bench {
        let events = Arc::new(Remembered::default());
        let builder = set_up(Host::builder().sink(events.clone()));
        Bench { host: builder.build().expect("a host starts on any machine"), events }
    }

    /// Loads a prebuilt sample.
    pub fn load(&self, name: &str) -> InstanceId {
        self.load_with(name, serde_json::json!({}))
    }

    /// Loads a prebuilt sample with a configuration, [`patiently`].
    pub fn load_with(&self, name: &str, config: serde_json::Value) -> InstanceId {
        let request = patiently(name).config(config);
        self.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a data frame and gives the payloads of the answers, or the outcome in words.
    pub fn ask(&self, id: InstanceId, payload: &str) -> String {
        self.ask_frame(id, &Frame::data(payload.to_owned()))
    }

    /// The same for any frame.
    pub fn ask_frame(&self, id: InstanceId, frame: &Frame) -> String {
        let reply = self.host.call(id, frame);
        if !reply.outcome.is_completed() {
            return reply.outcome.to_string();
        }
        let payloads = reply.frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload));
        payloads.collect::<Vec<_>>().join("|")
    }
}

impl Default for Bench {
    fn default() -> Self {
        Bench::new()
    }
}
