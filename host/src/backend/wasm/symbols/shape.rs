//! Checks the shape of debug information before it is followed.
//!
//! The library that follows it calls itself for each function in a function, and goes over all
//! attributes of an entry, some of which take no byte: a stack that ends and a loop without reads are
//! what a [budget of reads](super::metered) does not see.

use std::collections::HashSet;

use addr2line::gimli::{DW_FORM_implicit_const, Dwarf, Reader, Result, Section};

use super::metered::Metered;

/// The deepest nesting of entries. Compilers reach some thirty.
const MAX_DEPTH: isize = 200;
/// The most attributes of an entry. Compilers give some fifteen.
const MAX_ATTRIBUTES: usize = 64;

/// True if all entries are of a shape that compilers make.
pub(super) fn is_usual(dwarf: &Dwarf<Metered<'_>>) -> Result<bool> {
    let mut checked = HashSet::new();
    let mut units = dwarf.units();
    while let Some(unit) = units.next()? {
        let offset = unit.debug_abbrev_offset().0;
        if checked.insert(offset) {
            let mut kinds = dwarf.debug_abbrev.reader().clone();
            kinds.skip(offset)?;
            if !are_usual(kinds)? {
                return Ok(false);
            }
        }
        let kinds = dwarf.abbreviations(&unit)?;
        let mut entries = unit.entries_raw(&kinds, None)?;
        while !entries.is_empty() {
            if entries.next_depth() > MAX_DEPTH {
                return Ok(false);
            }
            if let Some(kind) = entries.read_abbreviation()? {
                entries.skip_attributes(kind.attributes())?;
            }
        }
    }
    Ok(true)
}

/// True if the entries of each kind have few attributes (DWARF 5, 7.5.3, "Abbreviations Tables").
fn are_usual(mut kinds: Metered<'_>) -> Result<bool> {
    while kinds.read_uleb128()? != 0 {
        let (_tag, _has_children) = (kinds.read_uleb128()?, kinds.read_u8()?);
        let mut attributes = 0;
        loop {
            let (name, form) = (kinds.read_uleb128()?, kinds.read_uleb128()?);
            if (name, form) == (0, 0) {
                break;
            }
            if form == u64::from(DW_FORM_implicit_const.0) {
                kinds.read_sleb128()?;
            }
            attributes += 1;
            if attributes > MAX_ATTRIBUTES {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
