//! Helpers: who looks into a connection's packets for connections that will follow.

use super::conn::{CtId, CtStatus};
use super::event;
use super::table::Conntrack;
use crate::ipv4::{IPPROTO_TCP, IPPROTO_UDP};

/// The helpers of Linux. All of them can be given to connections, which are listed with them; those that look into packets have a variant of
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Helper {
    /// FTP's control connection (`nf_conntrack_ftp.c`).
    Ftp,
    /// One that a connection has by name only: what it would find in the packets is not looked for.
    Named(&'static str),
}

/// `struct nf_conntrack_helper`s by name and IP protocol.
const NAMED: [(&str, u8); 12] = [
    ("sip", IPPROTO_UDP),
    ("sip", IPPROTO_TCP),
    ("tftp", IPPROTO_UDP),
    ("irc", IPPROTO_TCP),
    ("amanda", IPPROTO_UDP),
    ("pptp", IPPROTO_TCP),
    ("RAS", IPPROTO_UDP),
    ("Q.931", IPPROTO_TCP),
    ("H.245", IPPROTO_TCP),
    ("snmp", IPPROTO_UDP),
    ("netbios-ns", IPPROTO_UDP),
    ("sane", IPPROTO_TCP),
];

impl Helper {
    /// Its name, as `ct helper` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Helper::Ftp => "ftp",
            Helper::Named(name) => name,
        }
    }

    /// The helper of this name for an IP protocol.
    pub fn from_name(name: &str, protocol: u8) -> Option<Self> {
        match (name, protocol) {
            ("ftp", IPPROTO_TCP) => Some(Helper::Ftp),
            _ => {
                let mut named = NAMED.iter();
                let (name, _) = named.find(|helper| **helper == (name, protocol))?;
                Some(Helper::Named(name))
            }
        }
    }
}

impl Conntrack {
    /// `nft_ct_helper_obj_eval()`: gives a connection a helper, as long as its first packet has not left. Nothing happens for helpers that do
    /// not exist, and for connections of another protocol.
    pub fn set_helper(&mut self, id: CtId, name: &str, protocol: u8) {
        let Some(conn) = self.get_mut(id) else { return };
        if conn.is_confirmed() || conn.original.protocol != protocol {
            return;
        }
        if let Some(helper) = Helper::from_name(name, protocol) {
            conn.helper = Some(helper);
            conn.status |= CtStatus::HELPER;
            conn.events |= event::HELPER;
        }
    }
}
