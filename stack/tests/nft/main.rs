//! nftables: rulesets as text, what they do with packets, and how they are listed.

mod base;
mod commands;
mod counted;
mod json;
mod live;
mod packets;
#[path = "../peers/mod.rs"]
mod peers;
mod properties;
mod refused;
mod rules;
