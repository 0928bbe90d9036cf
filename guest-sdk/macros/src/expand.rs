//! What a function becomes: a static that is called like it, and an entry in the component's list.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Ident, Lit, Meta, Type, Visibility};

use crate::checked::Checked;
use crate::text;

/// Attributes that the static has to have; the others stay with the function itself.
const OF_THE_STATIC: [&str; 3] = ["cfg", "deprecated", "doc"];

pub(crate) fn expand(function: &Checked) -> TokenStream {
    let private = match &function.options.krate {
        Some(path) => quote!(#path::__private),
        None => quote!(::samara_guest::__private),
    };
    let (outer, inner): (Vec<Attribute>, Vec<Attribute>) = function
        .item
        .attrs
        .iter()
        .cloned()
        .partition(|it| OF_THE_STATIC.iter().any(|name| it.path().is_ident(name)));
    let mut plain = function.item.clone();
    plain.attrs = inner;
    plain.vis = Visibility::Inherited;
    let vis = &function.item.vis;
    let ident = function.ident();
    let name = function.name();
    let types: Vec<&Type> = function.arguments.iter().map(|it| &it.ty).collect();
    let slots = types.iter().map(|ty| quote_spanned!(at(ty)=> <#ty as #private::Take>::Slot));
    let returned = returned(function);
    let value = value(function, &private);
    let kind = kind(function, &private);
    let entry = entry(function, &private);
    let ty = quote!(#private::Function<fn(#(#types),*) -> #returned, (#(#slots,)*), #value>);
    quote! {
        #(#outer)*
        #[allow(non_upper_case_globals, reason = "called like the function that it was")]
        #[allow(dead_code, reason = "called by a host if by nobody here")]
        #vis static #ident: #ty = {
            #[allow(clippy::needless_pass_by_value, reason = "arguments are the task's own")]
            #plain
            #entry
            #private::Function::new(#name, #kind, #ident)
        };
    }
}

/// The entry in the list, and the function that decodes the arguments and encodes the output.
fn entry(function: &Checked, private: &TokenStream) -> TokenStream {
    let values = function.arguments.iter().map(|it| {
        let ty = &it.ty;
        quote_spanned!(at(ty)=> <#ty as #private::Take>::VALUES)
    });
    let name = function.name();
    let doc = doc(&function.item.attrs);
    let kind = kind(function, private);
    let signature = text::signature(function);
    let pure = function.options.pure.is_some();
    let count = u32::try_from(function.arguments.len()).unwrap_or(u32::MAX);
    let body = if function.options.reduce.is_some() {
        reduce_body(function, private)
    } else {
        map_body(function, private)
    };
    quote! {
        fn __samara_call(
            __samara_arguments: &mut #private::Arguments<'_>,
            __samara_output: &mut ::std::vec::Vec<u8>,
        ) -> ::core::result::Result<(), #private::Failure> {
            #body
        }

        const __SAMARA_VALUES: u32 = 0 #(+ #values)*;
        const __SAMARA_ENTRY: #private::Entry = #private::Entry {
            name: #name,
            doc: #doc,
            kind: #kind,
            signature: #signature,
            arity: __SAMARA_VALUES,
            takes_partition: #private::takes_partition(#count, __SAMARA_VALUES),
            pure: #pure,
            place: (::core::file!(), ::core::line!()),
            call: __samara_call,
        };
        let _ = __SAMARA_ENTRY;

        // Native tests have the list too; a driver, which links many such crates, does not.
        #[cfg(any(target_family = "wasm", test))]
        #private::inventory::submit!(__SAMARA_ENTRY);
    }
}

fn map_body(function: &Checked, private: &TokenStream) -> TokenStream {
    let ident = function.ident();
    let arguments = function.arguments.iter().map(|it| {
        let (ty, text) = (&it.ty, &it.text);
        quote_spanned!(at(ty)=> <#ty as #private::Take>::take(__samara_arguments, #text)?)
    });
    let returned = wrapped(function, private, &quote!(#ident(#(#arguments),*)));
    let value = value(function, private);
    let output = at(&function.output);
    let outcome = outcome(function, private);
    let take = quote_spanned!(output=> <#outcome as #private::Outcome>::outcome);
    let encode = quote_spanned!(output=> <#value as #private::Output>::encode);
    quote!(#encode(&#take(#returned)?, __samara_output))
}

fn reduce_body(function: &Checked, private: &TokenStream) -> TokenStream {
    let ident = function.ident();
    let value = value(function, private);
    let names = ["__samara_a", "__samara_b"].map(|name| Ident::new(name, Span::call_site()));
    let arguments = function.arguments.iter().zip(&names).map(|(it, name)| {
        let ty = &it.ty;
        quote_spanned!(at(ty)=> <#ty as #private::SameAs<#value>>::same(#name))
    });
    let returned = wrapped(function, private, &quote!(#ident(#(#arguments),*)));
    quote! {
        #private::fold::<#value, _>(__samara_arguments, __samara_output, |#(#names),*| #returned)
    }
}

/// Where the compiler is to point when something is wrong with a part of the signature.
fn at(part: &impl ToTokens) -> Span {
    Span::call_site().located_at(part.span())
}

/// The return type.
fn returned(function: &Checked) -> TokenStream {
    function.output.as_ref().map_or_else(|| quote!(()), |output| quote!(#output))
}

/// What the function returns as an `Outcome`.
fn wrapped(function: &Checked, private: &TokenStream, returned: &TokenStream) -> TokenStream {
    if function.is_fallible() { returned.clone() } else { quote!(#private::Plain(#returned)) }
}

/// The type of what the function returns as an `Outcome`.
fn outcome(function: &Checked, private: &TokenStream) -> TokenStream {
    let returned = returned(function);
    if function.is_fallible() { returned } else { quote!(#private::Plain<#returned>) }
}

/// The type of the value that is returned.
fn value(function: &Checked, private: &TokenStream) -> TokenStream {
    let returned = returned(function);
    if function.is_fallible() {
        quote_spanned!(at(&function.output)=> <#returned as #private::Outcome>::Value)
    } else {
        returned
    }
}

fn kind(function: &Checked, private: &TokenStream) -> TokenStream {
    match function.options.reduce {
        Some(_) => quote!(#private::Kind::Reduce),
        None => quote!(#private::Kind::Map),
    }
}

/// The documentation as one string expression. Lines lose the space after `///`.
fn doc(attributes: &[Attribute]) -> TokenStream {
    let parts: Vec<TokenStream> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(doc) if doc.path.is_ident("doc") => Some(doc_part(&doc.value)),
            _ => None,
        })
        .collect();
    match parts.split_first() {
        None => quote!(""),
        Some((first, rest)) => quote!(::core::concat!(#first #(, "\n", #rest)*)),
    }
}

fn doc_part(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(literal) if let Lit::Str(line) = &literal.lit => {
            let line = line.value();
            let line = line.strip_prefix(' ').unwrap_or(&line).trim_end();
            quote!(#line)
        }
        macro_call => quote!(#macro_call),
    }
}
