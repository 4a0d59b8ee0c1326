//! nftables: rulesets as text, what they do with packets, and how they are listed.

mod base;
mod counted;
mod json;
mod live;
mod packets;
mod properties;
mod refused;
mod rules;
