//! Tests the effect of `#[budget]` on a plugin's source.

use glovebox_sdk::budget;

#[budget(p99 = "500us", memory = "8 MiB", cpu = 0.25)]
#[derive(Debug, PartialEq)]
struct Echo;

#[test]
fn the_item_stays_and_the_budget_is_exported() {
    assert_eq!(Echo, Echo);
    unsafe extern "C" {
        safe static glovebox_budget_0_1: [u8; 42];
    }
    let lines = str::from_utf8(&glovebox_budget_0_1).unwrap();
    assert_eq!(lines, "p99 = \"500us\"\nmemory = \"8 MiB\"\ncpu = 0.25\n");
}
