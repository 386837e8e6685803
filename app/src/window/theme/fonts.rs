//! Inter for words, JetBrains Mono for bytes, Material Symbols for icons; all embedded, so that the
//! window looks the same on every machine.

use std::sync::Arc;

use egui::{FontData, FontDefinitions, FontFamily};

pub(super) const STRONG: &str = "strong";
pub(super) const MEDIUM: &str = "medium";

const FILES: [(&str, &[u8]); 4] = [
    ("inter", include_bytes!("../../../../assets/fonts/Inter-Regular.otf")),
    ("inter-medium", include_bytes!("../../../../assets/fonts/Inter-Medium.otf")),
    ("inter-semibold", include_bytes!("../../../../assets/fonts/Inter-SemiBold.otf")),
    ("jetbrains-mono", include_bytes!("../../../../assets/fonts/JetBrainsMono-Regular.ttf")),
];

pub(super) fn install(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::empty();
    for (name, bytes) in FILES {
        let data = FontData::from_static(bytes);
        fonts.font_data.insert(name.to_owned(), Arc::new(data));
    }
    let families = [
        (FontFamily::Proportional, "inter"),
        (FontFamily::Monospace, "jetbrains-mono"),
        (FontFamily::Name(STRONG.into()), "inter-semibold"),
        (FontFamily::Name(MEDIUM.into()), "inter-medium"),
    ];
    for (family, first) in families {
        let mut names = vec![first.to_owned()];
        for (fallback, _) in [("jetbrains-mono", ()), ("inter", ())] {
            if fallback != first {
                names.push(fallback.to_owned());
            }
        }
        fonts.families.insert(family, names);
    }
    ctx.set_fonts(fonts);
    egui_material_icons::initialize(ctx);
}
