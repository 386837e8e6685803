//! `glovebox discover`: finds plugins by their properties, or by a purpose.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use glovebox_abi::Kind;
use glovebox_catalog::{
    Candidate, Entry, Excluded, Hit, Intent, IntentContext, Requirement, ResolveError, Root,
    ScanFinding,
};
use glovebox_catalog::{Catalog, Query, ScanBounds};
use serde_json::{Value as Json, json};

use super::error::{Exit, Problem, READ_ARGUMENT};
use super::report::{Output, Report, count_of, one_line, shown};

/// Find plugins by their manifests, without compiling or running anything
///
/// A plugin must meet every option except --optional. With --intent, --context or --require, each
/// plugin gets a score with reasons. With --resolve, the output is the load order, dependencies
/// first; the exit code is 3 if there is none. A file that cannot be read is reported as a finding,
/// and the search goes on.
#[derive(Debug, Args)]
pub(super) struct Discover {
    /// Folders to search, up to 8 levels deep, or single plugins. The default is this folder
    pub folders: Vec<PathBuf>,
    #[command(flatten)]
    pub query: QueryArgs,
    #[command(flatten)]
    pub intent: IntentArgs,
    /// Show the load order of these plugins and of everything they depend on
    #[arg(
        long,
        value_name = "ID[@RANGE]",
        num_args = 1..,
        conflicts_with_all = [
            "required", "optional", "plugin_type", "category", "author", "accepts", "emits",
            "search", "intent", "context", "require",
        ]
    )]
    pub resolve: Vec<Root>,
    #[command(flatten)]
    pub output: Output,
}

/// The query: properties of a plugin.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct QueryArgs {
    /// The plugin must have this capability. May be repeated
    #[arg(long = "capability", value_name = "CAPABILITY")]
    pub required: Vec<String>,
    /// Plugins with this capability come first. May be repeated
    #[arg(long, value_name = "CAPABILITY")]
    pub optional: Vec<String>,
    /// The plugin must be of this type, e.g. filter
    #[arg(long = "type", value_name = "TYPE")]
    pub plugin_type: Option<String>,
    /// The plugin must be in this category, e.g. privacy
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// The plugin must be by this author
    #[arg(long, value_name = "AUTHOR")]
    pub author: Option<String>,
    /// The plugin must accept frames of this kind
    #[arg(long, value_name = "KIND")]
    pub accepts: Option<Kind>,
    /// The plugin's manifest must say that it emits frames of this kind
    #[arg(long, value_name = "KIND")]
    pub emits: Option<Kind>,
    /// The name, description, keywords or capabilities must contain these words. Parts of words and
    /// misspelled words match too
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
}

/// The intent: a purpose for a plugin.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct IntentArgs {
    /// Describe the goal in a few words, e.g. "data processing"
    #[arg(long, value_name = "TEXT")]
    pub intent: Option<String>,
    /// Name what else matters: high performance, low memory, privacy, reliability, or several of
    /// these
    #[arg(long, value_name = "TEXT")]
    pub context: Option<String>,
    /// The plugin must meet this requirement, e.g. redaction, permission:-kv, accepts:data,
    /// p99<=1ms or memory<=16MiB. May be repeated
    #[arg(long, value_name = "REQUIREMENT")]
    pub require: Vec<Requirement>,
}

impl Discover {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let here = [PathBuf::from(".")];
        let folders = if self.folders.is_empty() { &here[..] } else { &self.folders };
        for folder in folders {
            folder.metadata().map_err(Problem::file(READ_ARGUMENT, folder))?;
        }
        let intent = self.intent.read()?;
        let catalog = Catalog::scan(folders, &ScanBounds::default());
        let report = if !self.resolve.is_empty() {
            self.resolved(&catalog)
        } else if let Some(intent) = intent {
            self.intended(&catalog, &intent)
        } else {
            self.found(&catalog)
        };
        Ok(report)
    }

    fn found(&self, catalog: &Catalog) -> Report {
        let hits = catalog.find(&self.query.read());
        let mut text = String::new();
        for hit in &hits {
            text += &entry_text(hit.entry);
            if !self.query.optional.is_empty() {
                let has = if hit.optional.is_empty() { "none" } else { &hit.optional.join(", ") };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "    optional      {has}");
            }
        }
        let plugins: Vec<Json> = hits.iter().map(hit_json).collect();
        let sentence = format!("Found {} of {}", hits.len(), plugins_in(catalog));
        report(catalog, text, json!({ "plugins": plugins }), &sentence, Exit::Good)
    }

    fn intended(&self, catalog: &Catalog, intent: &Intent) -> Report {
        let assessment = catalog.intend(&self.query.read(), intent);
        let mut text = String::new();
        for candidate in &assessment.candidates {
            text += &entry_text(candidate.entry);
            let _ = writeln!(text, "    score         {:.1} of 100", candidate.score);
            for reason in &candidate.reasons {
                let points = format!("+{:.1} of {:.0}", reason.points, reason.of);
                let _ = writeln!(text, "      {points:<13} {}", reason.words);
            }
        }
        if !assessment.excluded.is_empty() {
            let _ = writeln!(text, "\nexcluded ({})", assessment.excluded.len());
            for excluded in &assessment.excluded {
                let (id, version) = (excluded.entry.id(), excluded.entry.version());
                let _ = writeln!(text, "  {id} {version}: {}", excluded.unmet.join("; "));
            }
        }
        let json = json!({
            "plugins": assessment.candidates.iter().map(candidate_json).collect::<Vec<_>>(),
            "excluded": assessment.excluded.iter().map(excluded_json).collect::<Vec<_>>(),
        });
        let sentence = format!(
            "Found {} of {} for the intent, and requirements exclude {}",
            assessment.candidates.len(),
            plugins_in(catalog),
            assessment.excluded.len(),
        );
        report(catalog, text, json, &sentence, Exit::Good)
    }

    fn resolved(&self, catalog: &Catalog) -> Report {
        let wanted = count_of(self.resolve.len(), "plugin");
        match catalog.resolve(&self.resolve) {
            Ok(resolution) => {
                let mut text = String::new();
                for (place, entry) in resolution.order().iter().enumerate() {
                    let (id, version) = (entry.id(), entry.version());
                    let path = entry.path.display();
                    let _ = writeln!(text, "{:>3}  {id} {version}  {path}", place + 1);
                }
                let order: Vec<Json> = resolution.order().iter().map(|e| entry_json(e)).collect();
                let total = resolution.order().len();
                let sentence =
                    format!("Resolved {wanted}, {total} with all that they depend on, in order");
                report(catalog, text, json!({ "order": order }), &sentence, Exit::Good)
            }
            Err(error) => {
                let cycle = match &error {
                    ResolveError::Cycle { cycle } => Some(cycle),
                    ResolveError::Conflict { .. }
                    | ResolveError::TooMany { .. }
                    | ResolveError::GaveUp { .. } => None,
                };
                let json = json!({
                    "order": [],
                    "conflict": error.to_string(),
                    "cycle": cycle,
                });
                let sentence = format!("Resolved 0 of {wanted}: they cannot be loaded together");
                report(catalog, format!("{error}\n"), json, &sentence, Exit::NotLoaded)
            }
        }
    }
}

impl QueryArgs {
    fn read(&self) -> Query {
        Query {
            plugin_type: self.plugin_type.clone(),
            category: self.category.clone(),
            author: self.author.clone(),
            required: self.required.clone(),
            optional: self.optional.clone(),
            accepts: self.accepts,
            emits: self.emits,
            text: self.search.clone(),
        }
    }
}

impl IntentArgs {
    /// `None` if nothing of it was given.
    fn read(&self) -> Result<Option<Intent>, Problem> {
        let contexts = match &self.context {
            None => Vec::new(),
            Some(text) => {
                let found = IntentContext::find_in(text);
                if found.is_empty() {
                    let known = IntentContext::ALL.map(|(_, name, _)| name).join(", ");
                    let problem = format!("--context `{text}` names no context; there are {known}");
                    return Err(Problem::Usage(problem));
                }
                found
            }
        };
        let is_given = self.intent.is_some() || self.context.is_some() || !self.require.is_empty();
        Ok(is_given.then(|| Intent {
            intent: self.intent.clone().unwrap_or_default(),
            contexts,
            requirements: self.require.clone(),
        }))
    }
}

fn plugins_in(catalog: &Catalog) -> String {
    count_of(catalog.entries().len(), "plugin")
}

/// The report with what the scan itself has to say.
fn report(
    catalog: &Catalog,
    mut text: String,
    mut json: Json,
    sentence: &str,
    exit: Exit,
) -> Report {
    let findings = catalog.findings();
    let number = findings.len();
    if number > 0 {
        let _ = writeln!(text, "\nfindings ({number})");
    }
    let mut listed = Vec::new();
    for finding in findings {
        let _ = writeln!(text, "  {}", one_line(&finding.to_string()));
        listed.push(finding_json(finding));
    }
    let others = catalog.others();
    let number_of_others: usize = others.values().sum();
    if number_of_others > 0 {
        let _ = writeln!(text, "\nno plugins ({number_of_others})");
    }
    for (kind, count) in others {
        let _ = writeln!(text, "  {count:>5}  {kind}");
    }
    json["findings"] = listed.into();
    json["no_plugins"] = json!(others);
    let others = match number_of_others {
        0 => String::new(),
        count => format!(
            "; {} no plugin",
            if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") }
        ),
    };
    let sentence = format!("{sentence}; {}{others}", count_of(number, "finding"));
    Report::new(text, json, sentence, exit)
}

fn finding_json(finding: &ScanFinding) -> Json {
    let mut json = match finding {
        ScanFinding::Unreadable(error) => json!({
            "finding": "unreadable",
            "stage": error.stage().name(),
            "path": error.path().map(shown),
            "problem": error.problem().to_string(),
            "remedy": error.remedy(),
        }),
        ScanFinding::Duplicate { id, version, used, others } => json!({
            "finding": "duplicate",
            "id": id,
            "version": version.to_string(),
            "used": shown(used),
            "others": others.iter().map(shown).collect::<Vec<_>>(),
        }),
        ScanFinding::TooDeep { limit, folders, first } => {
            json!({ "finding": "too-deep", "limit": limit, "folders": folders, "first": shown(first) })
        }
        ScanFinding::LeadOut { count, first } => {
            json!({ "finding": "lead-out", "count": count, "first": shown(first) })
        }
        ScanFinding::TooManyFiles { limit } => {
            json!({ "finding": "too-many-files", "limit": limit })
        }
        ScanFinding::TooManyPlugins { limit, found } => {
            json!({ "finding": "too-many-plugins", "limit": limit, "found": found })
        }
    };
    json["message"] = finding.to_string().into();
    json
}

fn entry_text(entry: &Entry) -> String {
    let about = &entry.manifest.plugin;
    let mut text = format!("{} {}\n", about.id, about.version);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "    {name:<13} {}", one_line(value));
        }
    };
    line("description", &about.description);
    line("type", &about.plugin_type);
    line("category", &about.category);
    line("capabilities", &about.capabilities.join(", "));
    line("accepts", &kinds(&entry.manifest.frames.accepts).join(", "));
    if let Some(factory) = &entry.factory {
        line("is", &format!("configuration {} of {}", factory.configuration, factory.id));
    }
    line("artifact", &entry.artifact.display().to_string());
    text
}

fn kinds(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().map(ToString::to_string).collect()
}

fn entry_json(entry: &Entry) -> Json {
    let manifest = &entry.manifest;
    let about = &manifest.plugin;
    let dependencies = manifest.dependencies.iter();
    let dependencies = dependencies.map(|(id, range)| (id.clone(), range.to_string().into()));
    json!({
        "id": about.id,
        "version": about.version.to_string(),
        "name": manifest.title(),
        "description": about.description,
        "type": about.plugin_type,
        "category": about.category,
        "authors": about.authors,
        "capabilities": about.capabilities,
        "keywords": about.keywords,
        "accepts": kinds(&manifest.frames.accepts),
        "emits": kinds(&manifest.frames.emits),
        "permissions": manifest.permissions,
        "dependencies": dependencies.collect::<serde_json::Map<String, Json>>(),
        "factory": entry.factory.as_ref().map(|factory| json!({
            "id": factory.id,
            "configuration": factory.configuration,
        })),
        "path": shown(&entry.path),
        "artifact": {
            "path": shown(&entry.artifact),
            "is": entry.kind.describe(),
            "size": entry.size,
        },
        "manifest_in": entry.manifest_place.name(),
    })
}

fn hit_json(hit: &Hit<'_>) -> Json {
    let mut json = entry_json(hit.entry);
    json["optional"] = json!(hit.optional);
    json["score"] = json!(hit.score);
    json
}

fn candidate_json(candidate: &Candidate<'_>) -> Json {
    let mut json = entry_json(candidate.entry);
    json["score"] = json!(candidate.score);
    let reasons = candidate
        .reasons
        .iter()
        .map(|reason| json!({ "reason": reason.words, "points": reason.points, "of": reason.of }));
    json["reasons"] = reasons.collect();
    json
}

fn excluded_json(excluded: &Excluded<'_>) -> Json {
    json!({
        "id": excluded.entry.id(),
        "version": excluded.entry.version().to_string(),
        "path": shown(&excluded.entry.path),
        "unmet": excluded.unmet,
    })
}
