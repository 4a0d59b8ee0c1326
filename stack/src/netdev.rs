//! What a driver offers the stack (`struct net_device_ops` and its NAPI instance), and what the stack keeps per device.

use crate::Ps;
use crate::error::StackError;
use crate::page_pool::PagePool;
use crate::sched::{Clsact, TxQueue};
use crate::skb::{Gso, GsoType, IfIndex, SkBuff};
use crate::stack::Stack;
use crate::stats::LinkStats;
use crate::xdp::XdpProgram;
use std::cell::RefCell;
use std::rc::Rc;

/// `txqueuelen`: from it qdiscs take the number of packets that may wait, unless they are told.
pub const TX_QUEUE_LEN: usize = 1000;

/// What the device does so that software need not (`NETIF_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetFeatures {
    /// `NETIF_F_HW_CSUM`: fills in a 16-bit checksum anywhere ([`CsumState::Partial`](crate::skb::CsumState::Partial)).
    pub hw_csum: bool,
    /// `NETIF_F_RXCSUM`: verifies received TCP and UDP checksums.
    pub rx_csum: bool,
    /// `NETIF_F_SG`: sends packets with up to [`MAX_SKB_FRAGS`](crate::skb::MAX_SKB_FRAGS) fragments; others get them linear.
    pub sg: bool,
    /// `NETIF_F_TSO`: segments TCP over IPv4 ([`GsoType::TcpV4`](crate::skb::GsoType::TcpV4)).
    pub tso4: bool,
    /// `NETIF_F_TSO6`: segments TCP over IPv6.
    pub tso6: bool,
    /// `NETIF_F_TSO_ECN`: takes CWR off all segments but the first.
    pub tso_ecn: bool,
    /// `NETIF_F_TSO_MANGLEID`: may give the segments of one packet IPv4 identifications as it likes.
    pub tso_mangleid: bool,
    /// `NETIF_F_GSO_UDP_L4`: segments UDP ([`GsoType::UdpL4`](crate::skb::GsoType::UdpL4)).
    pub uso: bool,
    /// `NETIF_F_GRO`: the stack merges received packets ([`Stage::GroReceive`](crate::trace::Stage::GroReceive)). A driver says `true`
    /// unless it has a reason not to.
    pub gro: bool,
    /// `NETIF_F_GRO_UDP_FWD` (`rx-udp-gro-forwarding`): merges UDP too where no socket asks for it.
    pub gro_udp_fwd: bool,
}

impl NetFeatures {
    /// `netdev_fix_features()`: without what others build on.
    fn fixed(mut self) -> Self {
        if !self.sg || !self.hw_csum {
            (self.tso4, self.tso6, self.uso) = (false, false, false);
        }
        self
    }

    /// The features of `self` that `device` has; merging is the stack's own work.
    fn within(self, device: Self) -> Self {
        Self {
            hw_csum: self.hw_csum && device.hw_csum,
            rx_csum: self.rx_csum && device.rx_csum,
            sg: self.sg && device.sg,
            tso4: self.tso4 && device.tso4,
            tso6: self.tso6 && device.tso6,
            tso_ecn: self.tso_ecn && device.tso_ecn,
            tso_mangleid: self.tso_mangleid && device.tso_mangleid,
            uso: self.uso && device.uso,
            gro: self.gro,
            gro_udp_fwd: self.gro_udp_fwd,
        }
        .fixed()
    }

    /// `net_gso_ok()`, `skb_gso_ok()`: whether the device takes this kind of large packet as it is.
    pub fn gso_ok(&self, gso: Gso) -> bool {
        let kind = match gso.kind {
            GsoType::None => true,
            GsoType::TcpV4 => self.tso4,
            GsoType::TcpV6 => self.tso6,
            GsoType::UdpL4 => self.uso,
        };
        // No device here knows of Accurate ECN (NETIF_F_GSO_ACCECN).
        kind && (self.tso_ecn || !gso.ecn) && (self.tso_mangleid || !gso.fixed_id) && !gso.accecn
    }
}

impl Stack {
    /// `ethtool -k`: what the device does, as far as it was not switched off; `None` without such a device.
    pub fn features(&self, dev: IfIndex) -> Option<NetFeatures> {
        Some(self.device(dev)?.features)
    }

    /// `ethtool -K`: switches features off, and on again if the device has them (GRO: always). Segmentation in hardware needs
    /// scatter/gather and checksums. Returns what is on now. `rx_csum` says what the driver does; switching it off changes nothing here.
    pub fn set_features(
        &mut self,
        dev: IfIndex,
        wanted: NetFeatures,
    ) -> Result<NetFeatures, StackError> {
        let device = self.device_mut(dev).ok_or(StackError::NoDevice(dev))?;
        device.features = wanted.within(device.ops.features());
        Ok(device.features)
    }
}

/// A driver. Packets start at the Ethernet header, without FCS, in both directions.
pub trait NetDeviceOps {
    /// Queues a frame for transmission. `Err` is `NETDEV_TX_BUSY`: the packet comes back, and the stack stops sending until the next
    /// [`poll`](Self::poll) of this device.
    #[allow(clippy::result_large_err)]
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff>;

    /// No more frames follow for now (`xmit_more` ends): rings the doorbell if frames were queued since the last call.
    fn flush(&mut self);

    /// NAPI poll: appends at most `budget` received frames to `rx` and takes back the buffers of transmitted ones. Returns the number
    /// of frames received; less than `budget` says that there is no more.
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize;

    /// `napi_complete_done()`: interrupts on again. `false` when work arrived meanwhile: interrupts stay off and the device is polled
    /// again.
    fn complete(&mut self) -> bool;

    /// Pairs of a receive and a transmit queue that are in use, 1 to 64; asked once, when the device is added. With several, each has a NAPI
    /// instance of its own, and [`queue_mapping`](crate::skb::SkBuffFields::queue_mapping) says through which a packet is to leave.
    fn num_queues(&self) -> u16 {
        1
    }

    /// [`poll`](Self::poll) of the NAPI instance of queue pair `queue`, below [`num_queues`](Self::num_queues).
    fn poll_queue(&mut self, queue: u16, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let _ = queue;
        self.poll(budget, rx)
    }

    /// [`complete`](Self::complete) of the NAPI instance of queue pair `queue`.
    fn complete_queue(&mut self, queue: u16) -> bool {
        let _ = queue;
        self.complete()
    }

    /// After [`start_xmit`](Self::start_xmit) said busy: whether there is room again although no interrupt may come to say so
    /// (`netif_tx_wake_queue()`), e.g. because [`flush`](Self::flush) took sent frames back. Asked after each batch; the stack polls
    /// the device then.
    fn tx_ready(&self) -> bool {
        false
    }

    /// Whether there is carrier.
    fn link_up(&self) -> bool;

    /// Largest IP packet in bytes, Ethernet header not included, unless somebody sets another size.
    fn mtu(&self) -> u16;

    /// Largest size that [`mtu`](Self::mtu) can be set to (`max_mtu`). Buffers of [`tx_pool`](Self::tx_pool) hold such a packet.
    fn max_mtu(&self) -> u16 {
        self.mtu()
    }

    /// Its kind among virtual devices (`rtnl_link_ops.kind`, the word behind `ip link add … type`); `None` for hardware.
    fn link_kind(&self) -> Option<&'static str> {
        None
    }

    /// `ndo_set_mac_address()`: takes another MAC address; `false` when it cannot.
    fn set_mac(&mut self, mac: [u8; 6]) -> bool {
        let _ = mac;
        false
    }

    /// The device's MAC address.
    fn mac(&self) -> [u8; 6];

    /// What the device does on its own. Asked when the device is added and when features are switched.
    fn features(&self) -> NetFeatures;

    /// Buffers for packets made by this host; asked once, when the device is added. A buffer holds
    /// [`NET_SKB_PAD`](crate::skb::NET_SKB_PAD) + 14 + MTU bytes. Packets in other buffers are copied into one of these (several if the
    /// device does `sg` and one is too small) before [`start_xmit`](Self::start_xmit).
    fn tx_pool(&self) -> PagePool;
}

/// Lets the owner keep a handle on a driver that the stack uses, e.g. to deliver interrupts to it.
impl<T: NetDeviceOps + ?Sized> NetDeviceOps for Rc<RefCell<T>> {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.borrow_mut().start_xmit(skb)
    }
    fn flush(&mut self) {
        self.borrow_mut().flush();
    }
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        self.borrow_mut().poll(budget, rx)
    }
    fn complete(&mut self) -> bool {
        self.borrow_mut().complete()
    }
    fn num_queues(&self) -> u16 {
        self.borrow().num_queues()
    }
    fn poll_queue(&mut self, queue: u16, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        self.borrow_mut().poll_queue(queue, budget, rx)
    }
    fn complete_queue(&mut self, queue: u16) -> bool {
        self.borrow_mut().complete_queue(queue)
    }
    fn tx_ready(&self) -> bool {
        self.borrow().tx_ready()
    }
    fn link_up(&self) -> bool {
        self.borrow().link_up()
    }
    fn mtu(&self) -> u16 {
        self.borrow().mtu()
    }
    fn max_mtu(&self) -> u16 {
        self.borrow().max_mtu()
    }
    fn set_mac(&mut self, mac: [u8; 6]) -> bool {
        self.borrow_mut().set_mac(mac)
    }
    fn mac(&self) -> [u8; 6] {
        self.borrow().mac()
    }
    fn features(&self) -> NetFeatures {
        self.borrow().features()
    }
    fn tx_pool(&self) -> PagePool {
        self.borrow().tx_pool()
    }
}

/// Queue pairs that a device may have.
const MAX_QUEUES: usize = 64;

/// Where a NAPI instance is between its interrupt and the end of its poll (`NAPI_STATE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NapiState {
    /// Interrupts are on.
    Idle,
    /// On the poll list.
    Scheduled,
    /// Being polled.
    Polling,
    /// Being polled, and to be polled again (`NAPI_STATE_MISSED`).
    Missed,
}

/// What is behind a device (`rtnl_link_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    /// A driver, or `lo`.
    Driver,
    /// An ifb: frames come back from it and go on where they were redirected.
    Ifb,
    /// Takes everything and does nothing with it.
    Dummy,
    /// The frames of another device that have this tag.
    Vlan {
        /// That device.
        lower: IfIndex,
        /// Which tag: EtherType in host byte order.
        proto: u16,
        /// VLAN id, 0 to 4094.
        id: u16,
    },
    /// One end of a wire.
    Veth {
        /// The other.
        peer: IfIndex,
    },
    /// Deleted: only the number is left, so that no other device gets it.
    Gone,
}

/// `IFF_*` that are set by hand and change nothing but lists, if nothing is said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkFlags {
    /// `IFF_NOARP`: whom a packet is for need not be found out; ARP is neither sent nor read.
    pub noarp: bool,
    /// `IFF_MULTICAST`.
    pub multicast: bool,
    /// `IFF_PROMISC`: the stack looks at the address of each frame anyway.
    pub promisc: bool,
    /// `IFF_ALLMULTI`.
    pub allmulti: bool,
}

/// A device as the stack sees it (`struct net_device`).
pub(crate) struct NetDevice {
    pub name: String,
    pub index: IfIndex,
    pub ops: Box<dyn NetDeviceOps>,
    pub mac: [u8; 6],
    /// `IFF_UP`.
    pub up: bool,
    /// There is carrier, as far as the other end of a veth decides (`__LINK_STATE_NOCARRIER`).
    pub carrier: bool,
    /// What `ip link set mtu` made of the driver's MTU; at most its largest.
    pub mtu: Option<u16>,
    pub features: NetFeatures,
    pub pool: PagePool,
    pub stats: LinkStats,
    /// What waits in front of the driver, and in which order it goes.
    pub qdisc: TxQueue,
    /// Filters where packets enter and leave.
    pub clsact: Option<Box<Clsact>>,
    pub kind: DeviceKind,
    pub flags: LinkFlags,
    /// `ip link set group`; 0: default.
    pub group: u32,
    /// `ip link set alias`; empty: none.
    pub alias: String,
    /// `tx_queue_len`: packets.
    pub tx_queue_len: usize,
    /// The driver said busy, or `no_page`; nothing is sent until its next poll.
    pub tx_stopped: bool,
    /// The queue stopped because the pool was empty: no interrupt of the device need come when it no longer is.
    pub no_page: bool,
    /// When the queue is tried again for that reason, if nothing does so before.
    pub tx_retry: Option<Ps>,
    /// Frames were handed to the driver since its last `flush`.
    pub needs_flush: bool,
    /// The program that sees received frames first.
    pub xdp: Option<Box<XdpProgram>>,
    /// Its NAPI instances' parts in the receive softirq, by queue pair; one at least.
    pub napi: Box<[NapiState]>,
}

impl NetDevice {
    /// `rtnl_link_ops.kind`.
    pub fn link_kind(&self) -> Option<&'static str> {
        match self.kind {
            DeviceKind::Driver => self.ops.link_kind(),
            DeviceKind::Ifb => Some("ifb"),
            DeviceKind::Dummy => Some("dummy"),
            DeviceKind::Vlan { .. } => Some("vlan"),
            DeviceKind::Veth { .. } => Some("veth"),
            DeviceKind::Gone => None,
        }
    }

    /// Pairs of queues (`real_num_tx_queues`).
    pub fn num_queues(&self) -> u16 {
        self.napi.len() as u16
    }

    /// Up, and with carrier: frames can be sent.
    pub fn is_running(&self) -> bool {
        self.up && self.has_carrier()
    }

    /// `netif_carrier_ok()`.
    pub fn has_carrier(&self) -> bool {
        self.carrier && self.ops.link_up()
    }

    /// What is sent is received again, through this device: by software, so that any buffer will do.
    pub fn comes_back_through(&self) -> Option<IfIndex> {
        match self.kind {
            DeviceKind::Veth { peer } => Some(peer),
            _ if self.index == IfIndex::LO => Some(self.index),
            _ => None,
        }
    }

    pub fn new(
        name: String,
        index: IfIndex,
        kind: DeviceKind,
        ops: Box<dyn NetDeviceOps>,
        qdisc: TxQueue,
    ) -> Self {
        let (mac, features, pool) = (ops.mac(), ops.features(), ops.tx_pool());
        let queues = usize::from(ops.num_queues()).clamp(1, MAX_QUEUES);
        Self {
            name,
            index,
            ops,
            mac,
            // What a command makes is brought up by another one; an ifb comes up by itself.
            up: matches!(kind, DeviceKind::Driver | DeviceKind::Ifb),
            carrier: true,
            mtu: None,
            features,
            pool,
            stats: LinkStats::default(),
            qdisc,
            clsact: None,
            kind,
            flags: LinkFlags {
                noarp: matches!(kind, DeviceKind::Ifb | DeviceKind::Dummy),
                multicast: !matches!(kind, DeviceKind::Ifb | DeviceKind::Dummy),
                promisc: false,
                allmulti: false,
            },
            group: 0,
            alias: String::new(),
            tx_queue_len: match kind {
                DeviceKind::Ifb => crate::sched::IFB_TX_QUEUE_LEN,
                _ => TX_QUEUE_LEN,
            },
            tx_stopped: false,
            no_page: false,
            tx_retry: None,
            needs_flush: false,
            xdp: None,
            napi: vec![NapiState::Idle; queues].into(),
        }
    }
}
