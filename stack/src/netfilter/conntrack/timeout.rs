//! Lives of connections that differ from the sysctls' (`struct nf_ct_timeout`, net/netfilter/nfnetlink_cttimeout.c).

use super::CtId;
use super::config::{CtConfig, TcpTimeouts};
use super::table::Conntrack;
use crate::{Ps, SEC};

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

/// The lives of one connection.
#[derive(Clone, Debug)]
pub(super) struct CtTimeouts {
    pub tcp: TcpTimeouts,
    /// UDP, before and after an answer that makes it a stream.
    pub udp: [Ps; 2],
}

impl CtTimeouts {
    /// The sysctls', but for those that are named; a name that the protocol does not have changes nothing.
    fn new(config: &CtConfig, policy: &[(&str, u32)]) -> Self {
        let mut own = Self {
            tcp: config.tcp.clone(),
            udp: [config.udp_timeout, config.udp_timeout_stream],
        };
        for (state, seconds) in policy {
            let place = match *state {
                "syn_sent" => &mut own.tcp.syn_sent,
                "syn_recv" => &mut own.tcp.syn_recv,
                "established" => &mut own.tcp.established,
                "fin_wait" => &mut own.tcp.fin_wait,
                "close_wait" => &mut own.tcp.close_wait,
                "last_ack" => &mut own.tcp.last_ack,
                "time_wait" => &mut own.tcp.time_wait,
                "close" => &mut own.tcp.close,
                "syn_sent2" => &mut own.tcp.syn_sent2,
                "retrans" => &mut own.tcp.max_retrans,
                "unack" => &mut own.tcp.unacknowledged,
                "unreplied" => &mut own.udp[0],
                "replied" => &mut own.udp[1],
                _ => continue,
            };
            *place = Ps::from(*seconds) * SEC;
        }
        own
    }
}

impl Conntrack {
    /// `nft_ct_timeout_obj_eval()`: a connection of the protocol that is not in the table yet gets lives of its own, in seconds by the state's name, and
    /// the first of them at once.
    pub(crate) fn set_timeouts(&mut self, id: CtId, protocol: u8, policy: &[(&str, u32)]) {
        let own = CtTimeouts::new(&self.config, policy);
        let Some(conn) = self.get_mut(id) else { return };
        if conn.is_confirmed() || conn.original.protocol != protocol {
            return;
        }
        conn.timeout = match protocol {
            IPPROTO_TCP => own.tcp.syn_sent,
            IPPROTO_UDP => own.udp[0],
            _ => return,
        };
        conn.timeouts = Some(Box::new(own));
    }
}
