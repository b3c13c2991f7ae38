//! The items that this crate's tests and benches use, and no others. Not an API: it is hidden, has no
//! promises, and changes with the code behind it. From outside, Windlass is its command line.

pub mod balance {
    pub use crate::balance::{
        Balancer, BalancerSettings, EndpointLoad, Lease, Member, PickOptions, Picked,
    };
    pub use crate::model::balance::BalancePolicy;
}

pub mod body {
    pub use crate::http::body::Body;
}

pub mod chain {
    pub use crate::chain::Passage;
}

pub mod config {
    pub use crate::config::{
        AccessLog, BalancePolicy, BasicForm, CompileCache, Config, ErrorStyle, ForwardedFields,
        ForwardedNode, HostInterface, HostRule, Isolation, KeyFetch, KeysFrom, LogLevel, OnError,
        OnStale, OnUnavailable, Period, PluginRegistry, PluginSource, Plugins,
        ProxyProtocolVersion, RateLimit, RedisPlace, ResponsePart, Role, RouteEnd, SecretSource,
        Span, Store, StorePlace, TraceContext, UpstreamProtocol, Weekday, reference,
    };
}

pub mod context {
    pub use crate::exchange::{Client, Exchange, ExchangeCell};
    pub use crate::model::head::{RequestHead, ResponseHead};
    pub use crate::model::request_id::RequestId;
}

pub mod error {
    pub use crate::error::{Code, Side};
}

pub mod gateway {
    pub use crate::build::ProcessResources;
    pub use crate::proxy::gateway::Gateway;
    pub use crate::proxy::generation::Generation;
}

pub mod plugin_test {
    pub use crate::plugin_test::reference::page;
}

pub mod server {
    pub use crate::server::{Workers, bind};
}

pub mod sockets {
    pub use crate::runtime::sockets::activation::ActivatedSockets;
    pub use crate::runtime::sockets::handover::Predecessor;
}

pub mod store {
    pub use crate::control::storage::record::{KeyRecord, SecretRecord};
    pub use crate::control::storage::sqlite::SqliteStorage;
    pub use crate::control::storage::{Storage, Write};
    pub use crate::control::sync::{StorageSync, SyncSettings};
    pub use crate::keys::{KeyDigest, Keys};
    pub use crate::limits::LocalLimits;
    pub use crate::runtime::clock::Timestamp;
}
