//! One file per rule; [`RULES`] lists them.

mod budget_broken;
mod denied_call;
mod growing_memory;
mod late_answer;
mod latency_drift;
mod left_behind;
mod non_deterministic;
mod out_of_order;
mod output_amplification;
mod retry_storm;
mod slow_frame;
mod unused_permission;
mod worker_crash;

use std::fmt::Write as _;

use super::Rule;

/// All rules, in the order of reports.
pub const RULES: &[&dyn Rule] = &[
    &budget_broken::BudgetBroken,
    &slow_frame::SlowFrame,
    &latency_drift::LatencyDrift,
    &growing_memory::GrowingMemory,
    &output_amplification::OutputAmplification,
    &denied_call::DeniedCall,
    &unused_permission::UnusedPermission,
    &retry_storm::RetryStorm,
    &late_answer::LateAnswer,
    &out_of_order::OutOfOrder,
    &non_deterministic::NonDeterministic,
    &worker_crash::WorkerCrash,
    &left_behind::LeftBehind,
];

/// The list of the rules for people, in Markdown.
pub fn rules_text() -> String {
    let mut text = "| rule | severity | finds | what to do |\n|---|---|---|---|\n".to_owned();
    for rule in RULES {
        let (id, severity) = (rule.id(), rule.severity());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{id}` | {severity} | {} | {} |", rule.describe(), rule.remedy());
    }
    text
}

/// `1 call`, `2 calls`.
fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed list, with what stands above it.
    const LIST: &str = include_str!("../RULES.md");

    #[test]
    fn the_list_of_rules_is_current() {
        let (_, table) = LIST.split_once("\n\n").unwrap();
        assert_eq!(table, rules_text(), "write what `glovebox findings` prints to RULES.md");
    }

    #[test]
    fn rules_can_be_told_apart() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(glovebox_abi::manifest::is_kebab_case(rule.id()), "{}", rule.id());
            let same = RULES.iter().position(|other| other.id() == rule.id());
            assert_eq!(same, Some(index), "{}", rule.id());
        }
    }
}
