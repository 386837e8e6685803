//! The columns that the list has room for, and their widths.

use egui::{Align, Ui};
use egui_table::Table;
use glovebox_inspector::search::{Order, SortBy};

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Column {
    Number,
    Time,
    SincePrevious,
    Plugin,
    Direction,
    Kind,
    Size,
    Latency,
    Status,
}

impl Column {
    /// From left to right. The last one gets what the others leave.
    const ALL: [Column; 9] = [
        Column::Number,
        Column::Time,
        Column::SincePrevious,
        Column::Plugin,
        Column::Direction,
        Column::Kind,
        Column::Size,
        Column::Latency,
        Column::Status,
    ];

    /// Its title, its width in points, and where its texts stand.
    pub(super) fn head(self) -> (&'static str, f32, Align) {
        match self {
            Column::Number => ("#", 72.0, Align::Max),
            Column::Time => ("time, s", 100.0, Align::Max),
            Column::SincePrevious => ("Δt", 72.0, Align::Max),
            Column::Plugin => ("plugin", 104.0, Align::Min),
            Column::Direction => ("dir", 36.0, Align::Center),
            Column::Kind => ("kind", 72.0, Align::Min),
            Column::Size => ("size", 68.0, Align::Max),
            Column::Latency => ("latency", 80.0, Align::Max),
            Column::Status => ("status", 220.0, Align::Min),
        }
    }

    /// The figure that the list is sorted by when its title is clicked.
    pub(super) fn sorts_by(self) -> Option<SortBy> {
        match self {
            Column::Size => Some(SortBy::Size),
            Column::Latency => Some(SortBy::Latency),
            Column::Number
            | Column::Time
            | Column::SincePrevious
            | Column::Plugin
            | Column::Direction
            | Column::Kind
            | Column::Status => None,
        }
    }

    /// True if a click on its title sorts the list by time.
    pub(super) fn is_time(self) -> bool {
        matches!(self, Column::Number | Column::Time)
    }

    fn width(self) -> f32 {
        self.head().1
    }
}

/// An order for people.
pub(super) fn words_of(order: Order) -> String {
    let first = match (order.by, order.largest_first) {
        (SortBy::Latency, true) => "slowest first",
        (SortBy::Latency, false) => "fastest first",
        (SortBy::Size, true) => "largest first",
        (SortBy::Size, false) => "smallest first",
    };
    format!("by {}, {first}", order.by.name())
}

/// The least widths of the status, in points: with words, and with hardly more than its picture.
const STATUS: f32 = 132.0;
const SHORT_STATUS: f32 = 60.0;

/// The steps of a list that has no room for all columns.
#[derive(Debug, Clone, Copy)]
enum GivingWay {
    Drop(Column),
    ShortenStatus,
}

/// In this order; number and status always stay.
const GIVING_WAY: [GivingWay; 8] = [
    GivingWay::Drop(Column::SincePrevious),
    GivingWay::Drop(Column::Kind),
    GivingWay::Drop(Column::Size),
    GivingWay::Drop(Column::Time),
    GivingWay::Drop(Column::Direction),
    GivingWay::ShortenStatus,
    GivingWay::Drop(Column::Latency),
    GivingWay::Drop(Column::Plugin),
];

/// The columns that fit into a width, and the least width of the last one.
fn columns_for(width: f32) -> (Vec<Column>, f32) {
    let mut shown = Column::ALL.to_vec();
    let mut status = STATUS;
    for step in GIVING_WAY {
        let rest = shown[..shown.len() - 1].iter().map(|column| column.width());
        if rest.sum::<f32>() + status + 12.0 <= width {
            break;
        }
        match step {
            GivingWay::Drop(column) => shown.retain(|one| *one != column),
            GivingWay::ShortenStatus => status = SHORT_STATUS,
        }
    }
    (shown, status)
}

/// The width of the column of plugins that are told apart, and that of a list that has room for it.
const WIDE: f32 = 184.0;
const ROOMY: f32 = 780.0;

/// The columns that fit, and the same for the table.
pub(super) fn columns(ui: &Ui, has_twins: bool) -> (Vec<Column>, Vec<egui_table::Column>) {
    let (shown, status) = columns_for(ui.available_width());
    let last = Column::Status;
    // Longer names, where there is room for them.
    let wide = has_twins && ui.available_width() > ROOMY;
    let usual = |column: Column| match column {
        Column::Plugin if wide => WIDE,
        column => column.width(),
    };
    let column_id = |column: Column| {
        let is_wide = wide && column == Column::Plugin;
        egui::Id::unique(("frames column", column.head().0, is_wide))
    };
    let id = Table::new().id_salt("frames").get_id(ui);
    let widths = egui_table::TableState::load(ui, id).unwrap_or_default();
    let width = |column: Column| {
        let known = widths.col_widths.get(&column_id(column)).copied();
        known.unwrap_or(usual(column))
    };
    let rest: f32 = shown.iter().filter(|one| **one != last).map(|one| width(*one)).sum();
    let fill = (ui.available_width() - rest - 12.0).max(status);
    let of_table = |column: &Column| match *column == last {
        true => {
            egui_table::Column::new(fill).range(fill..=fill).id(column_id(last)).resizable(false)
        }
        false => egui_table::Column::new(usual(*column)).range(32.0..=400.0).id(column_id(*column)),
    };
    let columns = shown.iter().map(of_table).collect();
    // Without a state the table would measure every cell first.
    widths.store(ui, id);
    (shown, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_lists_drop_what_matters_least() {
        #[track_caller]
        fn check(width: f32, expected: &[&str], status: f32) {
            let (columns, least) = columns_for(width);
            let names: Vec<_> = columns.iter().map(|column| column.head().0).collect();
            assert_eq!((&*names, least), (expected, status), "{width}");
        }
        let all = Column::ALL.map(|column| column.head().0);
        check(900.0, &all, STATUS);
        check(460.0, &["#", "plugin", "dir", "latency", "status"], STATUS);
        check(400.0, &["#", "plugin", "latency", "status"], STATUS);
        check(360.0, &["#", "plugin", "latency", "status"], SHORT_STATUS);
        check(320.0, &["#", "plugin", "status"], SHORT_STATUS);
        check(10.0, &["#", "status"], SHORT_STATUS);
    }
}
