//! nftables: rulesets as text, what they do with packets, and how they are listed.

mod base;
mod live;
mod packets;
mod refused;
mod rules;
