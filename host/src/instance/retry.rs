//! A frame during which a process of a plugin ended: it is sent once more, to a fresh process, and put
//! into quarantine if that ends, too.

use glovebox_abi::manifest::Restart;
use glovebox_abi::{Frame, Permission};
use glovebox_events::{CallId, MADE_UP, NoteKind, Outcome};

use super::copy::PluginCopy;
use super::quarantine::{Loaded, Offence};
use crate::frames::Frames;
use crate::record::unix_nanoseconds;
use crate::stop::Stop;

impl PluginCopy {
    /// The end of a call that ended so: by a second attempt, where there can be one.
    #[cold]
    pub(super) fn after_crash(
        &mut self,
        first: Outcome,
        call: CallId,
        frame: &Frame,
        frames: &mut Frames,
    ) -> Result<(), Stop> {
        let prepared = &self.generation.prepared;
        let restarts = prepared.manifest.lifecycle.restart != Restart::Never;
        // Recorded answers are for one attempt.
        let is_answered = self.support.shared.answers.is_some();
        if !self.has_process || !restarts || is_answered {
            return Err(Stop::Dead(first));
        }
        let crash = first;
        let first = crash.to_string();
        let made_up = crash.is_made_up();
        let emitted = match self.take_emitted().len() {
            0 => String::new(),
            count => format!(", without the {count} frames that it emitted"),
        };
        let text = format!(
            "{first} during a frame, which is sent once more, alone, to a fresh process{emitted}"
        );
        self.note(NoteKind::Frame, &text);
        self.fail(&crash);
        frames.clear();
        if self.backend.is_none()
            && let Err(cancelled) = self.wait_for_fresh()
        {
            // Given up, or too far away.
            let cause = self.status.fault().unwrap_or(first);
            let crashed = || Stop::Alive(Outcome::Crashed { cause: cause_of(&cause), made_up });
            return Err(cancelled.unwrap_or_else(crashed));
        }
        let Some(backend) = &mut self.backend else {
            return Err(Stop::Alive(Outcome::Crashed { cause: cause_of(&first), made_up }));
        };
        match backend.call(call, frame, frames, &mut self.emitted) {
            Err(Stop::Dead(second @ Outcome::Crashed { .. })) => {
                let kept = match made_up || second.is_made_up() {
                    true => "which is kept nowhere: a mock made that up".to_owned(),
                    false => self.put_into_quarantine(frame, [first, second.to_string()]),
                };
                self.note(NoteKind::Frame, &format!("a frame crashed it twice: {kept}"));
                let Outcome::Crashed { cause, made_up } = second else {
                    return Err(Stop::Dead(second));
                };
                let cause = format!("{cause}; twice with this frame, {kept}");
                Err(Stop::Dead(Outcome::Crashed { cause, made_up }))
            }
            other => other,
        }
    }

    /// The options of a command that allow what a person allowed while the plugin ran.
    fn allowed(&self) -> Vec<String> {
        let grants = self.generation.rights.grants.load();
        let plugin = &self.support.shared.plugin;
        let verdicts = Permission::ALL.iter().filter_map(|(which, ..)| grants.verdict(*which));
        let decided = verdicts.filter(|it| it.is_granted() && it.is_decided_here());
        let words = decided.flat_map(|it| it.asks.iter().filter(|word| !it.lacks.contains(word)));
        words.flat_map(|word| ["--allow".to_owned(), format!("{plugin}:{word}")]).collect()
    }

    /// The fate of the frame, in words.
    fn put_into_quarantine(&mut self, frame: &Frame, causes: [String; 2]) -> String {
        let Some(quarantine) = &self.support.quarantine else {
            return "which is kept nowhere: the host has no folder for it".to_owned();
        };
        let prepared = &self.generation.prepared;
        let offence = Offence {
            plugin: &self.support.shared.plugin,
            version: prepared.manifest.plugin.version.to_string(),
            digest: &prepared.digest,
            artifact: prepared.origin.path(),
            generation: self.generation.number,
            causes,
            at: unix_nanoseconds(),
        };
        let request = self.support.request.load();
        let mut options = request.options();
        options.extend(self.allowed());
        let loaded = Loaded { options, configuration: request.config.clone() };
        match quarantine.keep(frame, &offence, &loaded) {
            Ok(kept) => {
                if let Some(backend) = &mut self.backend {
                    backend.context().evidence.kept = Some(kept.path.clone());
                }
                let removed = match kept.removed {
                    0 => String::new(),
                    count => format!(" ({count} older ones were removed)"),
                };
                format!("which is kept{removed}; send it again with `{}`", kept.command)
            }
            Err(error) => format!("which could not be kept: {error}"),
        }
    }
}

/// The cause without the word that every crash begins with.
fn cause_of(text: &str) -> String {
    let said = text.strip_prefix("crashed");
    let said = said.map(|said| said.strip_prefix(MADE_UP).unwrap_or(said));
    said.and_then(|said| said.strip_prefix(": ")).unwrap_or(text).to_owned()
}
