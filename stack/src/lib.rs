//! The kernel path of a packet, with Linux's names and order: skb, NAPI, netfilter hooks, IPv4/IPv6, sockets.
#![deny(missing_docs)]

pub mod addr;
mod arp;
pub mod checksum;
pub mod drop_reason;
pub mod error;
pub mod fib;
pub mod hook;
mod icmp;
mod icmpv6;
mod ipv4;
mod ipv6;
mod loopback;
mod napi;
mod ndp;
pub mod neigh;
pub mod netdev;
pub mod page_pool;
mod pmtu;
mod reassembly;
pub mod skb;
pub mod socket;
mod stack;
pub mod stats;
mod tcp;
mod timer;
pub mod trace;
mod udp;
mod xmit;

pub use addr::IpCidr;
pub use drop_reason::DropReason;
pub use error::StackError;
pub use fib::{Route, RouteSpec, RouteType};
pub use hook::{Family, Hook, HookFn, HookId, HookState, Verdict};
pub use neigh::{NeighbourEntry, NudState};
pub use netdev::{NetDeviceOps, NetFeatures};
pub use page_pool::{Page, PagePool};
pub use skb::{CsumState, Gso, GsoType, IfIndex, NET_SKB_PAD, PacketId, PktType, SkBuff, Vlan};
pub use socket::{Datagram, SocketId};
pub use stack::{RpFilter, Stack, StackConfig};
pub use stats::{LinkStats, StackStats};
pub use trace::{Consume, NoTrace, Stage, TraceLog, Tracer};

/// Simulated time in picoseconds since the start.
pub type Ps = u64;

/// One millisecond of simulated time.
pub(crate) const MS: Ps = 1_000_000_000;
/// One second of simulated time.
pub(crate) const SEC: Ps = 1000 * MS;
