//! Probation: an artifact that took over is compared with the one before for a while, and gives way to
//! it if it is worse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_events::{LoadStage, NoteKind, ReloadCause, What};

use super::Host;
use super::plan::Plan;
use crate::instance::{Instance, RefusedGeneration};
use crate::policy::Probation;
use crate::record::unix_nanoseconds;

/// How often it is compared, at least.
const LOOK: Duration = Duration::from_millis(100);

impl Host {
    /// Puts the artifact that has just taken over on probation, if the policy says so.
    pub(super) fn begin_probation(&self, instance: &Arc<Instance>, cause: ReloadCause) {
        let Some(rules) = instance.swap_rules().probation else { return };
        let number = instance.serves_since();
        instance.begin_probation();
        let window = glovebox_abi::units::show_duration(rules.window);
        let text = format!("generation {number} is on probation for {window}");
        instance.note(NoteKind::Generation, &text);
        let (host, instance) = (self.downgrade(), Arc::downgrade(instance));
        let began = Instant::now();
        self.runtime().spawn(async move {
            loop {
                tokio::time::sleep(LOOK.min(rules.window)).await;
                let Some(instance) = instance.upgrade() else { return };
                if instance.serves_since() != number || !instance.queue.is_open() {
                    return;
                }
                let (worse, calls) = instance.is_worse(&rules);
                if let Some(reason) = worse {
                    let Some(inner) = host.upgrade() else { return };
                    let host = Host { inner };
                    drop(host.run(move |host| host.give_way(&instance, number, cause, &reason)));
                    return;
                }
                if began.elapsed() >= rules.window {
                    instance.end_probation(number);
                    instance.note(NoteKind::Generation, &passed(number, calls, &rules));
                    return;
                }
            }
        });
    }

    /// Goes back from an artifact that is worse than the one before, unless another one runs by now.
    /// One that ran on probation itself is not that.
    fn give_way(&self, instance: &Arc<Instance>, number: u32, cause: ReloadCause, reason: &str) {
        let began = Instant::now();
        let gone_back = self.replace(instance, |instance| {
            let proven = instance.proven().filter(|_| instance.serves_since() == number);
            proven.map(|proven| Plan::back(instance, Some(proven)))
        });
        // An event says so if it cannot go back.
        let Ok(now) = gone_back else { return };
        if instance.serves_since() == number {
            return;
        }
        let message = format!(
            "generation {number} was worse than the one before: {reason}; generation {now} runs what \
             ran before. See its failures, or change `probation` under [swap] of the policy"
        );
        tracing::warn!(plugin = &*instance.plugin, message);
        let stage = LoadStage::Probe;
        let at = unix_nanoseconds();
        // Before the event: whoever hears of it looks up the reason.
        instance.reject(
            RefusedGeneration {
                cause,
                stage,
                message: message.clone(),
                at,
                waits_for: Vec::new(),
                older: None,
            },
            None,
        );
        let (cause, took) = (ReloadCause::RolledBack, began.elapsed());
        instance.shared.record(now, What::ReloadFailed { cause, stage, message, took });
    }
}

fn passed(number: u32, calls: u64, rules: &Probation) -> String {
    match calls < rules.calls {
        true => {
            let wanted = rules.calls;
            format!(
                "the probation of generation {number} is over, undecided: {calls} calls ended, and \
                 {wanted} are needed to tell"
            )
        }
        false => format!("generation {number} passed its probation with {calls} calls"),
    }
}
