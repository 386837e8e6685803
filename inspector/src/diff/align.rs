//! Which calls of two runs belong together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use glovebox_abi::Header;
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::{Run, RunCall};
use crate::decode::to_json;

/// After so long the alignment of runs that have little in common becomes coarser.
const PATIENCE: Duration = Duration::from_secs(5);

/// A call of either run, or one of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) before: Option<usize>,
    pub(super) after: Option<usize>,
}

/// Pairs every call, in the order of the runs.
pub(super) fn align(before: &Run, after: &Run) -> Vec<Pair> {
    let by_plugin = !(has_one_plugin(before) && has_one_plugin(after));
    // Position in the first run by position in the second.
    let mut partners = pair_by_id(before, after, by_plugin);
    pair_by_input(before, after, by_plugin, &mut partners);
    in_order(before.calls.len(), &partners)
}

/// With one plugin on each side its id does not matter: a copy under another name is compared too.
fn has_one_plugin(run: &Run) -> bool {
    let mut calls = run.calls.iter();
    let first = calls.next();
    calls.all(|call| first.is_some_and(|first| first.plugin == call.plugin))
}

fn pair_by_id(before: &Run, after: &Run, by_plugin: bool) -> Vec<Option<usize>> {
    let ids = |run: &Run| -> Vec<Option<String>> {
        let id_of = |call: &RunCall| {
            let id = to_json(&call.input.header.get(Header::ID)?);
            let plugin = if by_plugin { &*call.plugin } else { "" };
            Some(format!("{plugin}/{id}"))
        };
        run.calls.iter().map(id_of).collect()
    };
    /// Where each id stands, if it stands in one place only.
    fn unique(ids: &[Option<String>]) -> HashMap<&str, Option<usize>> {
        let mut places = HashMap::new();
        for (index, id) in ids.iter().enumerate() {
            if let Some(id) = id {
                let place = places.entry(id.as_str());
                place.and_modify(|place| *place = None).or_insert(Some(index));
            }
        }
        places
    }
    let (ids_before, ids_after) = (ids(before), ids(after));
    let (in_before, in_after) = (unique(&ids_before), unique(&ids_after));
    let partner = |id: &Option<String>| {
        let id = id.as_deref()?;
        in_after.get(id).copied().flatten()?;
        in_before.get(id).copied().flatten()
    };
    ids_after.iter().map(partner).collect()
}

/// Pairs what has no partner yet.
fn pair_by_input(before: &Run, after: &Run, by_plugin: bool, partners: &mut [Option<usize>]) {
    let mut taken = vec![false; before.calls.len()];
    for index in partners.iter().flatten() {
        taken[*index] = true;
    }
    let left: Vec<usize> = (0..before.calls.len()).filter(|at| !taken[*at]).collect();
    let right: Vec<usize> = (0..partners.len()).filter(|at| partners[*at].is_none()).collect();
    let mut names = HashMap::new();
    let mut token = |call: &RunCall| {
        let plugin = by_plugin.then(|| call.plugin.clone());
        let next = names.len();
        *names.entry((plugin, call.input.clone())).or_insert(next)
    };
    let old: Vec<usize> = left.iter().map(|at| token(&before.calls[*at])).collect();
    let new: Vec<usize> = right.iter().map(|at| token(&after.calls[*at])).collect();
    let deadline = Some(Instant::now() + PATIENCE);
    for operation in capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline) {
        let (old, new) = match operation {
            DiffOp::Equal { .. } => (operation.old_range(), operation.new_range()),
            // As many on both sides: most likely the same calls with other inputs.
            DiffOp::Replace { old_len, new_len, .. } if old_len == new_len => {
                (operation.old_range(), operation.new_range())
            }
            _ => continue,
        };
        for (old, new) in old.zip(new) {
            let (old, new) = (left[old], right[new]);
            if !by_plugin || before.calls[old].plugin == after.calls[new].plugin {
                partners[new] = Some(old);
            }
        }
    }
}

/// Puts a call that only the second run has behind the one it followed there.
fn in_order(calls_before: usize, partners: &[Option<usize>]) -> Vec<Pair> {
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); calls_before + 1];
    let mut partner_of: Vec<Option<usize>> = vec![None; calls_before];
    let mut anchor = 0;
    for (after, before) in partners.iter().enumerate() {
        match before {
            Some(before) => {
                partner_of[*before] = Some(after);
                anchor = before + 1;
            }
            None => followers[anchor].push(after),
        }
    }
    let extra = |after: &usize| Pair { before: None, after: Some(*after) };
    let mut pairs: Vec<Pair> = followers[0].iter().map(extra).collect();
    for before in 0..calls_before {
        pairs.push(Pair { before: Some(before), after: partner_of[before] });
        pairs.extend(followers[before + 1].iter().map(extra));
    }
    pairs
}
