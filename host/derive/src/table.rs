//! `#[derive(FromTable)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::key::Key;
use crate::settings::{Settings, doc, hints};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let keys = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => fields
                .named
                .iter()
                .map(Key::of)
                .collect::<Result<Vec<_>>>()?,
            Fields::Unnamed(_) | Fields::Unit => Vec::new(),
        },
        Data::Enum(_) | Data::Union(_) => Vec::new(),
    };
    if keys.is_empty() {
        let message = "a table is read into a struct with named fields";
        return Err(Error::new_spanned(name, message));
    }
    let mut settings = Settings::of(&input.attrs, "table")?;
    let value = match settings.take("into") {
        Some(into) => into,
        None => quote!(#name),
    };
    let heading = settings.text("heading")?;
    let section = section(input, &keys, heading.as_deref(), &mut settings)?;
    let read = read(name, &keys, &mut settings);
    settings.finish()?;
    // A shape without a heading is only flattened into others.
    let kind = heading.map(|_| {
        quote! {
            #[automatically_derived]
            impl crate::config::field::FromValue for #value {
                type Kind = crate::config::field::Nested<Self>;
                const KIND: Self::Kind = crate::config::field::Nested::of::<#name>();
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        #[allow(clippy::all, clippy::pedantic)]
        impl crate::config::field::FromTable for #name {
            type Value = #value;
            const SECTION: &'static crate::config::field::Section = &#section;
            fn read(table: &mut crate::config::read::Table<'_>) -> ::core::option::Option<#value> {
                #read
            }
        }
        #kind
    })
}

/// The texts of the table in the reference and in reports.
fn section(
    input: &DeriveInput,
    keys: &[Key],
    heading: Option<&str>,
    settings: &mut Settings,
) -> Result<TokenStream> {
    let doc = doc(&input.attrs);
    let hints = hints(&input.attrs)?;
    let parts = keys.iter().filter_map(Key::part);
    let heading = heading.unwrap_or_default();
    let short = match settings.text("short")? {
        Some(short) => quote!(::core::option::Option::Some(#short)),
        None => quote!(::core::option::Option::None),
    };
    let private = settings.flag("private");
    let title = match settings.take("title") {
        Some(title) => quote!(::core::option::Option::Some(#title)),
        None => quote!(::core::option::Option::None),
    };
    Ok(quote! {
        crate::config::field::Section {
            heading: #heading,
            doc: #doc,
            parts: &[#(#parts),*],
            hints: #hints,
            short: #short,
            private: #private,
            title: #title,
        }
    })
}

/// Takes every key before it gives up, so that every problem is found.
fn read(name: &syn::Ident, keys: &[Key], settings: &mut Settings) -> TokenStream {
    let reads = keys.iter().filter_map(Key::read);
    let values = keys.iter().map(Key::value);
    let always = settings.take("keys").map(|check| quote!((#check)(table);));
    let check = settings
        .take("check")
        .map(|check| quote!((#check)(table, &value);));
    let end = match (settings.take("build"), settings.take("make")) {
        (Some(build), _) => quote!((#build)(table, value)),
        (None, Some(make)) => quote!(::core::option::Option::Some((#make)(table, value))),
        (None, None) => quote!(::core::option::Option::Some(value)),
    };
    quote! {
        #(#reads)*
        #always
        let value = #name { #(#values),* };
        #check
        #end
    }
}
