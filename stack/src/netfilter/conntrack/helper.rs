//! Helpers: who looks into a connection's packets for connections that will follow.

use super::conn::{CtId, CtStatus};
use super::event;
use super::table::Conntrack;
use crate::ipv4::IPPROTO_TCP;

/// The helpers that exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Helper {
    /// FTP's control connection (`nf_conntrack_ftp.c`).
    Ftp,
}

impl Helper {
    /// Its name, as `ct helper` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Helper::Ftp => "ftp",
        }
    }

    /// The helper of this name for an IP protocol.
    pub fn from_name(name: &str, protocol: u8) -> Option<Self> {
        match (name, protocol) {
            ("ftp", IPPROTO_TCP) => Some(Helper::Ftp),
            _ => None,
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
