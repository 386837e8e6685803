//! The same plugin source through every binding gives the same answers.

use glovebox_abi::{Frame, Header, Kind, Manifest, Plugin};
use glovebox_events::{Binding, What};
use glovebox_host::{InstanceId, LoadRequest};
use glovebox_tests::{Bench, PATIENCE, native_sample, patient, root, sample};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};

/// Loads a sample through every binding that exists for it. Only one sample can be linked into this
/// binary for the core tier: every plugin defines the symbol of the native table.
fn each_binding(
    name: &str,
    make: Option<fn() -> Box<dyn Plugin>>,
    check: impl Fn(&Bench, InstanceId, Binding),
) {
    let source = root().join("sample-plugins").join(name).join("plugin.toml");
    let manifest = Manifest::parse(&std::fs::read_to_string(source).unwrap()).unwrap();
    let mut requests = vec![
        (Binding::Component, LoadRequest::path(sample(&format!("{name}.wasm")))),
        (Binding::FrameAbi, LoadRequest::path(sample(&format!("{name}.frame-abi.wasm")))),
        (Binding::Native, LoadRequest::path(native_sample(name)).trust_native()),
    ];
    if let Some(make) = make {
        requests.push((Binding::Core, LoadRequest::core(manifest, make)));
    }
    for (expected, request) in requests {
        let bench = Bench::new();
        let id = bench
            .host
            .load(request.limits(patient()).compile_deadline(PATIENCE))
            .wait()
            .unwrap_or_else(|error| panic!("{error}"));
        let status = bench.host.plugin(id).unwrap();
        assert_eq!(status.binding, expected);
        assert_eq!(status.manifest.plugin.id, name, "{expected}: the manifest is found");
        check(&bench, id, expected);
    }
}

#[test]
fn echo_is_the_same_everywhere() {
    each_binding("echo", None, |bench, id, binding| {
        let header = Header::build().text("id", "a").integer("n", 7).finish();
        for frame in [
            Frame::data("hello"),
            Frame::data(""),
            Frame::new(Kind::DATA, header, vec![7; 1 << 20]),
        ] {
            let reply = bench.host.call(id, &frame);
            assert!(reply.outcome.is_completed(), "{binding}: {}", reply.outcome);
            assert_eq!(reply.frames[..], [frame], "{binding}");
        }
    });
}

#[test]
fn redact_is_the_same_everywhere() {
    let payload = r#"{"mail":"ann@example.com","card":"4111 1111 1111 1111","n":1}"#;
    let expected = r#"{"mail":"[redacted]","card":"[redacted]","n":1}"#;
    each_binding("redact", None, |bench, id, binding| {
        let answer: serde_json::Value = serde_json::from_str(&bench.ask(id, payload)).unwrap();
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(answer, expected, "{binding}");
    });
}

#[test]
fn storage_keeps_values_everywhere() {
    each_binding("storage", Some(|| Box::new(glovebox_storage::Storage)), |bench, id, binding| {
        let check = |command: &str, expected: &str| {
            assert_eq!(bench.ask(id, command), expected, "{binding}: {command}");
        };
        check(r#"{"do":"store","key":"b","value":[1,2]}"#, r#"{"stored":"b"}"#);
        check(r#"{"do":"store","key":"a","value":"x"}"#, r#"{"stored":"a"}"#);
        check(r#"{"do":"retrieve","key":"b"}"#, r#"{"key":"b","value":[1,2]}"#);
        check(r#"{"do":"retrieve","key":"c"}"#, r#"{"key":"c","value":null}"#);
        check(r#"{"do":"list"}"#, r#"{"keys":["a","b"]}"#);
        check(r#"{"do":"delete","key":"a"}"#, r#"{"deleted":true}"#);
        check(r#"{"do":"delete","key":"a"}"#, r#"{"deleted":false}"#);
    });
}

#[test]
fn panics_stay_inside_the_plugin() {
    each_binding("misbehave", None, |bench, id, binding| {
        let outcome = bench.ask(id, "mode=panic");
        let panicked = outcome.contains("panic") || outcome.contains("trapped: unreachable");
        assert!(panicked, "{binding}: {outcome}");
        let logged = bench.events.events().iter().any(|event| {
            matches!(&event.what, What::HostCall { host_call, .. }
                if format!("{:?}", host_call.arguments).contains("panic"))
        });
        assert!(logged || outcome.contains("panic"), "{binding}: nobody hears of the message");
    });
}

#[test]
fn hand_written_plugins_answer() {
    fn check(request: LoadRequest, expected: &str) {
        let bench = Bench::new();
        let id = bench
            .host
            .load(request.limits(patient()))
            .wait()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(bench.ask(id, "world"), expected);
    }
    let samples = root().join("sample-plugins");
    check(LoadRequest::path(samples.join("hello-wat/hello.wat")), "hello, world");
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("hello.so");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&library)
        .arg("-I")
        .arg("../../host/abi/include")
        .arg("hello.c")
        .current_dir(samples.join("hello-c"))
        .status()
        .unwrap();
    assert!(compiled.success());
    check(LoadRequest::path(library).trust_native(), "hello, world");
}

/// Plugins build with the bindings that lie in the kit, so that they need no generator.
#[test]
fn the_kit_holds_the_bindings_of_the_contract() {
    /// A folder of the contract, a world in it, and the module of the kit that holds its bindings.
    fn check(folder: &str, world: &str, module: &str) {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(root().join("host/abi/wit").join(folder)).unwrap();
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let options = wit_bindgen_rust::Opts {
            format: true,
            pub_export_macro: true,
            export_macro_name: Some("export_component".to_owned()),
            default_bindings_module: Some(format!("glovebox_sdk::binding::component::{module}")),
            ..wit_bindgen_rust::Opts::default()
        };
        let mut files = Files::default();
        options.build().generate(&mut resolve, world, &mut files).unwrap();
        let (_, generated) = files.iter().next().unwrap();
        let name = format!("{module}.rs");
        let kept = root().join("host/sdk/src/binding/component").join(&name);
        if std::fs::read(&kept).unwrap_or_default() != generated {
            let made = root().join("target").join(&name);
            std::fs::write(&made, generated).unwrap();
            panic!("the kit holds other bindings: copy {} to {}", made.display(), kept.display());
        }
    }
    check("since_v0.1.0", "plugin", "bindings");
    check("functions_v0.1.0", "functions", "functions");
}
