//! The text of a pipeline: keys, types and lines, before names are looked up.

use std::path::{Path, PathBuf};

use glovebox_abi::manifest::is_kebab_case;
use glovebox_abi::{Kind, UnknownKind};

use super::{FailurePolicy, PipelineError, RunLimits, StagePlugin};
use glovebox_abi::nearest::{did_you_mean, nearest};
use glovebox_document::{DocumentError, Section};

const DEFAULT_LIMITS: RunLimits = RunLimits { frames: 10_000, bytes: 64 << 20 };

/// The content of the file.
pub(super) struct PipelineFile {
    pub(super) name: String,
    pub(super) limits: RunLimits,
    pub(super) stages: Vec<StageFile>,
    pub(super) outputs: Vec<String>,
    /// The line of `outputs`, from 1.
    pub(super) outputs_line: usize,
}

/// One stage as it stands in the file.
pub(super) struct StageFile {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) plugin: StagePlugin,
    pub(super) from: Vec<String>,
    pub(super) from_line: usize,
    pub(super) kinds: Option<Vec<Kind>>,
    pub(super) when: Option<String>,
    pub(super) when_line: usize,
    pub(super) on_failure: FailurePolicy,
}

pub(super) fn read(text: &str, folder: &Path) -> Result<PipelineFile, PipelineError> {
    let table = glovebox_document::parse(text)?;
    let top = Section::top(text, &table);
    top.only(&["pipeline", "stage", "limits"])?;
    let about = top.section("pipeline")?;
    if let Some(about) = &about {
        about.only(&["name", "outputs"])?;
    }
    let outputs = about.as_ref().map(|about| about.texts("outputs")).transpose()?.flatten();
    let mut stages = Vec::new();
    if let Some(all) = top.section("stage")? {
        for name in all.keys() {
            if let Some(section) = all.section(name)? {
                stages.push(stage(name, &section, folder)?);
            }
        }
    }
    Ok(PipelineFile {
        name: about
            .as_ref()
            .map(|about| about.text("name"))
            .transpose()?
            .flatten()
            .unwrap_or_default(),
        limits: limits(&top)?,
        stages,
        outputs: outputs.unwrap_or_default(),
        outputs_line: about.map_or(1, |about| about.line_of("outputs")),
    })
}

fn limits(top: &Section<'_>) -> Result<RunLimits, DocumentError> {
    let Some(section) = top.section("limits")? else {
        return Ok(DEFAULT_LIMITS);
    };
    section.only(&["frames", "bytes"])?;
    Ok(RunLimits {
        frames: section.number("frames", 1)?.unwrap_or(DEFAULT_LIMITS.frames),
        bytes: section.size("bytes")?.unwrap_or(DEFAULT_LIMITS.bytes),
    })
}

fn stage(name: &str, section: &Section<'_>, folder: &Path) -> Result<StageFile, PipelineError> {
    section.only(&["plugin", "from", "kinds", "when", "on-failure", "config"])?;
    let line = section.line();
    if !is_kebab_case(name) || name == "input" {
        return Err(PipelineError::Name { name: name.to_owned(), line });
    }
    let plugin = plugin(section, folder)?;
    let on_failure = match section.text("on-failure")? {
        None => FailurePolicy::default(),
        Some(text) => FailurePolicy::from_name(&text).ok_or_else(|| {
            let names = FailurePolicy::ALL.map(FailurePolicy::name);
            let meant = did_you_mean(nearest(&text, names));
            let known = names.join(", ");
            section.wrong("on-failure", format!("`{text}` is none of {known}{meant}"))
        })?,
    };
    Ok(StageFile {
        name: name.to_owned(),
        line,
        plugin,
        from: section.texts("from")?.unwrap_or_default(),
        from_line: section.line_of("from"),
        kinds: kinds(section)?,
        when: section.text("when")?,
        when_line: section.line_of("when"),
        on_failure,
    })
}

/// A word that could be an id is one; everything else is a path.
fn plugin(section: &Section<'_>, folder: &Path) -> Result<StagePlugin, DocumentError> {
    let remedy = "write the id of a loaded plugin, or the path of an artifact or plugin.toml";
    let plugin = section.text("plugin")?.ok_or_else(|| section.missing("plugin", remedy))?;
    let config = section.settings("config")?;
    if !is_kebab_case(&plugin) {
        let path: PathBuf = folder.join(plugin);
        return Ok(StagePlugin::File { path, config });
    }
    if config.is_some() {
        let reason = format!(
            "`{plugin}` is loaded elsewhere, with the configuration given there; write a path, or `./{plugin}` for a folder"
        );
        return Err(section.wrong("config", reason));
    }
    Ok(StagePlugin::Loaded(plugin))
}

fn kinds(section: &Section<'_>) -> Result<Option<Vec<Kind>>, DocumentError> {
    let Some(names) = section.texts("kinds")? else {
        return Ok(None);
    };
    if names.is_empty() {
        let reason =
            "no kind at all; name one, or leave the key out for all that the plugin accepts";
        return Err(section.wrong("kinds", reason));
    }
    let parse = |name: &String| {
        name.parse().map_err(|unknown: UnknownKind| {
            let meant = did_you_mean(nearest(name, Kind::NAMED.iter().map(|(_, name)| *name)));
            section.wrong("kinds", format!("{unknown}{meant}"))
        })
    };
    names.iter().map(parse).collect::<Result<_, _>>().map(Some)
}
