/// Makes an artifact of a type that is [`Plugin`](crate::Plugin) and [`Default`].
///
/// It emits the binding for the compile target (see the [crate's documentation](crate)) and puts
/// the text of the crate's `plugin.toml` into the artifact, so that the artifact describes itself.
/// Another file beside `Cargo.toml` is named like this:
///
/// ```ignore
/// glovebox_sdk::export!(Stats, manifest = "plugin-v1.toml");
/// ```
///
/// Use it once, at the top level of a crate of type `cdylib`. Two such crates cannot be linked
/// into one native binary, because both export the same symbol.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        $crate::export!($plugin, manifest = "plugin.toml");
    };
    ($plugin:ty, manifest = $manifest:literal) => {
        const _: () = {
            // The section's bytes are the text itself: readers see no pointer and no length.
            #[used]
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "glovebox:manifest"))]
            #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__glovebox"))]
            #[cfg_attr(
                not(any(target_family = "wasm", target_os = "macos")),
                unsafe(link_section = ".glovebox")
            )]
            static MANIFEST: [u8; include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/",
                $manifest
            ))
            .len()] = *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $manifest));

            $crate::__export_binding!($plugin, MANIFEST);
        };
    };
}

#[cfg(all(target_family = "wasm", not(any(feature = "component", target_env = "p2"))))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_binding {
    ($plugin:ty, $manifest:ident) => {
        static MODULE: $crate::binding::frame_abi::Module<$plugin> =
            $crate::binding::frame_abi::Module::new();

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_abi_0_1() {}

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_buffer(size: i32) -> i32 {
            MODULE.buffer(size)
        }

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_initialize(len: i32) -> i64 {
            MODULE.initialize(len)
        }

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_process(len: i32) -> i64 {
            MODULE.process(len)
        }

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_health() -> i64 {
            MODULE.health()
        }

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_save_state() -> i64 {
            MODULE.save_state()
        }

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_restore_state(len: i32) -> i64 {
            MODULE.restore_state(len)
        }

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_cleanup() {
            MODULE.cleanup();
        }
    };
}

#[cfg(all(target_family = "wasm", any(feature = "component", target_env = "p2")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_binding {
    ($plugin:ty, $manifest:ident) => {
        struct Exported;

        impl $crate::binding::component::Exported for Exported {
            type Plugin = $plugin;

            fn slot() -> &'static $crate::binding::component::Slot<$plugin> {
                static SLOT: $crate::binding::component::Slot<$plugin> =
                    $crate::binding::component::Slot::new();
                &SLOT
            }
        }

        $crate::binding::component::bindings::export_component!(
            Exported with_types_in $crate::binding::component::bindings
        );
    };
}

#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_binding {
    ($plugin:ty, $manifest:ident) => {
        #[cfg(panic = "abort")]
        compile_error!(
            "build a native plugin with panic = \"unwind\": with \"abort\" its panic would end the host"
        );

        #[unsafe(no_mangle)]
        extern "C" fn glovebox_plugin_0_1() -> *const $crate::binding::native::PluginTable {
            static TABLE: $crate::binding::native::PluginTable =
                $crate::binding::native::table::<$plugin>();
            // Without this use the linker drops the section as unreachable.
            ::core::hint::black_box(&$manifest);
            &TABLE
        }
    };
}
