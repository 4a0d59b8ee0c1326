//! `net.netfilter.nf_conntrack_*`.

use super::tcp::TcpState;
use crate::{Ps, SEC};

/// The sysctls of connection tracking; the defaults are Linux's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtConfig {
    /// `nf_conntrack_max`: connections; 0 = no limit.
    pub max: usize,
    /// `nf_conntrack_checksum`: packets with bad checksums are INVALID.
    pub checksum: bool,
    /// `nf_conntrack_events`: 0: there are none; else there are when somebody listens.
    pub events: u8,
    /// `nf_conntrack_acct`: packets and bytes are counted for new connections.
    pub acct: bool,
    /// `nf_conntrack_tcp_loose`: connections whose beginning was not seen are picked up.
    pub tcp_loose: bool,
    /// `nf_conntrack_tcp_be_liberal`: only resets outside of the window are INVALID.
    pub tcp_be_liberal: bool,
    /// `nf_conntrack_tcp_ignore_invalid_rst`: resets are not checked against the last acknowledgement.
    pub tcp_ignore_invalid_rst: bool,
    /// `nf_conntrack_tcp_max_retrans`: retransmissions after which `tcp_timeout_max_retrans` counts.
    pub tcp_max_retrans: u8,
    /// `nf_conntrack_tcp_timeout_*`.
    pub tcp: TcpTimeouts,
    /// `nf_conntrack_udp_timeout`.
    pub udp_timeout: Ps,
    /// `nf_conntrack_udp_timeout_stream`.
    pub udp_timeout_stream: Ps,
    /// `nf_conntrack_icmp_timeout`.
    pub icmp_timeout: Ps,
    /// `nf_conntrack_icmpv6_timeout`.
    pub icmpv6_timeout: Ps,
    /// `nf_conntrack_gre_timeout`: of GRE without an answer.
    pub gre_timeout: Ps,
    /// `nf_conntrack_gre_timeout_stream`: of GRE both ways.
    pub gre_timeout_stream: Ps,
    /// `nf_conntrack_generic_timeout`: all other protocols.
    pub generic_timeout: Ps,
    /// `nf_conntrack_expect_max`: expectations.
    pub expect_max: usize,
}

impl Default for CtConfig {
    fn default() -> Self {
        Self {
            max: 262_144,
            checksum: true,
            events: 2,
            acct: false,
            tcp_loose: true,
            tcp_be_liberal: false,
            tcp_ignore_invalid_rst: false,
            tcp_max_retrans: 3,
            tcp: TcpTimeouts::default(),
            udp_timeout: 30 * SEC,
            udp_timeout_stream: 120 * SEC,
            icmp_timeout: 30 * SEC,
            icmpv6_timeout: 30 * SEC,
            gre_timeout: 30 * SEC,
            gre_timeout_stream: 180 * SEC,
            generic_timeout: 600 * SEC,
            expect_max: 4096,
        }
    }
}

/// Life of a TCP connection after a packet that left it in this state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTimeouts {
    /// `syn_sent`.
    pub syn_sent: Ps,
    /// After a SYN from both sides; not a sysctl.
    pub syn_sent2: Ps,
    /// `syn_recv`.
    pub syn_recv: Ps,
    /// `established`.
    pub established: Ps,
    /// `fin_wait`.
    pub fin_wait: Ps,
    /// `close_wait`.
    pub close_wait: Ps,
    /// `last_ack`.
    pub last_ack: Ps,
    /// `time_wait`.
    pub time_wait: Ps,
    /// `close`.
    pub close: Ps,
    /// `max_retrans`: at most, after `tcp_max_retrans` retransmissions.
    pub max_retrans: Ps,
    /// `unacknowledged`: at most, while data is not acknowledged.
    pub unacknowledged: Ps,
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self {
            syn_sent: 120 * SEC,
            syn_sent2: 120 * SEC,
            syn_recv: 60 * SEC,
            established: 432_000 * SEC,
            fin_wait: 120 * SEC,
            close_wait: 60 * SEC,
            last_ack: 30 * SEC,
            time_wait: 120 * SEC,
            close: 10 * SEC,
            max_retrans: 300 * SEC,
            unacknowledged: 300 * SEC,
        }
    }
}

impl TcpTimeouts {
    pub(super) fn of(&self, state: TcpState) -> Ps {
        match state {
            TcpState::SynSent => self.syn_sent,
            TcpState::SynSent2 => self.syn_sent2,
            TcpState::SynRecv => self.syn_recv,
            TcpState::Established => self.established,
            TcpState::FinWait => self.fin_wait,
            TcpState::CloseWait => self.close_wait,
            TcpState::LastAck => self.last_ack,
            TcpState::TimeWait => self.time_wait,
            TcpState::Close => self.close,
            // No packet leaves a connection in this state.
            TcpState::None => 0,
        }
    }
}
