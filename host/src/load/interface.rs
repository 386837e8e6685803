//! The imports and exports of a module or component, as far as they can be read: names alone.

use wasmparser::{
    BinaryReader, ComponentExportSectionReader, ComponentExternalKind,
    ComponentImportSectionReader, CompositeInnerType, ExportSectionReader, ExternalKind, FuncType,
    ImportSectionReader, Parser, Payload, TypeRef,
};

use crate::backend::wasm::foreign::Signature;

/// The exported functions of a module with their types, as far as they can be read.
pub(super) fn signatures(module: &[u8]) -> Vec<(String, Signature)> {
    let mut types: Vec<Option<FuncType>> = Vec::new();
    // The type of each function, those that are imported first.
    let mut functions: Vec<u32> = Vec::new();
    let mut exported = Vec::new();
    let mut kept = 0;
    for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
        match payload {
            Payload::TypeSection(section) => {
                let groups = section.into_iter().map_while(Result::ok);
                types.extend(groups.flat_map(|group| group.into_types()).map(|ty| {
                    match ty.composite_type.inner {
                        CompositeInnerType::Func(function) => Some(function),
                        _ => None,
                    }
                }));
            }
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map_while(Result::ok);
                functions.extend(imports.filter_map(|import| match import.ty {
                    TypeRef::Func(ty) | TypeRef::FuncExact(ty) => Some(ty),
                    _ => None,
                }));
            }
            Payload::FunctionSection(section) => {
                functions.extend(section.into_iter().map_while(Result::ok));
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().map_while(Result::ok) {
                    let ExternalKind::Func = export.kind else { continue };
                    let ty = functions.get(export.index as usize);
                    let ty = ty.and_then(|ty| types.get(*ty as usize)).and_then(Option::as_ref);
                    kept += export.name.len() + size_of::<(String, Signature)>();
                    if kept > MAX_KEPT {
                        break;
                    }
                    if let Some(ty) = ty {
                        let results = ty.results().iter().map(ToString::to_string).collect();
                        let signature = Signature { parameters: ty.params().len(), results };
                        exported.push((export.name.to_owned(), signature));
                    }
                }
            }
            _ => {}
        }
    }
    exported
}

/// Bytes of names that are kept of one artifact, what a name costs beside its letters included. Those
/// beyond are not looked at: an artifact with more is [refused](super::size::check) before it is compiled.
const MAX_KEPT: usize = 8 << 20;

/// The most of one name; a longer one names nothing that is known.
const MAX_NAME_LEN: usize = 4 << 10;

/// The outermost imports, exports and custom sections; modules inside a component have their own.
#[derive(Debug, Clone, Default)]
pub(super) struct Interface {
    /// Module and name; a component imports whole interfaces, whose names stand first.
    pub(super) imports: Vec<(String, String)>,
    pub(super) exports: Vec<String>,
    /// How many of the exports are types, which only a component can export.
    pub(super) exported_types: usize,
    /// Names of custom sections.
    pub(super) sections: Vec<String>,
    /// Bytes of all names.
    pub(super) kept: usize,
}

/// Identifiers of sections (WebAssembly core specification, "Modules"; component model,
/// `Binary.md`).
const IMPORTS: u8 = 2;
const EXPORTS: u8 = 7;
const COMPONENT_IMPORTS: u8 = 10;
const COMPONENT_EXPORTS: u8 = 11;

impl Interface {
    /// Parts that cannot be parsed are missing here; loading reports them with its stage.
    pub(super) fn of(bytes: &[u8]) -> Interface {
        let mut interface = Interface::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                Payload::ImportSection(section) => interface.import(section),
                Payload::ExportSection(section) => interface.export(section),
                Payload::ComponentImportSection(section) => interface.component_import(section),
                Payload::ComponentExportSection(section) => interface.component_export(section),
                Payload::CustomSection(section) => interface.section(section.name()),
                _ => {}
            }
        }
        interface
    }

    /// Notes the name of a custom section.
    pub(super) fn section(&mut self, name: &str) {
        if let Some(name) = self.keep(name) {
            self.sections.push(name);
        }
    }

    /// The part of a name that is kept; nothing once there are too many.
    fn keep(&mut self, name: &str) -> Option<String> {
        let name = &name[..name.floor_char_boundary(MAX_NAME_LEN)];
        self.kept += name.len() + size_of::<String>();
        (self.kept <= MAX_KEPT).then(|| name.to_owned())
    }

    /// Whether [`add`](Self::add) would find names in such a section.
    pub(super) fn is_in(id: u8, is_component: bool) -> bool {
        match is_component {
            false => matches!(id, IMPORTS | EXPORTS),
            true => matches!(id, COMPONENT_IMPORTS | COMPONENT_EXPORTS),
        }
    }

    /// The names in the content of one section.
    pub(super) fn add(&mut self, id: u8, is_component: bool, content: &[u8]) {
        let reader = BinaryReader::new(content, 0);
        match (id, is_component) {
            (IMPORTS, false) => {
                ImportSectionReader::new(reader)
                    .into_iter()
                    .for_each(|section| self.import(section));
            }
            (EXPORTS, false) => {
                ExportSectionReader::new(reader)
                    .into_iter()
                    .for_each(|section| self.export(section));
            }
            (COMPONENT_IMPORTS, true) => ComponentImportSectionReader::new(reader)
                .into_iter()
                .for_each(|section| self.component_import(section)),
            (COMPONENT_EXPORTS, true) => ComponentExportSectionReader::new(reader)
                .into_iter()
                .for_each(|section| self.component_export(section)),
            _ => {}
        }
    }

    fn import(&mut self, section: ImportSectionReader<'_>) {
        for import in section.into_imports().flatten() {
            let Some(names) = self.keep(import.module).zip(self.keep(import.name)) else { return };
            self.imports.push(names);
        }
    }

    fn export(&mut self, section: ExportSectionReader<'_>) {
        for export in section.into_iter().flatten() {
            let Some(name) = self.keep(export.name) else { return };
            self.exports.push(name);
        }
    }

    fn component_import(&mut self, section: ComponentImportSectionReader<'_>) {
        for import in section.into_iter().flatten() {
            let Some(name) = self.keep(import.name.name) else { return };
            self.imports.push((name, String::new()));
        }
    }

    fn component_export(&mut self, section: ComponentExportSectionReader<'_>) {
        for export in section.into_iter().flatten() {
            self.exported_types += usize::from(export.kind == ComponentExternalKind::Type);
            let Some(name) = self.keep(export.name.name) else { return };
            self.exports.push(name);
        }
    }
}
