//! Usage plans on a store that several gateways share: counts, refusals and outages.
