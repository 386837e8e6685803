use super::super::record::Record;
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Processes of plugins that ended by themselves, also where the frame was answered by the next one.
pub(super) struct WorkerCrash;

impl Rule for WorkerCrash {
    fn id(&self) -> &'static str {
        "worker-crash"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "The process of a plugin crashed, at least once, also if its frame was sent again and answered \
         then; it says how often a fresh process went on without its state, and whether the plugin was \
         stopped because it failed too often in a row. A crash that a mock or an injected fault made up is \
         no finding by itself."
    }

    fn remedy(&self) -> &'static str {
        "see the cause at the events that it names, and save the state if it must not be lost; restart \
         by hand what was stopped"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for (owner, crashes) in record.crashes.iter().filter(|(_, crashes)| crashes.count > 0) {
            let times = count(crashes.count, "time");
            let mut message = format!("its process crashed {times}");
            if crashes.without_state > 0 {
                let times = count(crashes.without_state, "time");
                message.push_str(&format!("; it was restarted without its state {times}"));
            }
            if crashes.stopped > 0 {
                message.push_str("; it failed so often in a row that it was stopped");
            }
            if crashes.made_up > 0 {
                let times = count(crashes.made_up, "time");
                message.push_str(&format!(
                    "; besides, a mock or an injected fault made it up {times}"
                ));
            }
            out.find(owner, crashes.generation, message, crashes.spots.iter().copied());
        }
    }
}
