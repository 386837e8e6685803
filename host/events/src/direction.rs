use std::fmt;

/// Which way a frame went, seen from the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Given to the plugin.
    In,
    /// Given by the plugin.
    Out,
}

impl Direction {
    /// `in` or `out`, as in the filter language.
    pub fn name(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
