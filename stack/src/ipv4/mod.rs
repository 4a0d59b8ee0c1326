//! IPv4 (RFC 791), in the order and with the checks of Linux's `net/ipv4/ip_{input,forward,output,fragment,options}.c`.

mod forward;
mod fragment;
pub(crate) mod header;
mod input;
pub(crate) mod options;
mod output;
mod reassembly;
pub(crate) mod route;

pub(crate) use input::{
    Flow, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, early_demux, is_later_fragment,
};
pub(crate) use output::Ipv4Send;
pub(crate) use route::{INET_DSCP_MASK, OutputFlow, Upper};

use std::net::Ipv4Addr;

/// Shortest header in bytes.
pub(crate) const IPV4_HLEN: usize = 20;

/// Source address of the packet that begins with `network`.
pub(crate) fn saddr(network: &[u8]) -> Option<Ipv4Addr> {
    header::Ipv4Header::new(network).map(|h| h.saddr())
}
