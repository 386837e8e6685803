//! The promises of a sandbox, and which layers keep them.

use crate::Layer;

/// One promise about the code in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The promise, for people: it completes "the code in a sandbox".
    pub text: &'static str,
    /// Each of these layers keeps it alone, as the tests of this crate show.
    pub kept_by: &'static [Layer],
    /// True if no stranger's code may run without it.
    pub is_needed: bool,
}

impl Promise {
    /// All of them, those first that are needed.
    pub const ALL: [Promise; 10] = [
        Promise {
            text: "reaches no file but those it was given and the system's libraries",
            kept_by: &[Layer::Files, Layer::MountNamespace],
            is_needed: true,
        },
        Promise {
            text: "gets no privileges from programs",
            kept_by: &[Layer::NoNewPrivileges],
            is_needed: true,
        },
        Promise {
            text: "makes no system call that leads out",
            kept_by: &[Layer::SystemCalls],
            is_needed: true,
        },
        Promise {
            text: "connects to nobody",
            kept_by: &[Layer::NetworkNamespace, Layer::SystemCalls],
            is_needed: false,
        },
        Promise {
            text: "sends no signals to others",
            kept_by: &[Layer::Scopes, Layer::SystemCalls],
            is_needed: false,
        },
        Promise {
            text: "maps no memory of others",
            kept_by: &[Layer::IpcNamespace, Layer::SystemCalls],
            is_needed: false,
        },
        Promise {
            text: "starts no other process",
            kept_by: &[Layer::Processes, Layer::SystemCalls],
            is_needed: false,
        },
        Promise {
            text: "keeps to its limits of memory and files",
            kept_by: &[Layer::Limits],
            is_needed: false,
        },
        Promise {
            text: "has no power of the superuser",
            kept_by: &[Layer::Capabilities],
            is_needed: false,
        },
        Promise {
            text: "ends when the host ends",
            kept_by: &[Layer::ParentDeath],
            is_needed: false,
        },
    ];

    /// True if one of the layers that keep it holds.
    pub fn is_kept(&self, mut holds: impl FnMut(Layer) -> bool) -> bool {
        self.kept_by.iter().any(|layer| holds(*layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_broken_once_no_layer_keeps_it() {
        fn check(lacking: &[Layer], broken: &[&str]) {
            let promises = Promise::ALL.iter();
            let found = promises.filter(|it| !it.is_kept(|layer| !lacking.contains(&layer)));
            assert_eq!(found.map(|it| it.text).collect::<Vec<_>>(), broken, "{lacking:?}");
        }
        check(&[], &[]);
        check(&[Layer::Files], &[]);
        check(&[Layer::Cgroup, Layer::UserNamespace, Layer::Ports, Layer::NotDumpable], &[]);
        let files = "reaches no file but those it was given and the system's libraries";
        check(&[Layer::Files, Layer::MountNamespace], &[files]);
        check(
            &[Layer::SystemCalls, Layer::NetworkNamespace],
            &["makes no system call that leads out", "connects to nobody"],
        );
    }
}
