//! Compares the parameters of a consent with those of a request.

use std::path::Path;

use glovebox_abi::manifest::{Access, Endpoint, Folder, HostPattern, Scope, Selection};

use crate::policy::allowance::resolved;

/// The same parameters wherever they are read.
pub(in super::super) fn in_full(mut scope: Scope, base: Option<&Path>) -> Scope {
    for folder in scope.folders.only.iter_mut().flatten() {
        let path = base.map_or_else(|| folder.path.clone().into(), |base| base.join(&folder.path));
        folder.path = resolved(&path);
    }
    scope
}

/// True if all that `asked` admits was agreed to. Both are in full, and about a permission that
/// needs consent.
pub(crate) fn covers(agreed: &Scope, asked: &Scope) -> bool {
    selection(&agreed.folders, &asked.folders, folder_covers)
        && selection(&agreed.hosts, &asked.hosts, endpoint_covers)
        && selection(&agreed.names, &asked.names, |one, other| one == other)
}

fn selection<T: PartialEq>(
    agreed: &Selection<T>,
    asked: &Selection<T>,
    one: impl Fn(&T, &T) -> bool,
) -> bool {
    let asked_only = asked.only.as_deref().unwrap_or_default();
    let agreed_only = agreed.only.as_deref().unwrap_or_default();
    // Values that were left out then must be left out now.
    let keeps = |except: &T| asked.except.iter().flatten().any(|known| known == except);
    let excepts = asked_only.is_empty() || agreed.except.iter().flatten().all(keeps);
    excepts && asked_only.iter().all(|asked| agreed_only.iter().any(|agreed| one(agreed, asked)))
}

pub(in super::super) fn folder_covers(agreed: &Folder, asked: &Folder) -> bool {
    let leads_up =
        Path::new(&asked.path).components().any(|part| part == std::path::Component::ParentDir);
    let writes = |folder: &Folder| folder.access == Access::ReadWrite;
    Path::new(&asked.path).starts_with(&agreed.path)
        && !leads_up
        && (writes(agreed) || !writes(asked))
}

pub(in super::super) fn endpoint_covers(agreed: &Endpoint, asked: &Endpoint) -> bool {
    let ports =
        agreed.ports.contains(asked.ports.start()) && agreed.ports.contains(asked.ports.end());
    let host = agreed.host == HostPattern::Any || agreed.host == asked.host;
    ports && host
}
