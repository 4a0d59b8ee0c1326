//! Counters. Each is the same number wherever it is shown.

use crate::drop_reason::DropReason;

/// What `ip -s link` shows for a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Their bytes, Ethernet header included, FCS not.
    pub rx_bytes: u64,
    /// Received frames that nobody in the stack wanted (`UNHANDLED_PROTO`) or a tc/netdev ingress hook dropped.
    pub rx_dropped: u64,
    /// Received frames for other MAC addresses or VLANs (`rx_otherhost_dropped`).
    pub rx_otherhost_dropped: u64,
    /// Received multicast frames.
    pub multicast: u64,
    /// Frames handed to the driver.
    pub tx_packets: u64,
    /// Their bytes, Ethernet header included, FCS not.
    pub tx_bytes: u64,
    /// Frames lost on the way to the driver: egress hook, full queue, no buffer.
    pub tx_dropped: u64,
    /// Times the driver said busy and the frame was kept.
    pub tx_busy: u64,
}

/// What became of all packets, and how much work it was.
///
/// Every packet ends once: `received + built == consumed + dropped + stolen + transmitted + held`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackStats {
    /// Packets that drivers handed over.
    pub received: u64,
    /// Packets made here: sent by sockets, replies, errors, fragments, reassembled datagrams, copies for further sockets.
    pub built: u64,
    /// Packets that ended well.
    pub consumed: u64,
    /// Packets that were dropped, all reasons together.
    pub dropped: u64,
    /// Packets that hook functions took.
    pub stolen: u64,
    /// Packets that drivers took for transmission.
    pub transmitted: u64,
    /// Packets that wait: in sockets, for neighbours, for other fragments, in front of drivers.
    pub held: u64,
    /// NAPI polls of devices.
    pub polls: u64,
    /// Runs of [`Stack::net_rx_action`](crate::Stack::net_rx_action) that stopped because the budget was used up.
    pub time_squeeze: u64,
    /// ICMP and ICMPv6 errors that were not sent because of the rate limits.
    pub icmp_ratelimited: u64,
    /// Datagrams, replies and errors of this host that had no way out: no route, one that refuses, no usable source. Linux's
    /// `IPSTATS_MIB_OUTNOROUTES` counts only the first. As no packet is built before its route is known, these are not among `built`
    /// and `dropped`, except when a hook at output made another route necessary (`IP_OUTNOROUTES`).
    pub out_no_routes: u64,
    /// Datagrams put together from fragments.
    pub reassembled: u64,
    /// Packets cut into fragments.
    pub fragmented: u64,
    /// Connections refused because too many waited to be accepted (`ListenOverflows`).
    pub listen_overflows: u64,
    /// Connection requests that were not taken, for that reason or because the SYN queue was full (`ListenDrops`).
    pub listen_drops: u64,
    drops: [u64; DropReason::COUNT],
}

impl Default for StackStats {
    fn default() -> Self {
        Self {
            received: 0,
            built: 0,
            consumed: 0,
            dropped: 0,
            stolen: 0,
            transmitted: 0,
            held: 0,
            polls: 0,
            time_squeeze: 0,
            icmp_ratelimited: 0,
            out_no_routes: 0,
            reassembled: 0,
            fragmented: 0,
            listen_overflows: 0,
            listen_drops: 0,
            drops: [0; DropReason::COUNT],
        }
    }
}

impl StackStats {
    /// Packets dropped for `reason`.
    pub fn drop_count(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// The reasons that occurred, with their counts, in order of declaration.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&r| (r, self.drop_count(r)))
            .filter(|&(_, n)| n > 0)
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.dropped += 1;
        self.drops[reason as usize] += 1;
    }
}
