//! The kernel path of a packet, with Linux's names and order: skb, NAPI, netfilter hooks, IPv4/IPv6, sockets.
//!
//! A [`Stack`] is one host. A driver implements [`NetDeviceOps`] and hands frames over as [`SkBuff`]s, which are filled DMA buffers: no byte is
//! copied between the device's buffer and the application's `recv`. Time is an argument in picoseconds ([`Ps`]); nothing here looks at
//! a clock, and equal calls have equal results.
//!
//! A packet going through, over the loopback device:
//!
//! ```
//! use stack::{Hook, Stack, StackConfig, Verdict};
//!
//! # fn main() -> Result<(), stack::StackError> {
//! let mut stack = Stack::new(StackConfig::default());
//! let socket = stack.udp_bind("127.0.0.1".parse().unwrap(), 9)?;
//! stack.nf_register_hook(Hook::PreRouting, 0, "mark", Box::new(|skb, _state| {
//!     skb.mark = 7;
//!     Verdict::Accept
//! }));
//! stack.udp_send_to(socket, "127.0.0.1:9".parse().unwrap(), b"hello", 0)?; // down to the driver's ring
//! while stack.net_rx_action(1_000) {}                                      // the softirq polls it and delivers
//! let datagram = stack.udp_recv_from(socket).expect("delivered");
//! assert_eq!((datagram.payload(), datagram.skb().mark), (b"hello".as_slice(), 7));
//! # Ok(()) }
//! ```
//!
//! The way of a packet, by module: `napi` → [`xdp`] → `gro` → [`af_packet`] → `sched` (tc) → `hook` → `ipv4` / `ipv6` (`arp`, `ndp`) → `fib` → `raw` →
//! `icmp` / `udp` → [`socket`], and back through `ipv4` / `ipv6` → [`neigh`] → `xmit` → `sched` → `gso` (`validate_xmit`) → [`af_packet`]. [`hook`] draws
//! the hooks.
//!
//! Routes, rules, addresses and neighbours are configured by lines as they are typed: [`Stack::ip`], [`Stack::sysctl`].
//!
//! What a received packet can meet and this stack does not have: IGMP and MLD (only the all-hosts group, all nodes and the
//! solicited-node groups are joined), router advertisements (validated, then ignored; IPv4 routers send redirects, IPv6
//! routers do not), rings and filters of packet sockets. Loose and strict source routes are refused.
#![deny(missing_docs)]

pub mod addr;
pub mod af_packet;
mod anycast;
mod arp;
pub mod bpf;
pub mod checksum;
pub mod command;
mod dad;
mod devconf;
pub mod drop_reason;
pub mod error;
pub mod fib;
mod gro;
mod gso;
mod hash;
mod icmp;
mod icmp_err;
mod icmp_limit;
mod icmpv6;
mod igmp;
mod inetaddr;
mod ip;
mod ipv4;
mod ipv6;
mod link;
mod loopback;
mod napi;
mod ndisc_redirect;
mod ndp;
pub mod neigh;
pub mod netdev;
pub mod netfilter;
pub mod page_pool;
mod ping;
mod pmtu;
mod raw;
mod reassembly;
mod redirect;
mod sched;
pub mod skb;
pub mod socket;
mod stack;
pub mod stats;
mod sysctl;
mod tcp;
mod timer;
pub mod trace;
mod udp;
mod unregister;
mod validate_xmit;
mod veth;
mod virtual_dev;
pub mod xdp;
mod xmit;

pub use addr::IpCidr;
pub use af_packet::{PacketFrame, PacketSocketType, SockAddrLl};
pub use command::CommandError;
pub use drop_reason::DropReason;
pub use error::StackError;
pub use fib::{Metrics, Nexthop, Route, RouteSpec, RouteType};
pub use hook::{Family, Hook, HookFn, HookId, HookState, Verdict};
pub use neigh::{NeighbourEntry, NudState};
pub use netdev::{NetDeviceOps, NetFeatures};
pub use netfilter::{hook, nft};
pub use page_pool::{Page, PagePool, SharedPage};
pub use ping::EchoReply;
pub use raw::{IPPROTO_RAW, Icmp6Filter, IcmpFilter, SockExtendedErr};
pub use sched::{BpfVerdict, StandaloneQdisc, TcProgram};
pub use skb::{
    CsumState, DmaSegment, Frag, Gso, GsoType, IfIndex, MAX_SKB_FRAGS, NET_SKB_PAD, PacketId,
    PktType, SkBuff, SkBuffFields, Vlan,
};
pub use socket::{Datagram, SocketId};
pub use stack::{RpFilter, Stack, StackConfig};
pub use stats::{LinkStats, StackStats};
pub use tcp::{TcpSocketId, TcpState};
pub use trace::{Consume, NoTrace, Stage, TcVerdict, TraceLog, Tracer, XdpAction};
pub use validate_xmit::skb_checksum_help;

/// Simulated time in picoseconds since the start.
pub type Ps = u64;

/// One millisecond of simulated time.
pub(crate) const MS: Ps = 1_000_000_000;
/// One second of simulated time.
pub(crate) const SEC: Ps = 1000 * MS;
