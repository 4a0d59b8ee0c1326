//! What happened to a packet, stage by stage.

use crate::drop_reason::DropReason;
use crate::hook::{Hook, HookState};
use crate::netfilter::conntrack::CtInfo;
use crate::nft::NftEvent;
use crate::nft::stmt::Log;
use crate::skb::{IfIndex, SkBuff};
use std::fmt;

/// Sees every stage that every packet of a [`Stack`](crate::Stack) passes, in order. It runs inside the packet path: the time is the
/// `now` that was given to the call the stack is in.
pub trait Tracer {
    /// `skb` reached `stage`. The packet is as it was when it entered the stage.
    fn event(&mut self, skb: &SkBuff, stage: Stage);

    /// A packet on which `meta nftrace set 1` was done came to a base chain, matched a rule, or met a policy.
    fn nft(&mut self, skb: &SkBuff, event: &NftEvent<'_>) {
        let _ = (skb, event);
    }

    /// A packet met a `log` statement.
    fn nft_log(&mut self, skb: &SkBuff, state: &HookState, log: &Log) {
        let _ = (skb, state, log);
    }
}

/// A tracer that forgets everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Tracer for NoTrace {
    fn event(&mut self, _skb: &SkBuff, _stage: Stage) {}
}

/// One step of a packet's way. Displayed as the kernel function or hook that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The driver handed it over in a NAPI poll.
    NapiPoll,
    /// The device's XDP program has run: what it said. The frame is as it left it.
    Xdp(XdpAction),
    /// `napi_gro_receive()`.
    GroReceive,
    /// `__netif_receive_skb_core()`: the packet leaves the driver's world.
    NetifReceive,
    /// The filters of tc's clsact have run: what they said. The packet, its mark too, is as they left it.
    TcClassify(TcVerdict),
    /// `nf_conntrack_in()` has run: what the packet is to its connection; `None`: nothing (INVALID), or a fragment.
    Conntrack(Option<CtInfo>),
    /// NAT has given it other addresses or ports, which it has by now.
    Nat,
    /// The functions of a hook are about to run (whether there are any or not).
    Hook(Hook),
    /// `arp_rcv()`.
    ArpReceive,
    /// The input route was looked up; the packet carries it (`skb.dst`).
    RouteInput,
    /// The output route was looked up.
    RouteOutput,
    /// `ip_local_deliver()` / `ip6_input()`: it is for this host.
    LocalDeliver,
    /// A fragment waits for the others.
    DefragQueue,
    /// All fragments are there; this is the whole datagram.
    Defrag,
    /// `ip_forward()` / `ip6_forward()`.
    Forward,
    /// `icmp_rcv()` / `icmpv6_rcv()`.
    IcmpReceive,
    /// `ndisc_rcv()`.
    NdiscReceive,
    /// A socket is looked up for it.
    SocketLookup,
    /// It waits in a socket's receive queue.
    SocketQueue,
    /// The application took it.
    Recv,
    /// The application (or ICMP, ARP, NDP on its own behalf) made it.
    Send,
    /// `ip_fragment()`: it goes on in pieces.
    Fragment,
    /// The neighbour's MAC address is looked up.
    Neighbour,
    /// It waits until the neighbour answers.
    NeighbourQueue,
    /// It enters the queue in front of the driver.
    Qdisc,
    /// `ndo_start_xmit()`: the driver has it.
    Xmit,
    /// It ended well.
    Consume(Consume),
    /// It ended badly.
    Drop(DropReason),
    /// A hook function took it away.
    Stolen,
}

/// What an XDP program said (`enum xdp_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XdpAction {
    /// `XDP_ABORTED`, a number that is no verdict, or the program was stopped.
    Aborted,
    /// `XDP_DROP`.
    Drop,
    /// `XDP_PASS`.
    Pass,
    /// `XDP_TX`.
    Tx,
    /// `XDP_REDIRECT`.
    Redirect,
}

/// What became of a packet at tc's filters (`TC_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcVerdict {
    /// It goes on (`TC_ACT_OK`, or no filter was meant).
    Ok,
    /// `TC_ACT_SHOT`.
    Shot,
    /// An action took it (`TC_ACT_STOLEN`).
    Stolen,
    /// It goes to another device (`TC_ACT_REDIRECT`).
    Redirect,
}

/// How a packet ended well (`consume_skb()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consume {
    /// The application read it.
    Recv,
    /// ARP took in what it said.
    Arp,
    /// An ICMP or ICMPv6 message was acted upon (an echo request was answered, an error noted).
    Icmp,
    /// Neighbour discovery took in what it said.
    Ndisc,
    /// TCP took in what it said.
    Tcp,
    /// Its bytes went on in a reassembled datagram.
    Defrag,
    /// Its bytes went on in fragments.
    Fragment,
    /// Its payload went on in a larger packet (GRO).
    Gro,
    /// It went on in segments (GSO).
    Gso,
    /// A tc action took it.
    TcAction,
    /// Its socket was closed before anybody read it.
    SocketClose,
    /// Raw or packet sockets have copies of it, and nothing else here wants it.
    Tapped,
}

impl fmt::Display for Consume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Consume::Recv => "recv",
            Consume::Arp => "arp",
            Consume::Icmp => "icmp",
            Consume::Ndisc => "ndisc",
            Consume::Tcp => "tcp",
            Consume::Defrag => "defrag",
            Consume::Fragment => "fragment",
            Consume::Gro => "gro",
            Consume::Gso => "gso",
            Consume::TcAction => "tc action",
            Consume::SocketClose => "socket close",
            Consume::Tapped => "tapped",
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Stage::NapiPoll => "napi_poll",
            Stage::Xdp(action) => match action {
                XdpAction::Aborted => "xdp aborted",
                XdpAction::Drop => "xdp drop",
                XdpAction::Pass => "xdp pass",
                XdpAction::Tx => "xdp tx",
                XdpAction::Redirect => "xdp redirect",
            },
            Stage::TcClassify(verdict) => match verdict {
                TcVerdict::Ok => "tc ok",
                TcVerdict::Shot => "tc shot",
                TcVerdict::Stolen => "tc stolen",
                TcVerdict::Redirect => "tc redirect",
            },
            Stage::Conntrack(info) => match info {
                Some(CtInfo::New) => "conntrack new",
                Some(CtInfo::Established | CtInfo::EstablishedReply) => "conntrack established",
                Some(CtInfo::Related | CtInfo::RelatedReply) => "conntrack related",
                Some(CtInfo::Untracked) => "conntrack untracked",
                None => "conntrack invalid",
            },
            Stage::Nat => "nat",
            Stage::GroReceive => "napi_gro_receive",
            Stage::NetifReceive => "netif_receive_skb",
            Stage::Hook(hook) => return write!(f, "hook {hook}"),
            Stage::ArpReceive => "arp_rcv",
            Stage::RouteInput => "route input",
            Stage::RouteOutput => "route output",
            Stage::LocalDeliver => "local deliver",
            Stage::DefragQueue => "defrag queue",
            Stage::Defrag => "defrag",
            Stage::Forward => "forward",
            Stage::IcmpReceive => "icmp_rcv",
            Stage::NdiscReceive => "ndisc_rcv",
            Stage::SocketLookup => "socket lookup",
            Stage::SocketQueue => "socket queue",
            Stage::Recv => "recv",
            Stage::Send => "send",
            Stage::Fragment => "fragment",
            Stage::Neighbour => "neighbour",
            Stage::NeighbourQueue => "neighbour queue",
            Stage::Qdisc => "qdisc",
            Stage::Xmit => "xmit",
            Stage::Consume(how) => return write!(f, "consume {how}"),
            Stage::Drop(reason) => return write!(f, "drop {reason}"),
            Stage::Stolen => "stolen",
        };
        f.write_str(text)
    }
}

/// A tracer that keeps everything: packet number, device, stage. For tests and small tools.
#[derive(Debug, Default)]
pub struct TraceLog {
    /// The events, oldest first.
    pub events: Vec<(crate::skb::PacketId, IfIndex, Stage)>,
}

impl Tracer for TraceLog {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        self.events.push((skb.id, skb.dev, stage));
    }
}

impl<T: Tracer> Tracer for std::rc::Rc<std::cell::RefCell<T>> {
    /// Shared tracer: the owner keeps one handle and reads it between calls into the stack.
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        self.borrow_mut().event(skb, stage);
    }

    fn nft(&mut self, skb: &SkBuff, event: &NftEvent<'_>) {
        self.borrow_mut().nft(skb, event);
    }

    fn nft_log(&mut self, skb: &SkBuff, state: &HookState, log: &Log) {
        self.borrow_mut().nft_log(skb, state, log);
    }
}
