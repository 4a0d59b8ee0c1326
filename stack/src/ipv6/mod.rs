//! IPv6 (RFC 8200), in the order and with the checks of Linux's `net/ipv6/{ip6_input,ip6_output,exthdrs,reassembly,route}.c`.

pub(crate) mod exthdr;
mod forward;
mod fragment;
pub(crate) mod header;
mod input;
mod output;
mod reassembly;
mod route;

pub(crate) use exthdr::{
    FRAG_HLEN, IPPROTO_ICMPV6, NEXTHDR_DEST, NEXTHDR_HOP, NEXTHDR_ROUTING, ext_len,
    find_fragment_header, find_upper, upper_from,
};
pub(crate) use output::Ipv6Send;
pub(crate) use reassembly::Defragged;
pub(crate) use route::OutputFlow6;

use std::net::Ipv6Addr;

/// Header in bytes.
pub(crate) const IPV6_HLEN: usize = 40;

/// Source address of the packet that begins with `network`.
pub(crate) fn saddr(network: &[u8]) -> Option<Ipv6Addr> {
    header::Ipv6Header::new(network).map(|h| h.saddr())
}
