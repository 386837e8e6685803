//! The text of a workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use glovebox_abi::LogLevel;
use glovebox_abi::manifest::{LimitChanges, is_kebab_case};

use super::{PluginSettings, Workspace, WorkspaceError};
use glovebox_abi::nearest::{did_you_mean, nearest};
use glovebox_document::{DocumentError, Section};
use glovebox_host::{Mocks, Profile, Reloads};

const LEVELS: [(&str, LogLevel); 5] = [
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("error", LogLevel::Error),
];

pub(super) fn read(text: &str, file: &Path) -> Result<Workspace, WorkspaceError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let table = glovebox_document::parse(text)?;
    let top = Section::top(text, &table);
    top.only(&["profile", "policy", "pipeline", "mock", "plugins", "plugin", "profiles"])?;
    let path = |section: &Section<'_>, key: &str| -> Result<Option<PathBuf>, DocumentError> {
        Ok(section.text(key)?.map(|path| folder.join(path)))
    };
    let mut workspace = Workspace {
        file: file.to_owned(),
        policy: path(&top, "policy")?,
        pipeline: path(&top, "pipeline")?,
        mock: path(&top, "mock")?,
        profile: top.text("profile")?,
        profiles: profiles(&top)?,
        ..Workspace::default()
    };
    if let Some(section) = top.section("plugins")? {
        section.only(&["folders", "enabled"])?;
        let folders = section.texts("folders")?.unwrap_or_default();
        workspace.folders = folders.iter().map(|name| folder.join(name)).collect();
        workspace.enabled = enabled(&section)?;
    }
    if let Some(all) = top.section("plugin")? {
        for id in all.keys() {
            check_id(&all, id, id)?;
            if let Some(section) = all.section(id)? {
                let settings = settings(&section, folder)?;
                workspace.settings.insert(id.to_owned(), settings);
            }
        }
    }
    check_profile(&workspace, &top)?;
    Ok(workspace)
}

/// Says on which line a profile is named that does not exist.
fn check_profile(workspace: &Workspace, top: &Section<'_>) -> Result<(), WorkspaceError> {
    match workspace.profile(None) {
        Ok(_) => Ok(()),
        Err(error) => Err(top.wrong("profile", error.to_string()).into()),
    }
}

fn check_id(section: &Section<'_>, key: &str, id: &str) -> Result<(), DocumentError> {
    if is_kebab_case(id) {
        return Ok(());
    }
    let reason = format!("`{id}` is no plugin id; use lower-case letters, digits and single `-`");
    Err(section.wrong(key, reason))
}

fn enabled(section: &Section<'_>) -> Result<Option<Vec<String>>, DocumentError> {
    let Some(enabled) = section.texts("enabled")? else {
        return Ok(None);
    };
    let mut seen = BTreeSet::new();
    for id in &enabled {
        check_id(section, "enabled", id)?;
        if !seen.insert(id) {
            return Err(section.wrong("enabled", format!("`{id}` stands there twice")));
        }
    }
    Ok(Some(enabled))
}

fn settings(section: &Section<'_>, folder: &Path) -> Result<PluginSettings, DocumentError> {
    section.only(&["path", "trust-native", "config", "limits"])?;
    let limits = match section.section("limits")? {
        None => LimitChanges::default(),
        Some(limits) => {
            limits.only(LimitChanges::KEYS)?;
            let table = section.table("limits")?.unwrap_or_default();
            LimitChanges::parse(&table)
                .map_err(|error| section.wrong("limits", error.to_string()))?
        }
    };
    Ok(PluginSettings {
        line: section.line(),
        path: section.text("path")?.map(|path| folder.join(path)),
        trust_native: section.flag("trust-native")?.unwrap_or(false),
        config: section.settings("config")?,
        limits,
    })
}

fn profiles(top: &Section<'_>) -> Result<BTreeMap<String, Profile>, DocumentError> {
    let mut profiles = BTreeMap::new();
    let Some(all) = top.section("profiles")? else {
        return Ok(profiles);
    };
    for name in all.keys() {
        let Some(section) = all.section(name)? else { continue };
        if Profile::named(name).is_some() {
            let reason = "this profile is built in; give yours another name, with `from`";
            return Err(all.wrong(name, reason));
        }
        profiles.insert(name.to_owned(), profile(name, &section)?);
    }
    Ok(profiles)
}

fn profile(name: &str, section: &Section<'_>) -> Result<Profile, DocumentError> {
    section.only(&["from", "reload", "log", "mocks"])?;
    let names = Profile::NAMES;
    let Some(from) = section.text("from")? else {
        return Err(section.missing("from", "write \"development\" or \"production\""));
    };
    let base = Profile::named(&from).ok_or_else(|| {
        let meant = did_you_mean(nearest(&from, names));
        section.wrong("from", format!("`{from}` is none of {}{meant}", names.join(", ")))
    })?;
    let log = match section.text("log")? {
        None => base.log(),
        Some(text) => {
            let found = LEVELS.iter().find(|(level, _)| *level == text);
            let (_, level) = found.ok_or_else(|| {
                let levels = LEVELS.map(|(level, _)| level);
                let meant = did_you_mean(nearest(&text, levels));
                section.wrong("log", format!("`{text}` is none of {}{meant}", levels.join(", ")))
            })?;
            *level
        }
    };
    let reloads = match section.flag("reload")? {
        None => base.reloads(),
        Some(true) => Reloads::ByItself,
        Some(false) => Reloads::WhenAsked,
    };
    let mocks = match section.flag("mocks")? {
        None => base.mocks(),
        Some(true) => Mocks::Allowed,
        Some(false) => Mocks::Refused,
    };
    Ok(base.renamed(name).with_log(log).with_reloads(reloads).with_mocks(mocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_read() {
        let text = "profile = 'staging'\npolicy = 'p.toml'\npipeline = '/abs/line.toml'\n\
            [plugins]\nfolders = ['a', '/b']\nenabled = 'x'\n\
            [plugin.x]\ntrust-native = true\nconfig = { n = 1 }\nlimits = { memory = '1 MiB', queue = 5 }\n\
            [profiles.staging]\nfrom = 'production'\nmocks = true";
        let workspace = Workspace::parse(text, "/w/glovebox.toml").unwrap();
        assert_eq!(workspace.policy(), Some(Path::new("/w/p.toml")));
        assert_eq!(workspace.pipeline(), Some(Path::new("/abs/line.toml")));
        assert_eq!(workspace.mock(), None);
        assert_eq!(workspace.folders(), [Path::new("/w/a"), Path::new("/b")]);
        let settings = &workspace.settings["x"];
        assert!(settings.trust_native);
        assert_eq!((settings.limits.memory, settings.limits.queue), (Some(1 << 20), Some(5)));
        let staging = workspace.profile(None).unwrap().unwrap();
        let expected = Profile::production().renamed("staging").with_mocks(Mocks::Allowed);
        assert_eq!(staging, expected);
        let chosen = workspace.profile(Some("development")).unwrap();
        assert_eq!(chosen, Some(Profile::development()));
    }

    #[test]
    fn bad_workspaces_say_what_is_wrong() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = Workspace::parse(text, "/w/glovebox.toml").unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("[plugin", "line 1");
        check(
            "polcy = 'x'",
            "unknown key `polcy` in the top level on line 1; did you mean `policy`?",
        );
        check(
            "profile = 'prodution'",
            "line 1: `profile`: there is no profile `prodution` (development, production); did you mean `production`?",
        );
        check(
            "[plugins]\nfolder = 'x'",
            "unknown key `folder` in [plugins] on line 2; did you mean `folders`?",
        );
        check(
            "[plugins]\nenabled = ['a', 'a']",
            "line 2: `plugins.enabled`: `a` stands there twice",
        );
        check("[plugins]\nenabled = 'A b'", "`A b` is no plugin id");
        check("[plugin.\"A b\"]", "line 1: `plugin.A b`: `A b` is no plugin id");
        check("[plugin.a]\ntrust = true", "unknown key `trust` in [plugin.a] on line 2");
        check(
            "[plugin.a]\ntrust-native = 1",
            "line 2: `plugin.a.trust-native`: expected true or false",
        );
        check(
            "[plugin.a.limits]\nmemroy = 1",
            "unknown key `memroy` in [plugin.a.limits] on line 2; did you mean `memory`?",
        );
        check(
            "[plugin.a.limits]\nmemory = '3 GiB'",
            "`limits.memory`: 3 GiB is out of range; write at most 2 GiB",
        );
        check(
            "[plugin.a.limits]\nqueue = 0",
            "`limits.queue`: 0 is out of range; write 1 to 100000",
        );
        check(
            "[profiles.production]\nfrom = 'development'",
            "line 1: `profiles.production`: this profile is built in",
        );
        check("[profiles.x]", "[profiles.x] on line 1 lacks `from`");
        check("[profiles.x]\nfrom = 'develop'", "`develop` is none of development, production");
        check(
            "[profiles.x]\nfrom = 'production'\nlog = 'debgu'",
            "line 3: `profiles.x.log`: `debgu` is none of trace, debug, info, warn, error; did you mean `debug`?",
        );
    }
}
