//! Permissions: requests of a plugin, grants of a policy, uses and denials.
//!
//!     cargo run -p glovebox-host --example permissions
#![expect(clippy::print_stdout, reason = "an example shows what happened")]

use std::error::Error;
use std::path::Path;

use glovebox_host::{Decision, Frame, Host, InstanceId, LoadRequest, Permission, Policy};

fn main() -> Result<(), Box<dyn Error>> {
    // The storage plugin asks for `kv`. This policy grants it below one prefix, to the file that it
    // means: any other artifact could call itself `storage`, too.
    let policy = Policy::parse(&format!(
        r#"
        mode = "strict"

        [plugins.storage]
        path = {:?}
        kv = {{ decision = "allow", prefixes = ["cache/"] }}
        "#,
        sample("storage.wasm")
    ))?;
    let host = Host::builder().policy(policy).build()?;
    let storage = host.load(LoadRequest::path(sample("storage.wasm"))).wait()?;

    println!("within the policy: {}", store(&host, storage, "cache/a"));
    println!("outside of it: {}", store(&host, storage, "secrets/a"));

    // A person's decision is in effect at once, also while calls are running.
    host.set_decision(storage, Permission::Kv, Decision::Deny);
    println!("after a person said no: {}", store(&host, storage, "cache/a"));
    host.set_decision(storage, Permission::Kv, Decision::Allow);
    println!("after a person said yes: {}", store(&host, storage, "secrets/a"));

    // Each permission says whether it is granted, why, and how often it was used.
    let status = host.plugin(storage).ok_or("it was unloaded")?;
    for permission in status.permissions.iter().filter(|permission| permission.asked) {
        println!(
            "{}: {} uses, {} denials; {}",
            permission.permission, permission.uses, permission.denials, permission.explanation
        );
    }
    // And the log has the single uses.
    let log = host.access_log(storage).ok_or("it was unloaded")?;
    for entry in log.entries.iter().filter(|entry| entry.permission == Permission::Kv) {
        let verdict = if entry.allowed { "allowed" } else { "denied" };
        println!("  {verdict}: {} {}", entry.permission, entry.parameter);
    }
    Ok(())
}

fn store(host: &Host, plugin: InstanceId, key: &str) -> String {
    let command = format!(r#"{{"do":"store","key":"{key}","value":1}}"#);
    let reply = host.call(plugin, &Frame::data(command));
    let answers = reply.frames.iter().map(|frame| String::from_utf8_lossy(&frame.payload));
    format!("{} {}", reply.outcome, answers.collect::<String>())
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/plugins")).join(name)
}
