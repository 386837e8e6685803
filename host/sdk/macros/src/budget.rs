use glovebox_abi::manifest::Budget;
use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, Lit, MetaNameValue, Token};

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

/// The lines of `[budget]` that the attribute stands for.
fn read(attribute: TokenStream) -> syn::Result<String> {
    let entries = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(attribute)?;
    if entries.is_empty() {
        let example = "a budget of nothing; write for example `p99 = \"500us\"`";
        return Err(Error::new(Span::call_site(), example));
    }
    let mut lines = String::new();
    for entry in &entries {
        let key = entry.path.require_ident()?.to_string().replace('_', "-");
        let line = format!("{key} = {}\n", value(&entry.value)?);
        // Each on its own first, so that the error points at it.
        Budget::parse(&line).map_err(|error| Error::new(entry.span(), error))?;
        lines.push_str(&line);
    }
    Budget::parse(&lines).map_err(|error| Error::new(entries.span(), error))?;
    Ok(lines)
}

/// A literal as TOML writes it.
fn value(value: &Expr) -> syn::Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            // Escapes of Rust that TOML does not know stand in no unit.
            Ok(format!("{:?}", text.value()))
        }
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => Ok(number.base10_digits().to_owned()),
        other => Err(Error::new(other.span(), "write a text or a number")),
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
        check(r#"p90 = "1 ms""#, Err("did you mean `p50`?"));
        check(r#"p50 = "2 ms", p99 = "1 ms""#, Err("more than the `p99` of 1 ms"));
        check(r#"p99 = "1 ms", p99 = "2 ms""#, Err("duplicate key"));
        check("p99 = fast", Err("write a text or a number"));
        check("p99", Err("expected"));
    }
}
