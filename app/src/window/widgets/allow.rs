//! The control that allows one permission of one plugin: for whom, and for how long.

use egui::{Align, Layout, Role, Ui, WidgetInfo};
use glovebox_abi::Permission;
use glovebox_host::{Allowance, Lifetime, PluginStatus};

use crate::window::action::Actions;
use crate::window::theme;
use crate::window::widgets::text::{Hint, line, plain};
use crate::workbench::{Command, asked_of};

/// What the button says of each lifetime.
const LIFETIMES: [(Lifetime, &str, &str); 3] = [
    (Lifetime::Once, "Once", "Until it is reloaded or unloaded"),
    (
        Lifetime::WhileItRuns,
        "While it runs",
        "Until it is unloaded; a version that replaces it has it too, if it asks for no more",
    ),
    (Lifetime::Saved, "Saved", "Also whenever this very artifact is loaded again"),
];

/// What of a list of folders, hosts or variables is shown.
const SHOWN: usize = 160;

/// True if there is anything to allow: files, network and environment only as far as they are asked
/// for.
pub(in crate::window) fn can_allow(plugin: &PluginStatus, permission: Permission) -> bool {
    let waits = plugin.refused.iter().flat_map(|refused| &refused.waits_for);
    let mut statuses = plugin.permissions.iter();
    waits.into_iter().any(|growth| growth.permission == permission)
        || statuses.find(|status| status.permission == permission).is_some_and(|status| {
            let is_missing = !status.granted || status.asks_more;
            is_missing && (status.asked || !permission.needs_consent())
        })
}

/// What a plugin asks for, for people; empty if the permission has no parameters.
pub(in crate::window) fn asks(asked: &[Allowance]) -> String {
    let asked: Vec<&str> = asked.iter().map(Allowance::parameter).collect();
    let text = glovebox_abi::text::inert(&asked.join(", ")).to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} in all)", &text[..end], asked.len()),
        None => text,
    }
}

/// A button that opens the choices; nothing if there is nothing to allow. `row` tells it apart from
/// others about the same permission: an open menu stays with its row when the list moves.
pub(in crate::window) fn allow_button(
    ui: &mut Ui,
    row: impl std::hash::Hash + std::fmt::Debug,
    plugin: &PluginStatus,
    permission: Permission,
    out: &mut Actions,
) {
    if !can_allow(plugin, permission) {
        return;
    }
    let id = egui::Id::unique(("allow", plugin.instance.get(), permission.name(), row));
    ui.scope_builder(egui::UiBuilder::new().scope_id(id), |ui| menu(ui, plugin, permission, out));
}

fn menu(ui: &mut Ui, plugin: &PluginStatus, permission: Permission, out: &mut Actions) {
    let id = &plugin.manifest.plugin.id;
    let asked = asked_of(plugin, permission);
    let name = format!("Allow {permission} for {id}");
    let text = plain("Allow…").font(theme::medium(11.5));
    let button = egui::Button::new(text).small();
    let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
        ui.set_min_width(220.0);
        let weak = theme::of(ui).text_weak;
        let what = match asks(asked) {
            text if text.is_empty() => format!("{permission}: {}", permission.allows()),
            text => format!("{permission}: {text}"),
        };
        ui.set_max_width(360.0);
        ui.label(plain(what).color(weak));
        for (everyone, title) in [(false, id.as_str()), (true, "all plugins that ask for it now")] {
            ui.separator();
            ui.label(plain(format!("For {title}")).font(theme::strong(11.5)));
            for (lifetime, text, means) in LIFETIMES {
                let entry = egui::Button::new(text).frame_when_inactive(false);
                let entry = ui
                    .with_layout(Layout::top_down_justified(Align::Min), |ui| ui.add(entry))
                    .inner;
                let label = format!("{text} for {title}");
                entry.widget_info(|| WidgetInfo::labeled(Role::Button, true, line(&label)));
                if entry.hint(means).clicked() {
                    out.command(Command::Allow {
                        instance: plugin.instance,
                        permission,
                        asks: asked.to_vec(),
                        everyone,
                        lifetime,
                    });
                    ui.close();
                }
            }
        }
    });
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, line(&name)));
    response.hint(name);
}
