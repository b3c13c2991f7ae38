//! One field of a struct: a key of the table, keys of another struct, or no key.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Error, Field, GenericArgument, PathArguments, Result, Type};

use crate::settings::{Settings, bounds, doc, toml};

/// A field, and where its value comes from.
pub(crate) struct Key {
    field: Ident,
    /// The variable that holds its value; the functions that attributes name are not hidden by it.
    local: Ident,
    source: Source,
}

enum Source {
    /// A key: its description, and what its value goes through.
    Taken {
        described: TokenStream,
        convert: TokenStream,
    },
    /// The keys of this struct.
    Flat(TokenStream),
    /// An expression.
    Given(TokenStream),
}

impl Key {
    pub(crate) fn of(field: &Field) -> Result<Self> {
        let name = field.ident.clone();
        let name = name.ok_or_else(|| Error::new_spanned(field, "a field needs a name"))?;
        let mut settings = Settings::of(&field.attrs, "key")?;
        let source = if let Some(keys) = settings.take("flatten") {
            Source::Flat(or_type(keys, &field.ty))
        } else if let Some(path) = settings.take("with") {
            Source::Given(quote!((#path)(table)))
        } else if let Some(name) = settings.text("span_of")? {
            Source::Given(quote!(table.span_of(#name)))
        } else if settings.flag("skip") {
            Source::Given(quote!(::core::default::Default::default()))
        } else {
            taken(&name, field, &mut settings)?
        };
        settings.finish()?;
        Ok(Self {
            local: Ident::new(&name.to_string(), Span::mixed_site()),
            field: name,
            source,
        })
    }

    /// Its part of the section, if it has keys.
    pub(crate) fn part(&self) -> Option<TokenStream> {
        match &self.source {
            Source::Taken { described, .. } => {
                Some(quote!(crate::config::field::Part::Key(&#described)))
            }
            Source::Flat(keys) => Some(quote!(crate::config::field::Part::Keys(
                <#keys as crate::config::field::FromTable>::SECTION
            ))),
            Source::Given(_) => None,
        }
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Option<TokenStream> {
        let local = &self.local;
        match &self.source {
            Source::Taken { described, .. } => Some(quote!(let #local = #described.take(table);)),
            Source::Flat(keys) => Some(quote! {
                let #local = <#keys as crate::config::field::FromTable>::read(table);
            }),
            Source::Given(_) => None,
        }
    }

    /// The field in the struct's literal.
    pub(crate) fn value(&self) -> TokenStream {
        let (field, local) = (&self.field, &self.local);
        match &self.source {
            Source::Taken { convert, .. } => quote!(#field: #local #convert),
            Source::Flat(_) => quote!(#field: #local?),
            Source::Given(value) => quote!(#field: #value),
        }
    }
}

/// A key of the table.
fn taken(field_name: &Ident, field: &Field, settings: &mut Settings) -> Result<Source> {
    let name = settings.text("name")?;
    let name = name.unwrap_or_else(|| field_name.to_string());
    let inside = argument(&field.ty, "Option");
    let (absent, item, convert) = if let Some(default) = settings.take("default") {
        let default = toml(default)?;
        (quote!(Default(#default)), None, quote!(?.into()))
    } else if let Some(words) = settings.text("absent")? {
        let or_default = match inside {
            Some(_) => TokenStream::new(),
            None => quote!(.unwrap_or_default()),
        };
        let convert = quote!(.map(::core::convert::Into::into) #or_default);
        (quote!(Words(#words)), inside, convert)
    } else if let Some(example) = settings.take("required") {
        let example = toml(example)?;
        let convert = match settings.take("instead") {
            Some(instead) => quote!(.map_or_else(#instead, ::core::convert::Into::into)),
            None => quote!(?.into()),
        };
        (quote!(Required(#example)), None, convert)
    } else {
        let message = "say `default`, `absent` or `required`, or that it is no key: `with`, `skip`";
        return Err(Error::new_spanned(field_name, message));
    };
    let kind = kind(item.unwrap_or(&field.ty), settings)?;
    let synonyms = settings.text("synonyms")?.unwrap_or_default();
    let doc = doc(&field.attrs);
    if doc.is_empty() {
        let message = "a key needs a doc comment: it is its sentence in the reference";
        return Err(Error::new_spanned(field_name, message));
    }
    let described = quote! {
        crate::config::field::Field {
            key: #name,
            kind: #kind,
            absent: crate::config::field::Absence::#absent,
            doc: #doc,
            synonyms: #synonyms,
        }
    };
    Ok(Source::Taken { described, convert })
}

/// How a value of this type is read.
fn kind(ty: &Type, settings: &mut Settings) -> Result<TokenStream> {
    let least = settings.take("least");
    if let Some(kind) = settings.take("kind") {
        return Ok(kind);
    }
    let item = argument(ty, "Vec");
    if let Some(keys) = settings.take("entries") {
        let keys = or_type(keys, item.unwrap_or(ty));
        let least = least.unwrap_or_else(|| quote!(0));
        let few = settings.text("few")?.unwrap_or_default();
        return Ok(quote!(crate::config::field::Tables::of::<#keys>(#least, #few)));
    }
    if settings.flag("named") {
        let item = item.unwrap_or(ty);
        return Ok(quote!(crate::config::field::Named::of::<#item>()));
    }
    let each = match (settings.take("each"), settings.take("within")) {
        (Some(each), _) => each,
        (None, Some(within)) => {
            let (least, most, is_size) = bounds(within)?;
            let ty = item.unwrap_or(ty);
            let from = match is_size {
                true => quote!(FromSize),
                false => quote!(FromValue),
            };
            quote!(<#ty as crate::config::field::#from>::KIND.within(#least, #most))
        }
        (None, None) => {
            let ty = item.unwrap_or(ty);
            quote!(<#ty as crate::config::field::FromValue>::KIND)
        }
    };
    let repeats = settings.flag("repeats");
    let least = least.unwrap_or_else(|| quote!(0));
    Ok(match item {
        Some(_) => quote! {
            crate::config::field::List { of: #each, least: #least, repeats: #repeats }
        },
        None => each,
    })
}

/// The type in angle brackets after this name.
fn argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else {
        return None;
    };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == name)?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        PathArguments::None | PathArguments::Parenthesized(_) => None,
    }
}

/// The type that a setting names, or this one.
fn or_type(named: TokenStream, ty: &Type) -> TokenStream {
    match named.is_empty() {
        true => ty.to_token_stream(),
        false => named,
    }
}
