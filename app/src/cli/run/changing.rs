//! Takes over what the file of a pipeline holds while inputs go through it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use glovebox_host::{FileWatch, LoadRequest};
use glovebox_pipeline::{Pipeline, Running};

use super::super::report::{named, say};
use super::condition;

/// The file of a pipeline that runs.
pub(super) struct PipelineFile<'a> {
    path: &'a Path,
    has_changed: Arc<AtomicBool>,
    /// It could not be used when it changed last.
    is_broken: bool,
    _watch: Option<FileWatch>,
}

impl PipelineFile<'_> {
    /// Watches it.
    pub(super) fn watch(path: &Path) -> PipelineFile<'_> {
        let has_changed = Arc::<AtomicBool>::default();
        let changes = has_changed.clone();
        let files = std::path::absolute(path).map(|path| vec![path]);
        let watch =
            files.and_then(|files| FileWatch::start(files, move || changes.store(true, Relaxed)));
        if let Err(error) = &watch {
            say(&format!("The pipeline file is not watched: {error}"));
        }
        PipelineFile { path, has_changed, is_broken: false, _watch: watch.ok() }
    }

    /// Puts what it holds now in place of the pipeline that runs, if it changed, and says so; `true` if another
    /// one runs. If it cannot be used, the one of before runs on.
    pub(super) fn look(
        &mut self,
        running: &mut Running,
        prepare: &impl Fn(LoadRequest) -> LoadRequest,
    ) -> bool {
        if !self.has_changed.swap(false, Relaxed) {
            return false;
        }
        let changed = match Pipeline::read(self.path, &condition) {
            Ok(pipeline) if !self.is_broken && pipeline == *running.pipeline() => return false,
            Ok(pipeline) => running.change(pipeline, prepare).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.is_broken = changed.is_err();
        say(&match changed {
            Ok(()) => format!("Pipeline changed: {} is in force", named(self.path)),
            Err(reason) => {
                format!("Pipeline not changed: the pipeline of before stays in force: {reason}")
            }
        });
        !self.is_broken
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
    use glovebox_host::Host;

    use super::*;

    /// Answers each frame with the name of the plugin.
    struct Named(&'static str);

    impl Plugin for Named {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(vec![Frame::data(self.0)])
        }
    }

    fn with(plugin: &str) -> String {
        format!("[pipeline]\noutputs = 'only'\n[stage.only]\nplugin = '{plugin}'\nfrom = 'input'")
    }

    #[test]
    fn the_next_input_goes_through_what_the_file_holds_if_that_can_be_used() {
        let host = Host::builder().build().unwrap();
        for name in ["a", "b"] {
            let request = LoadRequest::core(Manifest::bare(name), move || Box::new(Named(name)));
            host.load(request).wait().unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, with("a")).unwrap();
        let pipeline = Pipeline::read(&path, &condition).unwrap();
        let mut running = pipeline.start(&host).wait().unwrap();
        let mut file = PipelineFile::watch(&path);
        /// Writes a text, and looks until it is taken in; whether it is used, and who answers then.
        fn check(
            (path, file, running): (&Path, &mut PipelineFile<'_>, &mut Running),
            text: &str,
            expected: (bool, &str),
        ) {
            let was_broken = file.is_broken;
            std::fs::write(path, text).unwrap();
            let since = Instant::now();
            let mut changes = false;
            while !changes && file.is_broken == was_broken {
                assert!(since.elapsed() < Duration::from_secs(60), "never noticed: {text}");
                changes = file.look(running, &|request| request);
                std::thread::park_timeout(Duration::from_millis(1));
            }
            let answer = running.send(&Frame::data("x")).outputs[0].frames[0].clone();
            assert_eq!((changes, &*answer.payload), (expected.0, expected.1.as_bytes()), "{text}");
        }
        let steps = [
            (with("b"), (true, "b")),
            ("nonsense".to_owned(), (false, "b")),
            (with("b"), (true, "b")),
            (with("missing"), (false, "b")),
            (with("a"), (true, "a")),
        ];
        for (text, expected) in steps {
            check((&path, &mut file, &mut running), &text, expected);
        }
        let stages = running.metrics().stages;
        let figures = stages.iter().map(|one| (&*one.plugin, one.frames_in));
        assert_eq!(figures.collect::<Vec<_>>(), [("a", 1), ("b", 4)]);
    }

    #[test]
    fn a_stage_keeps_its_copy_as_long_as_its_plugin_is_the_same() {
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/plugins/echo.wasm");
        let parse = |more: &str| {
            Pipeline::parse(&format!("{}\n{more}", with(plugin)), ".", &condition).unwrap()
        };
        let host = Host::builder().build().unwrap();
        let mut running = parse("").start(&host).wait().unwrap();
        let mut check = |more: &str, is_kept: bool| {
            let before = running.instances().to_vec();
            running.change(parse(more), &|request| request).unwrap();
            assert_eq!(running.instances() == before, is_kept, "{more}");
            let loaded: Vec<_> = host.plugins().iter().map(|plugin| plugin.instance).collect();
            assert_eq!(loaded, running.instances(), "{more}");
        };
        check("on-failure = 'fail-open'", true);
        check("config = { loud = true }", false);
        check("config = { loud = true }\nwhen = 'size>1k'", true);
        check("", false);
    }
}
