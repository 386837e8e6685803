//! The promises about native plugins in processes of their own, and the layers that keep them.

use glovebox_host::worker::{self, Layer, Missing, Promise, SandboxReport, WorkerCheck};

use super::{Check, Section};

pub(super) fn examine() -> [Section; 2] {
    sections(&worker::check(), worker::compiles_outside())
}

fn sections(check: &WorkerCheck, compiler: Result<SandboxReport, Missing>) -> [Section; 2] {
    let start = match &check.started {
        Ok(_) => Check::works("starts", "a worker was started, and entered its sandbox"),
        Err(Missing { reason, remedy, .. }) => Check::missing("starts", reason, remedy),
    };
    let compiler = match compiler {
        Ok(_) => Check::works(
            "compiles WebAssembly",
            "a compiler in such a process compiled an empty module",
        ),
        Err(Missing { reason, remedy, .. }) => {
            Check::missing("compiles WebAssembly", reason, remedy)
        }
    };
    let promises = check.promises().map(|(promise, is_kept)| kept(check, promise, is_kept));
    let layers = match &check.layers {
        Ok(probes) => probes
            .iter()
            .map(|check| {
                let name = check.layer.name();
                match &check.missing {
                    None => {
                        Check::works(name, format!("a child that tried {} failed", check.tried))
                    }
                    Some(missing) => Check::missing(name, &missing.reason, &missing.remedy),
                }
            })
            .collect(),
        Err(missing) => {
            Layer::ALL.iter().map(|layer| Check::not_tried(layer.name(), &missing.reason)).collect()
        }
    };
    [
        Section {
            name: "promises",
            about: "the process of a native plugin, or of the compiler …",
            checks: [start, compiler].into_iter().chain(promises).map(Check::promised).collect(),
        },
        Section {
            name: "layers",
            about: "each entered by a child, which then tried what it forbids",
            checks: layers,
        },
    ]
}

/// One promise, and the layers that keep it or do not.
fn kept(check: &WorkerCheck, promise: &Promise, is_kept: bool) -> Check {
    let names = |holds: bool| {
        let layers = promise.kept_by.iter().filter(|layer| check.holds(**layer) == holds);
        layers.map(|layer| layer.name()).collect::<Vec<_>>().join(" and ")
    };
    match &check.layers {
        _ if is_kept => Check::works(promise.text, format!("kept by {}", names(true))),
        Err(missing) => Check::missing(promise.text, &missing.reason, &missing.remedy),
        Ok(_) => {
            let consequence = match promise.is_needed {
                true => "; native plugins are refused a process of their own",
                false => "",
            };
            let found = format!("missing: {}{consequence}", names(false));
            Check::missing(promise.text, found, "see the remedies of these layers")
        }
    }
}
