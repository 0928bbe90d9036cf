//! The function as the author wrote it, after all that can be said against it from its text alone.
//!
//! Every mistake is reported, not only the first. What needs types (an argument that does not
//! deserialize, a reduce of unlike types) is left to bounds in the expansion.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, Item, ItemFn, Pat, PatType, Result, ReturnType, Safety, Type};

use crate::options::Options;
use crate::text;

/// A function that can be expanded.
pub(crate) struct Checked {
    pub(crate) item: ItemFn,
    pub(crate) options: Options,
    pub(crate) arguments: Vec<Argument>,
    /// The return type, none where nothing is written.
    pub(crate) output: Option<Type>,
}

/// One argument.
pub(crate) struct Argument {
    pub(crate) ty: Type,
    /// As the author wrote it, `mut` left out.
    pub(crate) text: String,
}

/// Parses the item, which must be a function.
pub(crate) fn parse(item: TokenStream) -> Result<ItemFn> {
    match syn::parse2::<Item>(item)? {
        Item::Fn(function) => Ok(function),
        other => Err(Error::new_spanned(first_token(&other), "`#[function]` goes on a function")),
    }
}

// === impl Checked ===

impl Checked {
    pub(crate) fn new(item: ItemFn, options: Options) -> Result<Self> {
        let mut mistakes = Mistakes(None);
        check_qualifiers(&item, &mut mistakes);
        let arguments = check_arguments(&item, &mut mistakes);
        let output = match &item.sig.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => Some((**ty).clone()),
        };
        if let Some(output) = &output {
            check_output(output, &mut mistakes);
        }
        if let Some(reduce) = &options.reduce {
            check_reduce(reduce, &item, output.as_ref(), &mut mistakes);
        }
        mistakes.none()?;
        Ok(Self { item, options, arguments, output })
    }

    pub(crate) fn ident(&self) -> &Ident {
        &self.item.sig.ident
    }

    /// The name within the component.
    pub(crate) fn name(&self) -> String {
        match &self.options.name {
            Some(name) => name.value(),
            None => self.ident().to_string().trim_start_matches("r#").to_owned(),
        }
    }

    /// Whether the return type is written as a `Result`.
    pub(crate) fn is_fallible(&self) -> bool {
        self.output.as_ref().is_some_and(|output| last_segment_is(output, "Result"))
    }
}

/// All that was found wrong so far.
struct Mistakes(Option<Error>);

impl Mistakes {
    fn add(&mut self, span: Span, message: impl Into<String>) {
        let error = Error::new(span, message.into());
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn none(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn check_qualifiers(item: &ItemFn, mistakes: &mut Mistakes) {
    let sig = &item.sig;
    if let Some(token) = &sig.asyncness {
        mistakes.add(
            token.span,
            "a function cannot be `async`: a task runs on one thread from start to end, \
             and what it reads is fetched ahead of it by the host",
        );
    }
    if let Some(token) = &sig.constness {
        mistakes
            .add(token.span, "a function cannot be `const`: it is called by a host at run time");
    }
    if let Safety::Unsafe(token) = &sig.safety {
        mistakes.add(token.span, "a function cannot be `unsafe`: its caller can promise nothing");
    }
    if let Some(abi) = &sig.abi {
        mistakes.add(abi.extern_token.span, "a function cannot be `extern`: values cross as CBOR");
    }
    if !sig.generics.params.is_empty() {
        mistakes.add(
            sig.generics.params.span(),
            "a function cannot be generic: it is called by name, so its types must be settled",
        );
    }
    if let Some(clause) = &sig.generics.where_clause {
        mistakes.add(clause.where_token.span, "a function has no type parameters to constrain");
    }
    if let Some(variadic) = &sig.variadic {
        mistakes.add(variadic.dots.span(), "a function takes a fixed number of arguments");
    }
}

fn check_arguments(item: &ItemFn, mistakes: &mut Mistakes) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let mut has_partition = false;
    for input in &item.sig.inputs {
        let PatType { pat, ty, .. } = match input {
            FnArg::Typed(argument) => argument,
            FnArg::Receiver(receiver) => {
                mistakes.add(
                    receiver.self_token.span,
                    "`#[function]` goes on a free function: a job has no `self` to call it on",
                );
                continue;
            }
        };
        check_argument(ty, mistakes);
        if last_segment_is(ty, "Partition") && std::mem::replace(&mut has_partition, true) {
            mistakes.add(ty.span(), "a task has one partition, so a function takes at most one");
        }
        arguments.push(Argument { ty: (**ty).clone(), text: argument_text(pat, ty) });
    }
    arguments
}

fn check_argument(ty: &Type, mistakes: &mut Mistakes) {
    match ty {
        Type::Reference(reference) => mistakes.add(
            reference.and_token.span,
            format!("an argument is a value of the task's own: write `{}`", owned(&reference.elem)),
        ),
        Type::ImplTrait(ty) => {
            mistakes.add(ty.impl_token.span, "an argument's type must be settled: name it");
        }
        _ => {
            if let Some(span) = find_borrow(ty.to_token_stream()) {
                mistakes.add(
                    span,
                    "an argument is a value of the task's own: nothing in it can be borrowed",
                );
            }
        }
    }
}

fn check_output(ty: &Type, mistakes: &mut Mistakes) {
    if let Type::ImplTrait(ty) = ty {
        mistakes.add(ty.impl_token.span, "an output's type must be settled: name it");
    } else if last_segment_is(ty, "Partition") {
        mistakes.add(ty.span(), "a partition is read by the task: return what was read of it");
    } else if let Some(span) = find_borrow(ty.to_token_stream()) {
        mistakes.add(span, "an output leaves the task: nothing in it can be borrowed");
    }
}

fn check_reduce(reduce: &Ident, item: &ItemFn, output: Option<&Type>, mistakes: &mut Mistakes) {
    const FORM: &str = "`#[function(reduce)]` goes on `fn(T, T) -> T` or `fn(T, T) -> Result<T>`";
    if item.sig.inputs.len() != 2 {
        let count = item.sig.inputs.len();
        mistakes.add(reduce.span(), format!("{FORM}; the number of arguments here is {count}"));
    } else if output.is_none() {
        mistakes.add(reduce.span(), format!("{FORM}; this returns nothing"));
    }
    for input in &item.sig.inputs {
        if let FnArg::Typed(PatType { ty, .. }) = input
            && last_segment_is(ty, "Partition")
        {
            mistakes.add(ty.span(), format!("{FORM}; it combines outputs and reads no partition"));
        }
    }
}

/// Whether a type is written as a path that ends in `name`.
fn last_segment_is(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else { return false };
    path.qself.is_none() && path.path.segments.last().is_some_and(|last| last.ident == name)
}

/// What to write in place of a reference.
fn owned(referred: &Type) -> String {
    let written = text::of(referred);
    match referred {
        _ if written == "str" => "String".to_owned(),
        _ if written == "[u8]" => "samara_guest::Bytes".to_owned(),
        _ if written == "Path" || written.ends_with("::Path") => format!("{written}Buf"),
        Type::Slice(slice) => format!("Vec<{}>", text::of(&slice.elem)),
        _ => written,
    }
}

/// The first reference or lifetime in a type, `'static` excepted.
fn find_borrow(tokens: TokenStream) -> Option<Span> {
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                if let Some(span) = find_borrow(group.stream()) {
                    return Some(span);
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => return Some(punct.span()),
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                let name = tokens.next()?;
                if name.to_string() != "static" {
                    return Some(name.span());
                }
            }
            _ => {}
        }
    }
    None
}

/// `n: u64`, the `mut` of a name left out, which concerns nobody but the author.
fn argument_text(pat: &Pat, ty: &Type) -> String {
    let pat = match pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => {
            name.ident.to_string()
        }
        other => text::of(other),
    };
    format!("{pat}: {}", text::of(ty))
}

/// The tokens of an item that say what it is.
fn first_token(item: &Item) -> TokenStream {
    let is_attribute =
        |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == '#');
    let mut tokens = item.to_token_stream().into_iter().peekable();
    while tokens.next_if(is_attribute).is_some() {
        tokens.next();
    }
    tokens.next().into_iter().collect()
}
