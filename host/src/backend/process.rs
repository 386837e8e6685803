//! The things that a process with a plugin is given, worker or container: the folders and variables that
//! are granted, memory, and room in messages.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use glovebox_abi::manifest::Limits;
use glovebox_abi::wire::Bounds;
use glovebox_sandbox::{Access, Folder};
use glovebox_worker::Spec;

use crate::policy::Grants;

/// Begins the variables that tell a plugin where its folders are.
const FOLDER: &str = "GLOVEBOX_FOLDER_";

/// Bytes of memory of a process beside those of its plugin.
pub(crate) const AROUND: u64 = 32 << 20;

/// The folders and variables that a process starts with: those that are granted, and no others.
#[derive(Default)]
pub(crate) struct ProcessGrants {
    /// Handles: nobody can put another folder in the place of one that is open.
    folders: Vec<(PathBuf, File, Access)>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A folder, and where it lies.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) handle: &'a File,
    pub(crate) access: Access,
}

impl ProcessGrants {
    /// # Errors
    ///
    /// In words, if a granted folder cannot be had.
    pub(crate) fn of(grants: &Grants) -> Result<ProcessGrants, String> {
        if let Some(problem) = &grants.folder_problem {
            return Err(problem.clone());
        }
        let mut own =
            ProcessGrants { folders: Vec::new(), environment: grants.environment.clone() };
        let named = grants.folders.iter().map(|folder| &*folder.at);
        check_names(named, &grants.environment)?;
        for folder in &grants.folders {
            let handle = folder.handle().map_err(|error| {
                format!("the folder `{}` cannot be given to a process: {error}", folder.at)
            })?;
            let path = folder.path();
            let text = path.to_str().ok_or_else(|| {
                format!("the folder `{}` has a path that is no text: {}", folder.at, path.display())
            })?;
            own.environment.push((variable(&folder.at), text.to_owned()));
            let access = if folder.writable { Access::ReadWrite } else { Access::Read };
            own.folders.push((path, handle, access));
        }
        Ok(own)
    }

    /// The folders, by their paths.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let folders = self.folders.iter();
        folders.map(|(path, handle, access)| Place { path, handle, access: *access })
    }

    /// Those that do not lie in another one with the same access, in which they are found as well.
    pub(crate) fn outermost(&self) -> impl Iterator<Item = Place<'_>> {
        let is_within = move |(place, (path, _, access)): &(usize, &(PathBuf, File, Access))| {
            self.folders.iter().enumerate().any(|(other, (around, _, same))| {
                let is_around = match around == path {
                    true => other < *place,
                    false => path.starts_with(around),
                };
                is_around && same == access
            })
        };
        let places = self.folders.iter().enumerate().filter(move |place| !is_within(place));
        places.map(|(_, (path, handle, access))| Place { path, handle, access: *access })
    }

    /// The paths of the folders that may be written.
    pub(crate) fn writable(&self) -> Vec<&Path> {
        let folders = self.folders.iter().filter(|(_, _, access)| *access == Access::ReadWrite);
        folders.map(|(path, ..)| path.as_path()).collect()
    }

    /// True if there is no folder in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Gives them to a worker that is to be started.
    pub(crate) fn give_to(self, spec: &mut Spec) {
        let more = u32::try_from(self.folders.len()).unwrap_or(u32::MAX);
        let limits = &mut spec.profile.limits;
        limits.files = limits.files.saturating_add(more);
        for (_, handle, access) in self.folders {
            let folder = Folder { descriptor: handle.as_raw_fd(), access };
            spec.profile.reach.folders.push(folder);
            spec.pass.push(handle.into());
        }
        spec.environment = self.environment;
    }
}

/// Bytes of a message beside what counts in it: names, lengths, and frames without content.
const AROUND_MESSAGE: u64 = 64 << 10;

/// Room in each message for what the limits allow, and for a state.
pub(crate) fn bounds_of(limits: &Limits) -> Bounds {
    let Bounds { body, items, .. } = Bounds::default();
    let length =
        |bytes: u64| u32::try_from(bytes.saturating_add(AROUND_MESSAGE)).unwrap_or(u32::MAX);
    let frames = limits.output_frames.saturating_add(1);
    let reply = length(limits.output_bytes.saturating_add(frames.saturating_mul(64)));
    // It emits a frame, gives a value to the store or an argument to a function, or logs a line.
    let service = length(limits.output_bytes.max(limits.host_call_bytes));
    Bounds {
        body: body.max(reply).max(service),
        reply,
        service,
        items: u32::try_from(frames).unwrap_or(u32::MAX).max(items),
    }
}

/// Refuses two folders, or a folder and a variable, that one variable would stand for: the plugin would
/// read another folder than it means.
fn check_names<'a>(
    folders: impl Iterator<Item = &'a str>,
    environment: &[(String, String)],
) -> Result<(), String> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for at in folders {
        let name = variable(at);
        if environment.iter().any(|(given, _)| *given == name) {
            return Err(format!(
                "the variable `{name}` is granted, and stands for the folder `{at}` as well; give \
                 the folder another name under `files`"
            ));
        }
        if let Some(other) = known.insert(name.clone(), at) {
            return Err(format!(
                "the variable `{name}` stands for the folder `{other}` and for `{at}`; give one of \
                 them another name under `files`"
            ));
        }
    }
    Ok(())
}

/// The variable of a folder, from the name that the manifest gives it.
fn variable(at: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_uppercase(),
        false => '_',
    };
    let name: String = at.trim_matches('/').chars().map(letter).collect();
    format!("{FOLDER}{name}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_variable_stands_for_one_thing() {
        #[track_caller]
        fn check(folders: &[&str], environment: &[&str], expected: Option<&str>) {
            let environment: Vec<_> =
                environment.iter().map(|name| ((*name).to_owned(), String::new())).collect();
            let found = super::check_names(folders.iter().copied(), &environment).err();
            match (&found, expected) {
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => assert_eq!(found.as_deref(), expected),
            }
        }
        check(&["a b", "a-c", "/a"], &["HOME"], None);
        check(&["a b", "a-b"], &[], Some("for the folder `a b` and for `a-b`"));
        check(&["a.b", "x", "A/B"], &[], Some("for the folder `a.b` and for `A/B`"));
        check(&["data"], &["GLOVEBOX_FOLDER_DATA"], Some("stands for the folder `data` as well"));
    }

    #[test]
    fn folders_have_names_that_a_shell_takes() {
        fn check(at: &str, expected: &str) {
            assert_eq!(super::variable(at), expected);
        }
        check("data", "GLOVEBOX_FOLDER_DATA");
        check("/data/", "GLOVEBOX_FOLDER_DATA");
        check("my data/in.d", "GLOVEBOX_FOLDER_MY_DATA_IN_D");
        check("/", "GLOVEBOX_FOLDER_");
    }
}
