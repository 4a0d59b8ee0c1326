//! nftables: rulesets as text, what they do with packets, and how they are listed.

mod base;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod counted;
mod devices;
mod json;
mod live;
mod packets;
#[path = "../peers/mod.rs"]
mod peers;
mod properties;
mod redirected;
mod refused;
mod rules;
