//! The control that allows one permission of one plugin: for whom, and for how long.

use egui::{Align, Layout, Role, Ui, WidgetInfo};
use glovebox_abi::Permission;
use glovebox_abi::manifest::{Access, Folder, Scope};
use glovebox_host::{Lifetime, PluginStatus};

use crate::window::context::PanelCtx;
use crate::window::theme;
use crate::window::widgets::text::{Hint, line, plain};
use crate::workbench::{Command, asked_of, asking_no_more, why_not_allowed};

/// The part of a list of folders, hosts or variables that is shown.
const SHOWN: usize = 160;

/// True if there is anything to allow: only what is asked for.
pub(super) fn can_allow(plugin: &PluginStatus, permission: Permission) -> bool {
    let mut waits = plugin.refused.iter().flat_map(|refused| &refused.waits_for);
    waits.any(|growth| growth.permission == permission)
        || plugin
            .permission(permission)
            .is_some_and(|status| status.asked && (!status.granted || status.asks_more))
}

/// The request of a plugin, for people, cut where it is long.
pub(super) fn asks(asked: &Scope) -> String {
    let text = in_full(asked);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// All that a plugin asks for, for people.
fn in_full(asked: &Scope) -> String {
    let folder = |folder: &Folder| match folder.access {
        Access::Read => format!("{}, read only", folder.path),
        Access::ReadWrite => format!("{}, read and write", folder.path),
    };
    let folders = asked.folders.only.iter().flatten().map(folder);
    let hosts = asked.hosts.only.iter().flatten().map(ToString::to_string);
    let names = asked.names.only.iter().flatten().cloned();
    let mut text = folders.chain(hosts).chain(names).collect::<Vec<_>>().join("; ");
    let hosts = asked.hosts.except.iter().flatten().map(ToString::to_string);
    let except: Vec<_> = hosts.chain(asked.names.except.iter().flatten().cloned()).collect();
    if !except.is_empty() {
        text.push_str(&format!("; not {}", except.join("; ")));
    }
    glovebox_abi::text::inert(&text).to_string()
}

/// A button that opens the choices, or why there is none. `row` tells it apart from others about the
/// same permission: an open menu stays with its row when the list moves.
pub(super) fn allow_button(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    row: impl std::hash::Hash + std::fmt::Debug,
    plugin: &PluginStatus,
    permission: Permission,
) -> Option<egui::Response> {
    if !can_allow(plugin, permission) {
        if let Some(why_not) = why_not_allowed(plugin, permission) {
            ui.label(plain("not asked for").color(theme::of(ui).text_weak)).hint(why_not);
        }
        return None;
    }
    let id = egui::Id::unique(("allow", plugin.instance.get(), permission.name(), row));
    let place = egui::UiBuilder::new().scope_id(id);
    Some(ui.scope_builder(place, |ui| menu(ui, ctx, plugin, permission)).inner)
}

fn menu(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    plugin: &PluginStatus,
    permission: Permission,
) -> egui::Response {
    let id = ctx.name_of(plugin);
    let asked = asked_of(plugin, permission);
    let name = format!("Allow {permission} for {id}");
    let text = plain("Allow…").font(theme::medium(11.5));
    let button = egui::Button::new(text).small();
    let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
        ui.set_min_width(220.0);
        let weak = theme::of(ui).text_weak;
        let what = match plugin.request(permission) {
            Some(request) => format!("{permission}: {}", in_full(request)),
            None => format!("{permission}: {}", permission.allows()),
        };
        ui.set_max_width(360.0);
        // A long request is shown in full all the same: it is what is allowed.
        egui::ScrollArea::vertical()
            .max_height(120.0)
            .show(ui, |ui| ui.label(plain(what).color(weak)));
        let others: Vec<_> = asking_no_more(ctx.plugins(), plugin, permission).collect();
        let names: Vec<_> = others.iter().map(|other| ctx.name_of(other)).collect();
        let all = (format!("{id} and {}, no more than this", names.join(", ")), others);
        let all = Some(all).filter(|(_, others)| !others.is_empty());
        for (title, others) in [(id.clone(), Vec::new())].into_iter().chain(all) {
            ui.separator();
            ui.label(plain(format!("For {title}")).font(theme::strong(11.5)));
            for lifetime in Lifetime::ALL {
                let text = format!("{}: {}", lifetime.name(), lifetime.means());
                let entry = egui::Button::new(text).wrap().frame_when_inactive(false);
                let entry = ui
                    .with_layout(Layout::top_down_justified(Align::Min), |ui| ui.add(entry))
                    .inner;
                let label = format!("{} for {title}", lifetime.name());
                entry.widget_info(|| WidgetInfo::labeled(Role::Button, true, line(&label)));
                if entry.hint(lifetime.means()).clicked() {
                    ctx.command(Command::Allow {
                        instance: plugin.instance,
                        permission,
                        asks: asked.to_vec(),
                        others: others.iter().map(|other| other.instance).collect(),
                        lifetime,
                    });
                    ui.close();
                }
            }
        }
    });
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, line(&name)));
    response.hint(name)
}
