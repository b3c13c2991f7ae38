//! `#[derive(Word)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

use crate::settings::{Settings, hints};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            name,
            "words are the variants of an enum",
        ));
    };
    let hints = hints(&input.attrs)?;
    let mut settings = Settings::of(&input.attrs, "word")?;
    let prefix = settings.text("prefix")?.unwrap_or_default();
    let separator = if settings.flag("snake") { '_' } else { '-' };
    let is_upper = settings.flag("upper");
    settings.finish()?;
    let variants = data.variants.iter().map(|variant| &variant.ident);
    let words = data.variants.iter();
    let words = words.map(|variant| Ok(prefix.clone() + &word(variant, separator, is_upper)?));
    let words: Vec<String> = words.collect::<Result<_>>()?;
    let options = words.iter().zip(variants.clone());
    let options = options.map(|(word, ident)| quote!((#word, Self::#ident)));
    Ok(quote! {
        #[automatically_derived]
        impl crate::model::word::Word for #name {
            const WORDS: &'static [(&'static str, Self)] = &[#(#options),*];
            const HINTS: &'static [(&'static str, &'static str)] = #hints;

            fn word(self) -> &'static str {
                match self {
                    #(Self::#variants => #words,)*
                }
            }
        }
    })
}

/// The word of a variant: what `#[word("..")]` says, or its name with separators.
fn word(variant: &Variant, separator: char, is_upper: bool) -> Result<String> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new_spanned(variant, "a word has no fields"));
    }
    let mut attributes = variant.attrs.iter();
    if let Some(attribute) = attributes.find(|attribute| attribute.path().is_ident("word")) {
        return Ok(attribute.parse_args::<LitStr>()?.value());
    }
    if is_upper {
        return Ok(variant.ident.to_string().to_uppercase());
    }
    let mut word = String::new();
    for letter in variant.ident.to_string().chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push(separator);
        }
        word.extend(letter.to_lowercase());
    }
    Ok(word)
}
