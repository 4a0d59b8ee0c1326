//! `SkBuff`: one packet in one contiguous buffer, with the marks that the layers leave on it.
//!
//! ```text
//! head                 data                          tail            end
//!  |<---- headroom ---->|<----------- len ----------->|<- tailroom -->|
//! ```
//!
//! Headers are removed with [`SkBuff::pull`] on the way up and added with [`SkBuff::push`] on the way down; the bytes never move. The
//! buffer is a [`Page`] (which a device can reach) or a heap vector (reassembled or oversized datagrams, which are copied or
//! fragmented into pages before a device sees them).

mod meta;

pub use meta::{CsumState, Gso, GsoType, IfIndex, PacketId, PktType, Vlan};

use crate::Ps;
use crate::fib::Route;
use crate::page_pool::{Page, PagePool};
use std::fmt;

/// Bytes of headroom in locally built packets, before the Ethernet header: room for a `virtio_net_hdr` (12 bytes) and alignment, as
/// `NET_SKB_PAD`.
pub const NET_SKB_PAD: usize = 64;

/// What Linux accounts per buffer besides its bytes: about `sizeof(struct sk_buff)` plus `struct skb_shared_info`.
const SKB_OVERHEAD: usize = 576;

enum Head {
    Page(Page),
    Heap(Vec<u8>),
}

impl Head {
    fn bytes(&self) -> &[u8] {
        match self {
            Head::Page(page) => page.as_slice(),
            Head::Heap(vec) => vec,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Head::Page(page) => page.as_mut_slice(),
            Head::Heap(vec) => vec,
        }
    }

    fn size(&self) -> usize {
        match self {
            Head::Page(page) => page.len(),
            Head::Heap(vec) => vec.len(),
        }
    }
}

/// One packet. The public fields have Linux's names and meaning; the buffer is reached through methods that cannot panic.
pub struct SkBuff {
    head: Head,
    data: usize,
    len: usize,
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
    /// What is known of the transport checksum.
    pub csum: CsumState,
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
    /// The route that was chosen for it.
    pub dst: Option<Route>,
    /// It came with an IPv6 fragment header (`IP6SKB_FRAGMENTED`).
    pub(crate) fragmented: bool,
}

impl SkBuff {
    fn with_head(head: Head, data: usize, len: usize) -> Self {
        let data = data.min(head.size());
        let len = len.min(head.size() - data);
        Self {
            head,
            data,
            len,
            mac_header: data,
            network_header: data,
            transport_header: data,
            dev: IfIndex::NONE,
            iif: IfIndex::NONE,
            protocol: 0,
            pkt_type: PktType::Host,
            mark: 0,
            priority: 0,
            hash: 0,
            csum: CsumState::None,
            gso: Gso::default(),
            vlan: None,
            tstamp: 0,
            id: PacketId::NONE,
            parent: PacketId::NONE,
            dst: None,
            fragmented: false,
        }
    }

    /// `build_skb()`: makes a packet of a filled buffer without a copy. Data starts `headroom` bytes into the page and is `len` bytes
    /// long; both are cut to what the page holds.
    pub fn build(page: Page, headroom: usize, len: usize) -> Self {
        Self::with_head(Head::Page(page), headroom, len)
    }

    /// An empty packet (`len` 0) with `headroom` bytes before its data and room for at least `len` bytes, in a page of `pool` when it
    /// fits. `None` when it does not fit or the pool is empty.
    pub fn alloc(pool: &PagePool, headroom: usize, len: usize) -> Option<Self> {
        if headroom.checked_add(len)? > pool.buf_size() {
            return None;
        }
        Some(Self::with_head(Head::Page(pool.alloc()?), headroom, 0))
    }

    /// An empty packet on the heap with `headroom` bytes before and `len` bytes of tailroom. Not reachable by a device.
    pub fn alloc_heap(headroom: usize, len: usize) -> Self {
        Self::with_head(
            Head::Heap(vec![0; headroom.saturating_add(len)]),
            headroom,
            0,
        )
    }

    /// A packet that owns `bytes`, without headroom. Not reachable by a device.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self::with_head(Head::Heap(bytes), 0, len)
    }

    /// The packet's bytes from the current layer's header on.
    pub fn data(&self) -> &[u8] {
        self.head
            .bytes()
            .get(self.data..self.data + self.len)
            .unwrap_or_default()
    }

    /// The packet's bytes, writable.
    pub fn data_mut(&mut self) -> &mut [u8] {
        let range = self.data..self.data + self.len;
        self.head.bytes_mut().get_mut(range).unwrap_or_default()
    }

    /// Length of [`data`](Self::data) in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no data bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that [`push`](Self::push) can add in front.
    pub fn headroom(&self) -> usize {
        self.data
    }

    /// Bytes that [`put`](Self::put) can add behind.
    pub fn tailroom(&self) -> usize {
        self.head.size() - self.data - self.len
    }

    /// Grows the data by `n` bytes at the front and returns them; `None` (and nothing changed) without enough headroom.
    pub fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        self.data = self.data.checked_sub(n)?;
        self.len += n;
        self.data_mut().get_mut(..n)
    }

    /// Removes `n` bytes at the front; `None` (and nothing changed) when there are fewer.
    pub fn pull(&mut self, n: usize) -> Option<()> {
        self.len = self.len.checked_sub(n)?;
        self.data += n;
        Some(())
    }

    /// Grows the data by `n` bytes at the end and returns them (whatever the buffer held); `None` without enough tailroom.
    pub fn put(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let old = self.len;
        self.len += n;
        self.data_mut().get_mut(old..)
    }

    /// Appends a copy of `bytes`; `None` (and nothing changed) without enough tailroom.
    pub fn put_slice(&mut self, bytes: &[u8]) -> Option<()> {
        self.put(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    /// Cuts the data to `len` bytes; longer than it is: nothing happens. A checksum over the whole ([`CsumState::Complete`]) is void
    /// after that and forgotten, as in `pskb_trim_rcsum()`.
    pub fn trim(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            if let CsumState::Complete(_) = self.csum {
                self.csum = CsumState::None;
            }
        }
    }

    /// Bus address of the first data byte; `None` when a device cannot reach the buffer.
    pub fn dma_addr(&self) -> Option<u64> {
        match &self.head {
            Head::Page(page) => page.bus_addr().map(|base| base + self.data as u64),
            Head::Heap(_) => None,
        }
    }

    /// Whether the buffer is a page of `pool`.
    pub fn is_in(&self, pool: &PagePool) -> bool {
        matches!(&self.head, Head::Page(page) if pool.owns(page))
    }

    /// Bytes of memory that the packet occupies, as socket buffers count them (`truesize`).
    pub fn truesize(&self) -> usize {
        self.head.size() + SKB_OVERHEAD
    }

    /// Moves the packet to the heap when its pool runs low, so that a queue nobody reads cannot starve a device of buffers.
    pub fn detach_if_scarce(&mut self) {
        if matches!(&self.head, Head::Page(page) if page.pool_is_scarce()) {
            let end = self.data + self.len;
            // Headers before `data` stay: ICMP errors and socket addresses are taken from them.
            let copy = self.head.bytes().get(..end).unwrap_or_default().to_vec();
            self.head = Head::Heap(copy);
        }
    }

    /// A copy of the packet in a page of `pool` with at least `headroom` bytes before the data; `None` when it does not fit or the
    /// pool is empty. Header positions and all fields are kept.
    pub fn copy_into(&self, pool: &PagePool, headroom: usize) -> Option<Self> {
        let mut copy = Self::alloc(pool, headroom, self.len)?;
        copy.put_slice(self.data())?;
        copy.copy_meta(self);
        copy.mac_header = (self.mac_header + headroom).saturating_sub(self.data);
        copy.network_header = (self.network_header + headroom).saturating_sub(self.data);
        copy.transport_header = (self.transport_header + headroom).saturating_sub(self.data);
        Some(copy)
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
        self.csum = from.csum;
        self.gso = from.gso;
        self.vlan = from.vlan;
        self.tstamp = from.tstamp;
        self.id = from.id;
        self.parent = from.parent;
        self.dst = from.dst;
        self.fragmented = from.fragmented;
    }

    /// Marks the current start of data as the Ethernet header.
    pub fn reset_mac_header(&mut self) {
        self.mac_header = self.data;
    }

    /// Marks the current start of data as the IP (or ARP) header.
    pub fn reset_network_header(&mut self) {
        self.network_header = self.data;
    }

    /// Marks the byte `offset` bytes into the data as the transport header.
    pub fn set_transport_header(&mut self, offset: usize) {
        self.transport_header = self.data + offset;
    }

    /// The bytes from the Ethernet header to the end of data.
    pub fn mac_bytes(&self) -> &[u8] {
        self.bytes_from(self.mac_header)
    }

    /// The bytes from the network header to the end of data, wherever data starts now.
    pub fn network_bytes(&self) -> &[u8] {
        self.bytes_from(self.network_header)
    }

    /// Where the network header is: bytes from the start of data, negative when it was pulled.
    pub fn network_offset(&self) -> isize {
        self.network_header as isize - self.data as isize
    }

    /// Moves the start of data back (or forth) to the network header.
    pub fn rewind_to_network(&mut self) {
        let end = self.data + self.len;
        self.data = self.network_header.min(end);
        self.len = end - self.data;
    }

    fn bytes_from(&self, start: usize) -> &[u8] {
        self.head
            .bytes()
            .get(start..self.data + self.len)
            .unwrap_or_default()
    }
}

impl Default for SkBuff {
    /// An empty heap packet without memory: what `std::mem::take` leaves in place of a stolen packet.
    fn default() -> Self {
        Self::from_vec(Vec::new())
    }
}

impl fmt::Debug for SkBuff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SkBuff")
            .field("id", &self.id)
            .field("dev", &self.dev)
            .field("len", &self.len)
            .field("headroom", &self.headroom())
            .field("protocol", &format_args!("{:#06x}", self.protocol))
            .field("pkt_type", &self.pkt_type)
            .field("mark", &self.mark)
            .field("csum", &self.csum)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_and_go_without_moving_bytes() {
        let pool = PagePool::heap(1, 256);
        let mut skb = SkBuff::alloc(&pool, NET_SKB_PAD, 100).unwrap();
        skb.put_slice(b"payload").unwrap();
        skb.push(4).unwrap().copy_from_slice(b"head");
        assert_eq!(skb.data(), b"headpayload");
        assert_eq!(skb.headroom(), 60);
        skb.reset_network_header();
        skb.pull(4).unwrap();
        assert_eq!(skb.data(), b"payload");
        assert_eq!(skb.network_bytes(), b"headpayload");
        assert_eq!(skb.network_offset(), -4);
        skb.trim(3);
        assert_eq!(skb.data(), b"pay");
        skb.rewind_to_network();
        assert_eq!(skb.data(), b"headpay");
    }

    #[test]
    fn nothing_reaches_beyond_the_buffer() {
        let pool = PagePool::heap(1, 64);
        let mut skb = SkBuff::build(pool.alloc().unwrap(), 60, 100);
        assert_eq!((skb.len(), skb.tailroom()), (4, 0));
        assert!(skb.put(1).is_none());
        assert!(skb.push(61).is_none());
        assert!(skb.pull(5).is_none());
        assert_eq!(skb.len(), 4);
        assert!(SkBuff::alloc(&pool, 60, 5).is_none());
        assert_eq!(SkBuff::default().data(), b"");
    }

    #[test]
    fn a_scarce_pool_gets_its_page_back() {
        let pool = PagePool::heap(16, 64);
        let _held: Vec<_> = (0..14).map(|_| pool.alloc().unwrap()).collect();
        let mut skb = SkBuff::alloc(&pool, 16, 8).unwrap();
        skb.put_slice(b"abcdefgh").unwrap();
        skb.detach_if_scarce();
        assert_eq!((skb.data(), pool.available()), (b"abcdefgh".as_slice(), 2));
        assert_eq!(skb.headroom(), 16);
    }

    #[test]
    fn trimming_forgets_a_complete_checksum() {
        let mut skb = SkBuff::from_vec(vec![0; 8]);
        skb.csum = CsumState::Complete(1);
        skb.trim(8);
        assert_eq!(skb.csum, CsumState::Complete(1));
        skb.trim(4);
        assert_eq!(skb.csum, CsumState::None);
    }
}
