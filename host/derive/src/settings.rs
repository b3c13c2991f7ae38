//! Reads attributes and doc comments: `#[key(default = "10s", repeats)]`, `#[hint(..)]`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, Expr, Lit, LitStr, Meta, Result, Token};

/// The settings of one attribute, until each is taken.
pub(crate) struct Settings(Vec<(Ident, TokenStream)>);

impl Settings {
    /// Those of all attributes of this name.
    pub(crate) fn of(attributes: &[Attribute], name: &str) -> Result<Self> {
        let mut all = Vec::new();
        for attribute in named(attributes, name) {
            all.extend(attribute.parse_args_with(list)?);
        }
        Ok(Self(all))
    }

    /// The value of a setting; empty for a bare word.
    pub(crate) fn take(&mut self, name: &str) -> Option<TokenStream> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The text of a setting.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        let value = self.take(name).map(syn::parse2::<LitStr>);
        Ok(value.transpose()?.map(|text| text.value()))
    }

    /// Whether a bare word is there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        self.take(name).is_some()
    }

    /// Refuses a setting that nobody took.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.first() {
            Some((name, _)) => {
                let message = format!("`{name}` does not belong here, or is here twice");
                Err(Error::new_spanned(name, message))
            }
            None => Ok(()),
        }
    }
}

/// The sentence of a doc comment.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let texts = named(attributes, "doc").filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        Meta::Path(_) | Meta::List(_) => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// The hints, as pairs of words and text.
pub(crate) fn hints(attributes: &[Attribute]) -> Result<TokenStream> {
    let pairs = named(attributes, "hint").map(|attribute| {
        attribute.parse_args_with(|input: ParseStream<'_>| {
            let words: LitStr = input.parse()?;
            input.parse::<Token![=>]>()?;
            let text: Expr = input.parse()?;
            Ok(quote!((#words, #text)))
        })
    });
    let pairs: Vec<TokenStream> = pairs.collect::<Result<_>>()?;
    Ok(quote!(&[#(#pairs),*]))
}

/// A value as it stands in the file.
pub(crate) fn toml(value: TokenStream) -> Result<String> {
    Ok(match syn::parse2::<Lit>(value)? {
        Lit::Str(text) if text.value().starts_with(['[', '{']) => text.value(),
        Lit::Str(text) => format!("\"{}\"", text.value()),
        Lit::Int(number) => number.base10_digits().to_owned(),
        Lit::Float(number) => number.base10_digits().to_owned(),
        Lit::Bool(flag) => flag.value.to_string(),
        other => return Err(Error::new_spanned(other, "no value of TOML")),
    })
}

/// The bounds `1..=100`, in milliseconds, bytes or as numbers, and whether they are bytes.
pub(crate) fn bounds(value: TokenStream) -> Result<(TokenStream, TokenStream, bool)> {
    let range = |input: ParseStream<'_>| {
        let mut least = TokenStream::new();
        while !input.peek(Token![..=]) {
            least.extend([input.parse::<TokenTree>()?]);
        }
        input.parse::<Token![..=]>()?;
        Ok((least, input.parse::<TokenStream>()?))
    };
    let (least, most) = range.parse2(value)?;
    let ((least, is_least_size), (most, is_most_size)) = (bound(least)?, bound(most)?);
    Ok((least, most, is_least_size || is_most_size))
}

/// Milliseconds, bytes or a number, and whether they are bytes.
fn bound(value: TokenStream) -> Result<(TokenStream, bool)> {
    const UNITS: [(&str, u64, bool); 9] = [
        ("KiB", 1 << 10, true),
        ("MiB", 1 << 20, true),
        ("GiB", 1 << 30, true),
        ("TiB", 1 << 40, true),
        ("B", 1, true),
        ("ms", 1, false),
        ("s", 1000, false),
        ("m", 60_000, false),
        ("h", 3_600_000, false),
    ];
    let Ok(text) = syn::parse2::<LitStr>(value.clone()) else {
        return Ok((quote!((#value) as u64), false));
    };
    let written = text.value();
    let read = UNITS.iter().find_map(|(unit, factor, is_size)| {
        let number: u64 = written.strip_suffix(unit)?.parse().ok()?;
        Some((number.checked_mul(*factor)?, *is_size))
    });
    let (number, is_size) =
        read.ok_or_else(|| Error::new_spanned(&text, "wanted a duration or a size"))?;
    Ok((quote!(#number), is_size))
}

fn named<'a>(attributes: &'a [Attribute], name: &str) -> impl Iterator<Item = &'a Attribute> {
    let is_named = move |attribute: &&Attribute| attribute.path().is_ident(name);
    attributes.iter().filter(is_named)
}

fn list(input: ParseStream<'_>) -> Result<Vec<(Ident, TokenStream)>> {
    let mut settings = Vec::new();
    while !input.is_empty() {
        let name = input.call(Ident::parse_any)?;
        let mut value = TokenStream::new();
        if input.parse::<Option<Token![=]>>()?.is_some() {
            while !input.is_empty() && !input.peek(Token![,]) {
                value.extend([input.parse::<TokenTree>()?]);
            }
        }
        input.parse::<Option<Token![,]>>()?;
        settings.push((name, value));
    }
    Ok(settings)
}
