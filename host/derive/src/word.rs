//! `#[derive(Word)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

use crate::settings::hints;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            name,
            "words are the variants of an enum",
        ));
    };
    let hints = hints(&input.attrs)?;
    let options = data.variants.iter().map(|variant| {
        let (word, ident) = (word(variant)?, &variant.ident);
        Ok(quote!((#word, Self::#ident)))
    });
    let options: Vec<TokenStream> = options.collect::<Result<_>>()?;
    Ok(quote! {
        #[automatically_derived]
        impl crate::model::word::Word for #name {
            const WORDS: &'static [(&'static str, Self)] = &[#(#options),*];
            const HINTS: &'static [(&'static str, &'static str)] = #hints;
        }
    })
}

/// The word of a variant: what `#[word("..")]` says, or its name with hyphens.
fn word(variant: &Variant) -> Result<String> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new_spanned(variant, "a word has no fields"));
    }
    let mut attributes = variant.attrs.iter();
    if let Some(attribute) = attributes.find(|attribute| attribute.path().is_ident("word")) {
        return Ok(attribute.parse_args::<LitStr>()?.value());
    }
    let mut word = String::new();
    for letter in variant.ident.to_string().chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    Ok(word)
}
