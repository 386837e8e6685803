//! The options for loading plugins, with values on the command line or in a file.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use glovebox_abi::MAX_FRAME_LEN;
use glovebox_abi::units::{parse_duration, parse_size};
use glovebox_files::read_to_string;
use glovebox_host::{Compiler, Isolation, LoadRequest};
use serde_json::Value as Json;

use super::error::{Problem, READ_ARGUMENT};

/// How plugins are loaded.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LoadArgs {
    /// Configuration: a JSON object or `@FILE`. It is merged over the manifest's configuration
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// Use this named configuration of the plugin
    #[arg(long, value_name = "NAME")]
    pub configuration: Option<String>,
    /// Run native plugins as trusted code inside this process
    #[arg(long)]
    pub trust_native: bool,
    /// Run native plugins here: `process` is a sandboxed process for each copy, and the default where
    /// there can be one; `in-process` needs --trust-native
    #[arg(long, value_name = "PLACE", value_parser = isolation)]
    pub isolation: Option<Isolation>,
    /// Run native plugins also in a sandbox that lacks layers, if the policy asks about that
    /// (`missing-layers = "ask"` under [sandbox])
    #[arg(long)]
    pub accept_missing_layers: bool,
    /// Run plugins in containers, by podman, docker or bubblewrap: the engine starts what the image, the
    /// root folder and the manifest say
    #[arg(long)]
    pub accept_container: bool,
    /// Run WebAssembly plugins deterministically: fuel limits their work, their clock is simulated,
    /// and this number seeds random bytes. The same frames then give the same bytes
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Stop compiling a plugin after this time, e.g. 90s or 5min. The default comes from its
    /// manifest or its size
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub compile_deadline: Option<Duration>,
    /// Stop compiling a plugin that takes more memory than this, from 64 MiB, e.g. 2GiB. The default
    /// comes from its manifest or its size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub compile_memory: Option<u64>,
    /// Stop opening a native plugin for the first time after this time, e.g. 20s. The default comes from
    /// its manifest, or is 5 s
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub load_deadline: Option<Duration>,
    /// Compile WebAssembly plugins with this compiler: `quick` takes a quarter of the time, the code of
    /// `optimising` is up to half as fast again, and `quick-first` goes from one to the other while the
    /// plugin runs. `auto` does that with plugins from 2 MiB
    #[arg(long, value_name = "COMPILER", value_parser = compiler)]
    pub compiler: Option<Compiler>,
    /// Open native plugins without opening them in a throw-away sandboxed process first. With
    /// --trust-native, one that crashes when it is opened then ends this process
    #[arg(long)]
    pub skip_trial: bool,
}

/// A place that plugins can run in.
fn isolation(name: &str) -> Result<Isolation, String> {
    let places = [Isolation::InProcess, Isolation::Process];
    let place = places.into_iter().find(|place| place.name() == name);
    place.ok_or_else(|| "write `in-process` or `process`".to_owned())
}

/// A time in which something can be done.
fn some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text).map_err(|error| error.to_string())? {
        Duration::ZERO => Err("a deadline of 0 leaves no time; write a longer one".to_owned()),
        time => Ok(time),
    }
}

fn compiler(name: &str) -> Result<Compiler, String> {
    let compiler = Compiler::ALL.iter().find(|compiler| compiler.name() == name);
    compiler.copied().ok_or_else(|| {
        let names = Compiler::ALL.iter().map(|compiler| format!("`{}`", compiler.name()));
        format!("write one of {}", names.collect::<Vec<_>>().join(", "))
    })
}

/// The file behind an `@`, if there is one: no other file may take its place.
pub(super) fn argument_file(text: Option<&str>) -> Option<&Path> {
    text?.strip_prefix('@').map(Path::new)
}

impl LoadArgs {
    /// The files that are named.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Path> {
        argument_file(self.config.as_deref()).into_iter()
    }

    /// The requests to load that the host gets.
    pub(super) fn request(&self, path: &Path) -> Result<LoadRequest, Problem> {
        self.over(LoadRequest::path(path))
    }

    /// The same without a configuration, which is of one plugin.
    pub(super) fn place(&self, mut request: LoadRequest) -> LoadRequest {
        if self.trust_native {
            request = request.trust_native();
        }
        if self.skip_trial {
            request = request.skip_trial();
        }
        if let Some(isolation) = self.isolation {
            request = request.isolation(isolation);
        }
        if self.accept_missing_layers {
            request = request.accept_missing_layers();
        }
        if self.accept_container {
            request = request.accept_container();
        }
        if let Some(seed) = self.seed {
            request = request.deterministic(seed);
        }
        if let Some(deadline) = self.compile_deadline {
            request = request.compile_deadline(deadline);
        }
        if let Some(memory) = self.compile_memory {
            request = request.compile_memory(memory);
        }
        if let Some(deadline) = self.load_deadline {
            request = request.load_deadline(deadline);
        }
        if let Some(compiler) = self.compiler {
            request = request.compiler(compiler);
        }
        request
    }

    /// A request with what the command line says: it wins over what the request says already.
    pub(super) fn over(&self, mut request: LoadRequest) -> Result<LoadRequest, Problem> {
        request = self.place(request);
        if let Some(name) = &self.configuration {
            request = request.configuration(name);
        }
        if let Some(config) = &self.config {
            request = request.config(json_object("--config", config)?);
        }
        Ok(request)
    }
}

/// The value of an option that is a JSON object, or `@FILE` with one.
pub(super) fn json_object(option: &str, text: &str) -> Result<Json, Problem> {
    match serde_json::from_str(&text_or_file(text)?) {
        Ok(Json::Object(fields)) => Ok(Json::Object(fields)),
        Ok(_) => Err(Problem::Usage(format!("{option} is not a JSON object; write {{…}}"))),
        Err(error) => Err(Problem::Usage(format!("{option} is not JSON: {error}"))),
    }
}

/// The text itself, or the content of the file behind an `@`.
pub(super) fn text_or_file(text: &str) -> Result<String, Problem> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.to_owned());
    };
    let path = Path::new(path);
    read_to_string(path, MAX_FRAME_LEN as u64).map_err(Problem::file(READ_ARGUMENT, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_leaves_some_time() {
        assert_eq!(some_time("20ms"), Ok(Duration::from_millis(20)));
        for text in ["0s", "-1s", "x"] {
            some_time(text).unwrap_err();
        }
    }
}
