//! The arrows between the modules of a crate, read from its source: what follows `crate::`, `super::`,
//! `self::` or the name of a child module. Code for tests is left out.
//!
//! Names that a module hands on with `use` lead to where they come from, so that a face (`lib.rs`,
//! `mod.rs`) hides nothing. Methods are not seen: they need no path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The way to a module or an item from the root of its crate.
type Way = Vec<String>;

/// The source of one crate, module by module.
#[derive(Default)]
pub(super) struct Modules(BTreeMap<Way, Module>);

#[derive(Default)]
struct Module {
    /// The names that `use` brings in.
    names: BTreeMap<String, Way>,
    /// Every path in it.
    paths: BTreeSet<Way>,
}

impl Modules {
    /// Reads the `src` folder of a crate.
    pub(super) fn read(folder: &Path) -> Modules {
        let mut sources = Vec::new();
        visit(folder, Way::new(), &mut sources);
        Modules::parse(sources)
    }

    /// Of the sources of modules.
    pub(super) fn parse(sources: Vec<(Way, String)>) -> Modules {
        let ways: BTreeSet<Way> = sources.iter().map(|(way, _)| way.clone()).collect();
        let mut modules = Modules::default();
        for (way, source) in sources {
            let tokens = TokenStream::from_str(&source)
                .unwrap_or_else(|error| panic!("{}: {error}", way.join("::")));
            let mut module = Module::default();
            Scan { ways: &ways, module: &mut module }.tokens(&way, tokens);
            modules.0.insert(way, module);
        }
        modules
    }

    /// All modules but the root.
    pub(super) fn ways(&self) -> impl Iterator<Item = &Way> {
        self.0.keys().filter(|way| !way.is_empty())
    }

    /// The uses of each module: from, to, and the path that says so.
    pub(super) fn arrows(&self) -> impl Iterator<Item = (&Way, Way, &Way)> {
        let paths = self
            .0
            .iter()
            .flat_map(|(from, module)| module.paths.iter().map(move |path| (from, path)));
        paths.map(|(from, path)| (from, self.home(path.clone(), 0), path))
    }

    /// The module in which the item at the end of a path is defined.
    fn home(&self, path: Way, steps: usize) -> Way {
        let mut at = Way::new();
        for (index, name) in path.iter().enumerate() {
            at.push(name.clone());
            if self.0.contains_key(&at) {
                continue;
            }
            at.pop();
            let handed_on = self.0.get(&at).and_then(|module| module.names.get(name));
            return match handed_on {
                // A module that hands something on to itself leads nowhere else.
                Some(source) if steps < 16 => {
                    self.home([&source[..], &path[index + 1..]].concat(), steps + 1)
                }
                _ => at,
            };
        }
        at
    }
}

fn visit(folder: &Path, way: Way, sources: &mut Vec<(Way, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let inner = [&way[..], std::slice::from_ref(&name)].concat();
        match path.extension() {
            _ if name == "tests" => {}
            None if path.is_dir() => visit(&path, inner, sources),
            Some(extension) if extension == "rs" => {
                let way = match name.as_str() {
                    "mod" | "lib" => way.clone(),
                    "main" => continue,
                    _ => inner,
                };
                sources.push((way, std::fs::read_to_string(&path).unwrap()));
            }
            _ => {}
        }
    }
}

struct Scan<'a> {
    ways: &'a BTreeSet<Way>,
    module: &'a mut Module,
}

impl Scan<'_> {
    fn tokens(&mut self, at: &Way, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        // The colons that stand right before a token.
        let mut colons = 0;
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            let before = std::mem::replace(&mut colons, 0);
            match token {
                TokenTree::Punct(punct)
                    if punct.as_char() == '#'
                        && rest.first().is_some_and(|next| is_for_tests(&next.to_string())) =>
                {
                    skip_item(&mut rest);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons = before + 1,
                TokenTree::Ident(ident) if ident == "use" => {
                    let end = rest.iter().position(|token| is(token, ';')).unwrap_or(rest.len());
                    self.tree(at, Way::new(), rest[..end].to_vec());
                    rest = &rest[end..];
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    if let [TokenTree::Ident(name), TokenTree::Group(group), after @ ..] = rest {
                        let inner = [&at[..], &[name.to_string()]].concat();
                        self.tokens(&inner, group.stream());
                        rest = after;
                    }
                }
                TokenTree::Ident(ident) if before < 2 => {
                    let mut path = vec![ident.to_string()];
                    while let [one, two, TokenTree::Ident(name), after @ ..] = rest
                        && is(one, ':')
                        && is(two, ':')
                    {
                        path.push(name.to_string());
                        rest = after;
                    }
                    if path.len() > 1
                        && let Some(path) = self.absolute(at, path)
                    {
                        self.module.paths.insert(path);
                    }
                }
                TokenTree::Group(group) => self.tokens(at, group.stream()),
                _ => {}
            }
        }
    }

    /// One tree of a `use`: `a::{b, c::d as e, f::*}`.
    fn tree(&mut self, at: &Way, mut path: Way, tokens: Vec<TokenTree>) {
        let mut tokens = tokens.into_iter();
        let start = path.clone();
        let mut alias = None;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ',' => {
                    let path = std::mem::replace(&mut path, start.clone());
                    if path.len() > start.len() {
                        self.leaf(at, path, alias.take());
                    }
                }
                TokenTree::Ident(ident) if ident == "as" => {
                    alias = tokens.next().map(|name| name.to_string());
                }
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Group(group) => {
                    let inner = std::mem::replace(&mut path, start.clone());
                    self.tree(at, inner, group.stream().into_iter().collect());
                }
                _ => {}
            }
        }
        if path.len() > start.len() {
            self.leaf(at, path, alias);
        }
    }

    fn leaf(&mut self, at: &Way, mut path: Way, alias: Option<String>) {
        // `a::{self}` is `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(path) = self.absolute(at, path) else { return };
        if let Some(name) = alias.or_else(|| path.last().cloned()) {
            self.module.names.insert(name, path.clone());
        }
        self.module.paths.insert(path);
    }

    /// The path from the root of the crate; `None` if it leads to another crate.
    fn absolute(&self, at: &Way, path: Way) -> Option<Way> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Way::new(),
            "self" => at.clone(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            child => {
                let child = [&at[..], &[child.to_owned()]].concat();
                return self.ways.contains(&child).then(|| [child, rest.to_vec()].concat());
            }
        };
        for name in rest {
            match name.as_str() {
                "super" => drop(base.pop()),
                name => base.push(name.to_owned()),
            }
        }
        Some(base)
    }
}

pub(super) fn is(token: &TokenTree, one: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == one)
}

pub(super) fn is_for_tests(attribute: &str) -> bool {
    let words: String = attribute.split_whitespace().collect();
    words == "[cfg(test)]" || words.starts_with("[cfg(all(test,") || words == "[test]"
}

/// Passes over the item that an attribute belongs to.
pub(super) fn skip_item(rest: &mut &[TokenTree]) {
    let mut ends_with_semicolon = false;
    while let Some((token, after)) = rest.split_first() {
        *rest = after;
        match token {
            TokenTree::Ident(ident) => {
                let words = ["use", "const", "static", "type"];
                ends_with_semicolon |= words.iter().any(|word| ident == word);
            }
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace && !ends_with_semicolon =>
            {
                return;
            }
            token if is(token, ';') => return,
            _ => {}
        }
    }
}
