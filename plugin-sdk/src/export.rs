//! The `export!` macro.

/// Exports a filter with exactly the phases that are named: any of `request`, `request_body`,
/// `response`, `response_body` and `log`; and `description`, if it describes itself
/// ([`Describe`](crate::Describe)). The lifecycle is always exported. For each phase the filter
/// implements the trait of that name ([`OnRequest`](crate::OnRequest), ...). A component has one
/// filter, so use this macro once, at the top of the crate.
///
/// ```
/// use windlass_plugin_sdk::prelude::*;
///
/// struct Hello;
///
/// impl Filter for Hello {
///     type Settings = NoSettings;
///     fn configure(_: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
///         Ok((Self, Setup::new()))
///     }
/// }
///
/// impl OnRequest for Hello {
///     fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
///         request.set_header("x-hello", "windlass")?;
///         Ok(RequestVerdict::NEXT)
///     }
/// }
///
/// windlass_plugin_sdk::export!(Hello: request);
/// # fn main() {}
/// ```
///
/// The exports exist only on WebAssembly. On other targets the line only checks the types, so that
/// you can lint a plugin's crate and test its pure logic natively.
#[macro_export]
macro_rules! export {
    ($filter:ty $(: $($phase:ident),+ $(,)?)?) => {
        const _: () = {
            struct Component;

            impl $crate::shim::Exported for Component {
                type Filter = $filter;

                const PACKAGE: $crate::shim::Package = $crate::shim::Package {
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                    description: env!("CARGO_PKG_DESCRIPTION"),
                };

                #[inline]
                fn place<R>(
                    visit: impl FnOnce(&::core::cell::OnceCell<$filter>) -> R,
                ) -> R {
                    ::std::thread_local! {
                        static PLACE: ::core::cell::OnceCell<$filter> =
                            const { ::core::cell::OnceCell::new() };
                    }
                    PLACE.with(visit)
                }
            }

            type Exports = $crate::shim::Shim<Component>;

            $crate::__export_one!(lifecycle, Exports);
            $($($crate::__export_one!($phase, Exports);)+)?
        };
    };
}

/// One export of [`export!`](crate::export).
#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    (lifecycle, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::lifecycle::export!(
            $exports with_types_in $crate::bindings::lifecycle
        );
        #[cfg(not(target_family = "wasm"))]
        const _: fn(::std::string::String) -> ::core::result::Result<
            $crate::bindings::lifecycle::exports::windlass::filter::lifecycle::Setup,
            ::std::vec::Vec<$crate::Diagnostic>,
        > = <$exports as
            $crate::bindings::lifecycle::exports::windlass::filter::lifecycle::Guest>::configure;
    };
    (description, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::description::export!(
            $exports with_types_in $crate::bindings::description
        );
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> ::std::string::String = <$exports as
            $crate::bindings::description::exports::windlass::filter::description::Guest
        >::contribute;
    };
    (request, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::request::export!($exports with_types_in $crate::bindings::request);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::RequestVerdict = <$exports as
            $crate::bindings::request::exports::windlass::filter::request_phase::Guest
        >::on_request;
    };
    (request_body, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::request_body::export!(
            $exports with_types_in $crate::bindings::request_body
        );
        #[cfg(not(target_family = "wasm"))]
        const _: fn(u64, bool) -> $crate::ChunkVerdict = <$exports as
            $crate::bindings::request_body::exports::windlass::filter::request_body_phase::Guest
        >::on_request_body;
    };
    (response, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::response::export!($exports with_types_in $crate::bindings::response);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::ResponseVerdict = <$exports as
            $crate::bindings::response::exports::windlass::filter::response_phase::Guest
        >::on_response;
    };
    (response_body, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::response_body::export!(
            $exports with_types_in $crate::bindings::response_body
        );
        #[cfg(not(target_family = "wasm"))]
        const _: fn(u64, bool) -> $crate::ChunkVerdict = <$exports as
            $crate::bindings::response_body::exports::windlass::filter::response_body_phase::Guest
        >::on_response_body;
    };
    (log, $exports:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::log::export!($exports with_types_in $crate::bindings::log);
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = <$exports as
            $crate::bindings::log::exports::windlass::filter::log_phase::Guest>::on_log;
    };
    ($other:ident, $exports:ident) => {
        ::core::compile_error!(::core::concat!(
            "no phase `",
            ::core::stringify!($other),
            "`: there are request, request_body, response, response_body, log and description"
        ));
    };
}
