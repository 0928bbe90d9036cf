//! The `#[function]` attribute of `samara-guest`, which documents and re-exports it.
//!
//! What it writes refers to `samara_guest::__private` by absolute paths and to nothing else; all
//! behaviour lives there, in functions, and the expansion is glue.

mod checked;
mod expand;
mod options;
mod text;

use proc_macro::TokenStream;
use quote::quote;

use crate::checked::Checked;
use crate::options::Options;

/// Makes a function callable by a job, by its name. Documented in `samara-guest`.
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    let written = proc_macro2::TokenStream::from(item.clone());
    let expanded = syn::parse::<Options>(options)
        .and_then(|options| Checked::new(checked::parse(item.into())?, options))
        .map(|checked| expand::expand(&checked));
    match expanded {
        Ok(expanded) => expanded.into(),
        // The function stays, so that the mistake is not followed by complaints of its absence.
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#error #written).into()
        }
    }
}
