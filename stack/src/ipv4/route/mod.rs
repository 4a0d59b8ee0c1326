//! Routing decisions for IPv4 packets.

mod flow;
mod input;
mod output;
mod validate;

pub(crate) use flow::INET_DSCP_MASK;
pub(crate) use output::{OutputFlow, Upper};

use std::net::Ipv4Addr;

/// `ipv4_is_zeronet()`: the address of nobody; the others of 0.0.0.0/8 are addresses like any (since Linux 5.3).
fn is_zeronet(a: Ipv4Addr) -> bool {
    a.is_unspecified()
}
