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
        Stage::RouteInput | Stage::RouteOutput => costs.route,
        // Software sums a datagram when it looks for its socket, unless the NIC has.
        Stage::SocketLookup => costs.socket_lookup + verify(costs, skb),
        Stage::IcmpReceive | Stage::NdiscReceive => costs.deliver + bytes * costs.csum_byte,
        Stage::LocalDeliver | Stage::ArpReceive | Stage::Forward => costs.deliver,
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

fn verify(costs: &Costs, skb: &SkBuff) -> Ps {
    match skb.csum {
        CsumState::None => skb.len() as Ps * costs.csum_byte,
        CsumState::Unnecessary | CsumState::Complete(_) | CsumState::Partial { .. } => 0,
    }
}
