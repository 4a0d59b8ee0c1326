//! Recordings of a real kernel, run again through this stack: does it do the same?
//!
//! A recording is a directory with `meta.json`, `in_*.pcap` and `out_*.pcap` of the router's two devices, `lo.pcap` and
//! `transcript.txt`. [`replay`] builds the router `r` from `base.nft`, the topology of the recordings (c — r — s) and the recording's
//! `prep` lines taken as they stand, lets the frames in at their times and the programs of `r` do what they did then, and compares
//!
//! - every packet's walk: the chains in order with devices, addresses, ports, TTL, length, protocol and ICMP type at each, notes,
//!   matched rules and verdicts;
//! - the frames that left, byte for byte;
//! - `conntrack -L` and `conntrack -E`.
//!
//! What a kernel draws at random is compared modulo a consistent renaming ([`rename`]): the IPv4 identification of packets made in `r`
//! (zero stays zero), initial sequence numbers and timestamp offsets of its TCP connections, and ports or ICMP ids that NAT chose where
//! the packet could not keep its own. Frames that come in afterwards are translated in the same way. Numbers of connections (`id=`),
//! `use=`, times, and how many seconds after the last frame `conntrack -L` ran are left out.
//!
//! A trace id of nft is a hash of the buffer's address. A datagram that was put together goes on under the id of its last fragment, and the
//! fragments that it is cut into have ids of their own: their egress chains are compared as a list per recording, not per packet.

mod compare;
pub mod conntrack;
mod difference;
pub mod frame;
mod meta;
mod plan;
mod programs;
mod recording;
pub mod rename;
mod replay;
mod router;
mod shell;
mod tools;
mod walk;
pub mod wire;

pub use difference::{Difference, Report};
pub use recording::{Recording, RecordingError, find};
pub use replay::replay;
