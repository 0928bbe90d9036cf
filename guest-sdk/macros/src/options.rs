//! What stands in the parentheses of `#[function(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitStr, Path, Result, Token};

/// The options of one function.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) reduce: Option<Ident>,
    pub(crate) pure: Option<Ident>,
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            options.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Token![crate]) {
            let keyword = input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            let path = input.call(Path::parse_mod_style)?;
            return once(&mut self.krate, path, keyword.span, "crate");
        }
        let option: Ident = input.parse()?;
        let span = option.span();
        match option.to_string().as_str() {
            "reduce" => once(&mut self.reduce, option, span, "reduce"),
            "pure" => once(&mut self.pure, option, span, "pure"),
            "name" => {
                input.parse::<Token![=]>()?;
                let name: LitStr = input.parse()?;
                if name.value().trim().is_empty() {
                    return Err(syn::Error::new(name.span(), "a function's name cannot be empty"));
                }
                once(&mut self.name, name, span, "name")
            }
            other => Err(syn::Error::new(
                span,
                format!(
                    "unknown option `{other}`; there are `reduce`, `pure`, `name = \"…\"` and \
                     `crate = path`"
                ),
            )),
        }
    }
}

/// Sets an option that may be given once.
fn once<T>(slot: &mut Option<T>, value: T, span: proc_macro2::Span, name: &str) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(syn::Error::new(span, format!("option `{name}` is given twice"))),
    }
}
