//! netfilter: the hooks, and what Linux puts on them.
//!
//! | at | priority | what |
//! | --- | --- | --- |
//! | PreRouting, LocalOut | −400 | fragments are put together (`nf_defrag_ipv4`, `nf_defrag_ipv6`) |
//! | PreRouting, LocalOut | −200 | [`conntrack`] finds or makes the packet's connection (`nf_conntrack_in()`) |
//! | PreRouting, LocalOut | −100 | destination [`nat`], with all nat chains as one block |
//! | LocalIn, PostRouting | 100 | source NAT, likewise |
//! | LocalIn, PostRouting | last | a new connection enters the table (`nf_confirm()`) |
//!
//! None of it is there until something needs it ([`Stack::nf_ct_netns_get`](crate::Stack::nf_ct_netns_get)), as in Linux.

pub mod conntrack;
mod defrag;
mod dup;
pub mod hook;
pub mod nat;
pub mod nft;
mod reject;
mod reroute;
mod run;

pub use reject::Reject;
