//! Connection tracking (`net/netfilter/nf_conntrack_*.c`).
//!
//! [`Conntrack`] knows every connection. A packet that passes PreRouting or LocalOut gets a reference ([`NfCt`], in
//! [`SkBuff::nfct`](crate::SkBuff::nfct)): to a connection that is in the table, or to a new one that is not yet. What has no reference
//! after that is INVALID. When its first packet leaves this host or reaches a socket, a new connection is *confirmed*: it enters the
//! table, and its life begins. If that packet is dropped instead, it goes with it.
//!
//! - [`Conntrack::get`] finds the connection of a reference; [`Conntrack::list`] prints them all as `conntrack -L`.
//! - Events are kept between [`Conntrack::events_on`] and [`Conntrack::take_events`], as `conntrack -E` prints them.
//! - [`Helper`]s look into control connections and expect the ones that these announce ([`Conntrack::expectations`]); so far FTP's does.
//! - [`CtConfig`] has the sysctls.
//!
//! TCP, UDP, ICMP, ICMPv6 and GRE have trackers; other protocols are told apart by their addresses only. SCTP, DCCP and UDP-Lite count among
//! those here, though Linux looks into them.

mod clash;
mod config;
mod conn;
mod count;
mod event;
mod expect;
mod ftp;
mod helper;
mod icmp;
mod input;
mod list;
mod seqadj;
pub(crate) mod sysctl;
mod table;
mod tcp;
mod tcp_window;
mod timeout;
mod tuple;

pub use config::{CtConfig, TcpTimeouts};
pub use conn::{Conn, CtCounter, CtId, CtInfo, CtStatus, CtZone, NfCt, ZoneDir};
pub use count::ConnCount;
pub use event::{CtEvent, CtEventKind};
pub use expect::Expectation;
pub use helper::Helper;
pub use list::ListOptions;
pub use table::{Conntrack, CtStats};
pub use tuple::{Dir, Tuple};

pub(crate) use ftp::{Announced, FtpType};
pub(crate) use tuple::{L4, addresses};

/// The kernel's clock tick (`CONFIG_HZ=250`): timeouts are shown as if counted in these.
const JIFFY: crate::Ps = 4 * crate::MS;
