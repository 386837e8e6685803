use roaring::RoaringTreemap;

/// Rows of a trace, in order, in few bytes: ten million that match take less than two megabytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowSet(RoaringTreemap);

impl RowSet {
    /// Adds a row; in any order.
    pub fn insert(&mut self, row: u64) {
        self.0.insert(row);
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The row at a position, from 0.
    pub fn get(&self, position: u64) -> Option<u64> {
        self.0.select(position)
    }

    /// How many rows stand before this one, whether or not it is there itself.
    pub fn position(&self, row: u64) -> u64 {
        row.checked_sub(1).map_or(0, |before| self.0.rank(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_position_and_back() {
        fn check(rows: &[u64]) {
            let mut set = RowSet::default();
            rows.iter().rev().for_each(|row| set.insert(*row));
            assert_eq!(set.len(), rows.len() as u64);
            for (position, row) in (0..).zip(rows) {
                assert_eq!(set.get(position), Some(*row));
                assert_eq!(set.position(*row), position);
                assert_eq!(set.position(*row + 1), position + 1);
            }
            assert_eq!(set.get(set.len()), None);
        }
        check(&[]);
        check(&[0]);
        check(&[0, 1, 2, 70_000, 5_000_000_000]);
        check(&(0..200_000).step_by(3).collect::<Vec<_>>());
    }
}
