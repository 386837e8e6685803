use crate::units::{parse_duration, parse_share, parse_size};
use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, Lit, LitStr, MetaNameValue, Token};

/// The item as it is, and beside it a section with the budget; or what is wrong with the budget.
pub(super) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    match read(attribute) {
        Ok(text) => {
            let section = section(&text);
            quote!(#item #section)
        }
        Err(error) => {
            let error = error.to_compile_error();
            quote!(#item #error)
        }
    }
}

/// The lines of `[budget]` that the attribute stands for. Ranges are checked when the plugin is
/// loaded, together with what `plugin.toml` says.
fn read(attribute: TokenStream) -> syn::Result<String> {
    let entries = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(attribute)?;
    if entries.is_empty() {
        let example = "a budget of nothing; write for example `p99 = \"500us\"`";
        return Err(Error::new(Span::call_site(), example));
    }
    let mut lines = Vec::<(String, String)>::new();
    for entry in &entries {
        let key = entry.path.require_ident()?.to_string();
        if lines.iter().any(|(known, _)| *known == key) {
            return Err(Error::new(entry.span(), format!("`{key}` stands here twice")));
        }
        let value = value(&key, &entry.value)
            .map_err(|error| Error::new(entry.span(), format!("`{key}`: {error}")))?;
        lines.push((key, value));
    }
    let lines = lines.into_iter();
    Ok(lines.map(|(key, value)| format!("{} = {value}\n", key.replace('_', "-"))).collect())
}

/// The value of a key as TOML writes it; a text is repeated only if it has the unit of the key.
fn value(key: &str, value: &Expr) -> Result<String, String> {
    let literal = match value {
        Expr::Lit(ExprLit { lit, .. }) => lit,
        _ => return Err("write a text or a number".to_owned()),
    };
    let quoted = |text: &LitStr| format!("\"{}\"", text.value());
    let wrong = |error: crate::units::UnitError| error.to_string();
    match (key, literal) {
        ("p50" | "p99" | "load_time", Lit::Str(text)) => {
            parse_duration(&text.value()).map(|_| quoted(text)).map_err(wrong)
        }
        ("p50" | "p99" | "load_time", _) => Err("write a duration such as \"500us\"".to_owned()),
        ("memory", Lit::Str(text)) => {
            parse_size(&text.value()).map(|_| quoted(text)).map_err(wrong)
        }
        ("cpu", Lit::Str(text)) => parse_share(&text.value()).map(|_| quoted(text)).map_err(wrong),
        ("memory" | "cpu", Lit::Int(number)) => Ok(number.base10_digits().to_owned()),
        ("cpu", Lit::Float(number)) => Ok(number.base10_digits().to_owned()),
        ("memory", _) => Err("write a size such as \"8 MiB\"".to_owned()),
        ("cpu", _) => Err("write a share such as 0.2 or \"20%\"".to_owned()),
        _ => Err("no such budget; write p50, p99, memory, cpu or load_time".to_owned()),
    }
}

/// A static in the section that the host reads.
fn section(text: &str) -> TokenStream {
    let length = text.len();
    let text = Literal::byte_string(text.as_bytes());
    quote! {
        const _: () = {
            #[used]
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "glovebox:budget"))]
            #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__gbudget"))]
            #[cfg_attr(
                not(any(target_family = "wasm", target_os = "macos")),
                unsafe(link_section = ".gbudget")
            )]
            // An exported symbol is what keeps the linker from dropping a section of a library.
            #[cfg_attr(
                not(target_family = "wasm"),
                unsafe(export_name = "glovebox_budget_0_1")
            )]
            static BUDGET: [u8; #length] = *#text;
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_lines_of_the_manifest() {
        fn check(attribute: &str, expected: Result<&str, &str>) {
            let read = read(attribute.parse().unwrap()).map_err(|error| error.to_string());
            match (read, expected) {
                (Ok(lines), Ok(expected)) => assert_eq!(lines, expected, "{attribute}"),
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
                }
                (found, _) => panic!("{attribute}: {found:?} is not {expected:?}"),
            }
        }
        check(r#"p99 = "500us""#, Ok("p99 = \"500us\"\n"));
        check(
            r#"p99 = "500us", memory = 4096, cpu = 0.25, load_time = "2 s","#,
            Ok("p99 = \"500us\"\nmemory = 4096\ncpu = 0.25\nload-time = \"2 s\"\n"),
        );
        check("", Err("a budget of nothing"));
        check(r#"p99 = "500""#, Err("is not a duration; write for example"));
        check(r#"p99 = 500"#, Err("`p99`: write a duration such as"));
        check(r#"p90 = "1 ms""#, Err("`p90`: no such budget; write p50, p99, memory, cpu or"));
        check(r#"memory = "1 ms""#, Err("`memory`: `1 ms` is not a size"));
        check(r#"cpu = "20%""#, Ok("cpu = \"20%\"\n"));
        check(r#"cpu = "much""#, Err("`cpu`: `much` is not a share"));
        check(r#"p99 = "1 ms", p99 = "2 ms""#, Err("`p99` stands here twice"));
        check("p99 = fast", Err("write a text or a number"));
        check("p99", Err("expected"));
    }
}
