//! `SkBuff`: one packet, with the marks that the layers leave on it.
//!
//! ```text
//! head                 data                          tail            end
//!  |<---- headroom ---->|<--------- headlen --------->|<- tailroom -->|
//!                       |<- - - - - - - - - - - - len - - - - - - - - - - - - ->|
//!                                                     + frags: parts of other buffers
//! ```
//!
//! Headers are removed with [`SkBuff::pull`] on the way up and added with [`SkBuff::push`] on the way down; the bytes never move. A buffer
//! is a [`Page`] (which a device can reach) or a heap vector. What merges packets (GRO, devices with several buffers per frame) hangs
//! the further bytes on as fragments: [`data`](SkBuff::data) shows the linear part only, [`pskb_may_pull`](SkBuff::pskb_may_pull)
//! makes it longer.
//!
//! Buffers can belong to several packets ([`SkBuff::skb_clone`]). Whoever writes gets a copy of its own first, whether it asked for one
//! ([`SkBuff::skb_cow`]) or not; so a packet's bytes never change behind its back.

mod buf;
mod csum;
mod frag_lists;
mod frags;
mod head;
mod meta;
mod share;

pub use frags::{DmaSegment, Frag, MAX_SKB_FRAGS};
pub use head::SkBuff;
pub(crate) use meta::SoftSum;
pub use meta::{CsumState, Gso, GsoType, IfIndex, PacketId, PktType, Vlan};

use crate::Ps;
use crate::fib::Route;
use crate::ipv4::options::IpOptions;
use crate::netfilter::conntrack::NfCt;
use crate::page_pool::{Page, PagePool};
use crate::reassembly::Pieces;
use crate::socket::SocketId;
use buf::Buf;
use frag_lists::Frags;
use std::fmt;

/// Bytes of headroom in locally built packets, before the Ethernet header: room for a `virtio_net_hdr` (12 bytes) and alignment, as
/// `NET_SKB_PAD`.
pub const NET_SKB_PAD: usize = 64;

/// What Linux accounts per buffer besides its bytes: about `sizeof(struct sk_buff)` plus `struct skb_shared_info`.
const SKB_OVERHEAD: usize = 576;

/// The fields of an [`SkBuff`] (`struct sk_buff`), with Linux's names and meaning; the buffer is reached through its methods, which cannot
/// panic.
pub struct SkBuffFields {
    head: Buf,
    /// Start of data in `head`.
    data: usize,
    /// Bytes of data in `head`.
    headlen: usize,
    /// Bytes of data in `frags`.
    data_len: usize,
    frags: Frags,
    mac_header: usize,
    network_header: usize,
    transport_header: usize,
    /// Device that received it, or that it leaves through. 0 = none yet.
    pub dev: IfIndex,
    /// Device that received it (`skb_iif`), unchanged when it is forwarded. 0 = locally made.
    pub iif: IfIndex,
    /// EtherType in host byte order, VLAN tag already removed.
    pub protocol: u16,
    /// To whom the frame was addressed.
    pub pkt_type: PktType,
    /// Packet mark, set and read by hooks; selects routes.
    pub mark: u32,
    /// Queueing priority, 0 by default.
    pub priority: u32,
    /// Flow hash reported by the device; 0 = none.
    pub hash: u32,
    /// Receive queue that it came from, counted from 1 (`skb_record_rx_queue()`); 0 = not recorded.
    pub rx_queue: u16,
    /// Transmit queue that was chosen for it (`skb_get_queue_mapping()`), counted from 0.
    pub queue_mapping: u16,
    /// What is known of the transport checksum.
    pub csum: CsumState,
    /// With [`CsumState::Unnecessary`]: checksums that were verified besides the first, 0 to 3 (`csum_level`).
    pub csum_level: u8,
    /// Software verified the checksum that is current (`csum_valid`).
    pub csum_valid: bool,
    /// What connection tracking's sum over the packet is worth.
    pub(crate) soft_sum: SoftSum,
    /// Segmentation wanted on transmit, or done by the device on receive.
    pub gso: Gso,
    /// VLAN tag taken out of the frame on receive.
    pub vlan: Option<Vlan>,
    /// Time when the driver took it from the ring or the host made it.
    pub tstamp: Ps,
    /// Number of the packet in this stack, for traces; [`PacketId::NONE`] until the stack gave it one.
    pub id: PacketId,
    /// The packet that this one answers or is a part of; [`PacketId::NONE`] otherwise.
    pub parent: PacketId,
    /// The connection that it belongs to (`_nfct`); `None`: not tracked yet, or invalid.
    pub nfct: Option<NfCt>,
    /// Rules that it matches are reported (`nf_trace`, set by `meta nftrace set 1`).
    pub nf_trace: bool,
    /// The route that was chosen for it.
    pub dst: Option<Route>,
    /// It came with an IPv6 fragment header (`IP6SKB_FRAGMENTED`).
    pub(crate) fragmented: bool,
    /// A socket that lets it be fragmented on this host made it, whatever its don't-fragment bit says (`ignore_df`).
    pub(crate) ignore_df: bool,
    /// The fragments that it was put together from, for the way out (`frag_max_size`, `frag_list`).
    pub(crate) pieces: Option<Box<Pieces>>,
    /// A mirred action redirected it (`redirected`); true: while it was being received (`from_ingress`).
    pub(crate) redirected: Option<bool>,
    /// The packet socket that sent it (`sk`).
    pub(crate) sk: Option<SocketId>,
    /// It comes back from an ifb: classifiers have seen it (`tc_skip_classify`).
    pub(crate) tc_skip_classify: bool,
    /// tc is sending it on, or it comes back from an ifb: netfilter's egress hook has seen it, or is not to (`nf_skip_egress`).
    pub(crate) nf_skip_egress: bool,
    /// What its IPv4 options ask for, once routing looked at them (`IPCB(skb)->opt`).
    pub(crate) opt: IpOptions,
}

impl SkBuffFields {
    /// Those of a packet without bytes and without a buffer.
    pub const EMPTY: Self = Self {
        head: Buf::None,
        data: 0,
        headlen: 0,
        data_len: 0,
        frags: Frags::new_const(),
        mac_header: 0,
        network_header: 0,
        transport_header: 0,
        dev: IfIndex::NONE,
        iif: IfIndex::NONE,
        protocol: 0,
        pkt_type: PktType::Host,
        mark: 0,
        priority: 0,
        hash: 0,
        rx_queue: 0,
        queue_mapping: 0,
        csum: CsumState::None,
        csum_level: 0,
        csum_valid: false,
        soft_sum: SoftSum::None,
        gso: Gso::NONE,
        vlan: None,
        tstamp: 0,
        id: PacketId::NONE,
        parent: PacketId::NONE,
        nfct: None,
        nf_trace: false,
        dst: None,
        fragmented: false,
        ignore_df: false,
        pieces: None,
        redirected: None,
        sk: None,
        tc_skip_classify: false,
        nf_skip_egress: false,
        opt: IpOptions::NONE,
    };
}

impl SkBuff {
    #[inline]
    fn with_head(head: Buf, data: usize, len: usize) -> Self {
        let data = data.min(head.size());
        let headlen = len.min(head.size() - data);
        let mut skb = Self::new();
        let fields: &mut SkBuffFields = &mut skb;
        fields.head = head;
        (fields.data, fields.headlen) = (data, headlen);
        fields.mac_header = data;
        fields.network_header = data;
        fields.transport_header = data;
        skb
    }

    /// `build_skb()`: makes a packet of a filled buffer without a copy. Data starts `headroom` bytes into the page and is `len` bytes
    /// long; both are cut to what the page holds.
    pub fn build(page: Page, headroom: usize, len: usize) -> Self {
        Self::with_head(Buf::Page(page.share()), headroom, len)
    }

    /// An empty packet (`len` 0) with `headroom` bytes before its data and room for at least `len` bytes, in a page of `pool` when it
    /// fits. `None` when it does not fit or the pool is empty.
    pub fn alloc(pool: &PagePool, headroom: usize, len: usize) -> Option<Self> {
        if headroom.checked_add(len)? > pool.buf_size() {
            return None;
        }
        let page = pool.alloc()?.share();
        Some(Self::with_head(Buf::Page(page), headroom, 0))
    }

    /// An empty packet on the heap with `headroom` bytes before and `len` bytes of tailroom. Not reachable by a device.
    pub fn alloc_heap(headroom: usize, len: usize) -> Self {
        let head = Buf::zeroed(headroom.saturating_add(len));
        Self::with_head(head, headroom, 0)
    }

    /// A packet that owns `bytes`, without headroom. Not reachable by a device.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self::with_head(Buf::heap(bytes), 0, len)
    }

    /// The packet's bytes from the current layer's header on, as far as they are in one piece; with fragments there are more
    /// ([`len`](Self::len), [`segments`](Self::segments)).
    #[inline]
    pub fn data(&self) -> &[u8] {
        self.head
            .bytes()
            .get(self.data..self.data + self.headlen)
            .unwrap_or_default()
    }

    /// The same bytes, writable; copied first if the buffer is shared.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let range = self.data..self.data + self.headlen;
        self.head_mut().get_mut(range).unwrap_or_default()
    }

    /// Length of the packet from [`data`](Self::data) on in bytes, fragments included.
    #[inline]
    pub fn len(&self) -> usize {
        self.headlen + self.data_len
    }

    /// Whether there are no data bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// It was put together from fragments, and leaves in such (`frag_max_size`).
    pub fn is_defragmented(&self) -> bool {
        self.pieces.is_some()
    }

    /// `skb_headlen()`: length of [`data`](Self::data) in bytes.
    #[inline]
    pub fn headlen(&self) -> usize {
        self.headlen
    }

    /// Bytes that [`push`](Self::push) can add in front.
    pub fn headroom(&self) -> usize {
        self.data
    }

    /// Bytes that [`put`](Self::put) can add behind; 0 with fragments.
    pub fn tailroom(&self) -> usize {
        if self.is_nonlinear() {
            return 0;
        }
        self.head.size() - self.data - self.headlen
    }

    /// Grows the data by `n` bytes at the front and returns them; `None` (and nothing changed) without enough headroom.
    #[inline]
    pub fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        self.data = self.data.checked_sub(n)?;
        self.headlen += n;
        self.data_mut().get_mut(..n)
    }

    /// Removes `n` bytes at the front; `None` (and nothing changed) when [`data`](Self::data) has fewer.
    #[inline]
    pub fn pull(&mut self, n: usize) -> Option<()> {
        self.headlen = self.headlen.checked_sub(n)?;
        self.data += n;
        Some(())
    }

    /// Grows the data by `n` bytes at the end and returns them (whatever the buffer held); `None` without enough tailroom.
    pub fn put(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let old = self.headlen;
        // Before the length grows: a copy of a shared buffer need not have the tail.
        self.head_mut();
        if n > self.tailroom() {
            return None;
        }
        self.headlen += n;
        self.data_mut().get_mut(old..)
    }

    /// Appends a copy of `bytes`; `None` (and nothing changed) without enough tailroom.
    pub fn put_slice(&mut self, bytes: &[u8]) -> Option<()> {
        self.put(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    /// Bytes of memory that the packet occupies, as socket buffers count them (`truesize`): whole buffers, even where others share them.
    pub fn truesize(&self) -> usize {
        let frags: usize = self.frags.iter().map(Frag::truesize).sum();
        self.head.size() + SKB_OVERHEAD + frags
    }

    /// A copy of the packet in a page of `pool` with at least `headroom` bytes before the data; `None` when it does not fit or the
    /// pool is empty. Header positions and all fields are kept; the copy has no fragments.
    pub fn copy_into(&self, pool: &PagePool, headroom: usize) -> Option<Self> {
        let mut copy = Self::alloc(pool, headroom, self.len())?;
        self.skb_copy_bits(0, copy.put(self.len())?)?;
        copy.copy_meta(self);
        copy.copy_headers(self);
        Some(copy)
    }

    /// `skb_headers_offset_update()`: header positions relative to data as in `from`.
    fn copy_headers(&mut self, from: &SkBuff) {
        let moved = |position: usize| (position + self.data).saturating_sub(from.data);
        let (mac, network, transport) = (
            moved(from.mac_header),
            moved(from.network_header),
            moved(from.transport_header),
        );
        self.mac_header = mac;
        self.network_header = network;
        self.transport_header = transport;
    }

    /// Copies every field that describes the packet but not its bytes or header positions (`skb_copy_header`).
    pub fn copy_meta(&mut self, from: &SkBuff) {
        self.dev = from.dev;
        self.iif = from.iif;
        self.protocol = from.protocol;
        self.pkt_type = from.pkt_type;
        self.mark = from.mark;
        self.priority = from.priority;
        self.hash = from.hash;
        self.rx_queue = from.rx_queue;
        self.queue_mapping = from.queue_mapping;
        self.csum = from.csum;
        self.csum_level = from.csum_level;
        self.csum_valid = from.csum_valid;
        self.soft_sum = from.soft_sum;
        self.gso = from.gso;
        self.vlan = from.vlan;
        self.tstamp = from.tstamp;
        self.id = from.id;
        self.parent = from.parent;
        self.nfct = from.nfct;
        self.nf_trace = from.nf_trace;
        self.dst = from.dst;
        self.fragmented = from.fragmented;
        self.ignore_df = from.ignore_df;
        self.redirected = from.redirected;
        self.sk = from.sk;
        self.tc_skip_classify = from.tc_skip_classify;
        self.nf_skip_egress = from.nf_skip_egress;
        self.opt = from.opt;
    }

    /// Marks the current start of data as the Ethernet header.
    pub fn reset_mac_header(&mut self) {
        self.mac_header = self.data;
    }

    /// Marks the current start of data as the IP (or ARP) header.
    pub fn reset_network_header(&mut self) {
        self.network_header = self.data;
    }

    /// Marks the byte `offset` bytes into the data as the network header.
    pub fn set_network_header(&mut self, offset: usize) {
        self.network_header = self.data + offset;
    }

    /// Marks the byte `offset` bytes into the data as the transport header.
    pub fn set_transport_header(&mut self, offset: usize) {
        self.transport_header = self.data + offset;
    }

    /// Where the Ethernet header is: bytes from the start of data, negative when it was pulled.
    pub fn mac_offset(&self) -> isize {
        self.mac_header as isize - self.data as isize
    }

    /// Where the transport header is: bytes from the start of data, negative when it was pulled.
    pub fn transport_offset(&self) -> isize {
        self.transport_header as isize - self.data as isize
    }

    /// The bytes from the Ethernet header to the end of the linear data.
    pub fn mac_bytes(&self) -> &[u8] {
        self.bytes_from(self.mac_header)
    }

    /// The bytes from the network header to the end of the linear data, wherever data starts now.
    pub fn network_bytes(&self) -> &[u8] {
        self.bytes_from(self.network_header)
    }

    /// Where the network header is: bytes from the start of data, negative when it was pulled.
    pub fn network_offset(&self) -> isize {
        self.network_header as isize - self.data as isize
    }

    /// Moves the start of data back (or forth) to the network header.
    pub fn rewind_to_network(&mut self) {
        let end = self.data + self.headlen;
        self.data = self.network_header.min(end);
        self.headlen = end - self.data;
    }

    /// Moves the start of data back (or forth) to the Ethernet header.
    pub fn rewind_to_mac(&mut self) {
        let end = self.data + self.headlen;
        self.data = self.mac_header.min(end);
        self.headlen = end - self.data;
    }

    fn bytes_from(&self, start: usize) -> &[u8] {
        self.head
            .bytes()
            .get(start..self.data + self.headlen)
            .unwrap_or_default()
    }
}

impl fmt::Debug for SkBuff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SkBuff")
            .field("id", &self.id)
            .field("dev", &self.dev)
            .field("len", &self.len())
            .field("data_len", &self.data_len)
            .field("headroom", &self.headroom())
            .field("protocol", &format_args!("{:#06x}", self.protocol))
            .field("pkt_type", &self.pkt_type)
            .field("mark", &self.mark)
            .field("csum", &self.csum)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
