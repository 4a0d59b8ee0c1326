//! What each stage of the kernel path costs.

use stack::{CsumState, SkBuff, Stage};

use crate::cpu::Costs;
use crate::trace::Ps;

/// Cost of `stage` for this packet, picoseconds.
pub fn stage_cost(costs: &Costs, skb: &SkBuff, stage: Stage) -> Ps {
    let bytes = skb.len() as Ps;
    match stage {
        Stage::NapiPoll => costs.rx_frame,
        Stage::GroReceive | Stage::NetifReceive => costs.receive / 2,
        Stage::Hook(_) => costs.hook,
        // What they cost is in the frame's and the hooks' costs.
        Stage::Xdp(_) | Stage::TcClassify(_) | Stage::Conntrack(_) | Stage::Nat => 0,
        Stage::RouteInput | Stage::RouteOutput => costs.route,
        Stage::SocketLookup => costs.socket_lookup,
        Stage::IcmpReceive | Stage::NdiscReceive => costs.deliver + bytes * costs.csum_byte,
        Stage::LocalDeliver => costs.deliver + verify(costs, skb),
        Stage::ArpReceive | Stage::Forward => costs.deliver,
        Stage::SocketQueue => costs.socket_queue,
        Stage::DefragQueue => costs.deliver,
        Stage::Defrag | Stage::Fragment => costs.deliver + bytes * costs.copy_byte,
        Stage::Recv => costs.syscall + bytes * costs.copy_byte,
        Stage::Send => costs.build + bytes * costs.copy_byte,
        Stage::Neighbour | Stage::NeighbourQueue => costs.neighbour,
        Stage::Qdisc => costs.qdisc,
        Stage::Xmit => costs.xmit,
        Stage::Consume(_) | Stage::Drop(_) | Stage::Stolen => costs.free,
    }
}

/// Software sums what a host gets over TCP or UDP, unless the NIC has. By the time a socket is looked up the sum is known either way. What
/// ICMP sums is a cost of its own stage.
fn verify(costs: &Costs, skb: &SkBuff) -> Ps {
    let packet = skb.network_bytes();
    let protocol = match packet.first().map(|b| b >> 4) {
        Some(4) => packet.get(9),
        Some(6) => packet.get(6),
        _ => None,
    };
    match skb.csum {
        CsumState::None if matches!(protocol, Some(6 | 17)) => skb.len() as Ps * costs.csum_byte,
        _ => 0,
    }
}
