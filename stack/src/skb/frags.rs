//! Packets in several pieces: a linear part and fragments (`skb_frag_t`).

use super::buf::Buf;
use super::{CsumState, SkBuff, SkBuffFields, frag_lists};
use crate::checksum;
use crate::page_pool::{PagePool, SharedPage};

/// Fragments that a driver has to take and may build (`CONFIG_MAX_SKB_FRAGS`). What GRO merged can have more, where Linux has a list of
/// packets (`frag_list`); such packets are put in fewer pieces before a driver gets them.
pub const MAX_SKB_FRAGS: usize = 17;

/// A part of a buffer that belongs to a packet, perhaps to others too.
#[derive(Clone)]
pub struct Frag {
    pub(super) buf: Buf,
    offset: usize,
    len: usize,
}

/// A run of bytes as a device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaSegment {
    /// Bus address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub len: usize,
}

impl Frag {
    /// `len` bytes of `page` from `offset` on, both cut to what the page holds.
    pub fn new(page: SharedPage, offset: usize, len: usize) -> Self {
        Self::in_buf(Buf::Page(page), offset, len)
    }

    /// Bytes that no device reaches.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self::in_buf(Buf::heap(bytes), 0, len)
    }

    fn in_buf(buf: Buf, offset: usize, len: usize) -> Self {
        let offset = offset.min(buf.size());
        let len = len.min(buf.size() - offset);
        Self { buf, offset, len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.buf
            .bytes()
            .get(self.offset..self.offset + self.len)
            .unwrap_or_default()
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn truesize(&self) -> usize {
        self.buf.size()
    }

    fn dma(&self) -> Option<DmaSegment> {
        let addr = self.buf.bus_addr()? + self.offset as u64;
        Some(DmaSegment {
            addr,
            len: self.len,
        })
    }
}

impl SkBuff {
    /// `skb_is_nonlinear()`: whether [`data`](Self::data) is not all.
    #[inline]
    pub fn is_nonlinear(&self) -> bool {
        self.data_len > 0
    }

    /// Number of fragments.
    pub fn nr_frags(&self) -> usize {
        self.frags.len()
    }

    /// Appends bytes of another buffer without a copy (`skb_add_rx_frag()`).
    pub fn add_frag(&mut self, frag: Frag) {
        if !frag.is_empty() {
            self.data_len += frag.len;
            frag_lists::reserve(&mut self.frags, 1);
            self.frags.push(frag);
        }
    }

    /// Appends what `other` holds from `offset` on; its buffers go along (`skb_gro_receive()`). `other` must be at least that long.
    pub fn append(&mut self, other: &mut SkBuff, offset: usize) {
        if other.pskb_pull(offset).is_none() {
            return;
        }
        let head = std::mem::replace(&mut other.head, Buf::None);
        self.add_frag(Frag::in_buf(head, other.data, other.headlen));
        for frag in other.frags.drain(..) {
            self.add_frag(frag);
        }
        (other.data, other.headlen, other.data_len) = (0, 0, 0);
    }

    /// The packet's bytes from [`data`](Self::data) on, piece by piece, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.data()).chain(self.frags.iter().map(Frag::bytes))
    }

    /// All bytes in a vector of their own.
    pub fn to_vec(&self) -> Vec<u8> {
        self.segments().flatten().copied().collect()
    }

    /// Bus address of the first data byte; `None` when a device cannot reach the linear part.
    pub fn dma_addr(&self) -> Option<u64> {
        Some(self.head.bus_addr()? + self.data as u64)
    }

    /// What a device is to read for this packet, in order: the linear part and the fragments. `None` among them: a piece that no device
    /// reaches.
    pub fn dma_segments(&self) -> impl Iterator<Item = Option<DmaSegment>> + '_ {
        let head = self.dma_addr().map(|addr| DmaSegment {
            addr,
            len: self.headlen,
        });
        std::iter::once(head).chain(self.frags.iter().map(Frag::dma))
    }

    /// Whether all of the packet is in pages of `pool`.
    pub fn is_in(&self, pool: &PagePool) -> bool {
        self.is_in_any(std::slice::from_ref(pool))
    }

    /// Whether each piece of the packet is in a page of one of `pools`.
    #[inline]
    pub fn is_in_any(&self, pools: &[PagePool]) -> bool {
        let owned = |buf: &Buf| pools.iter().any(|pool| buf.is_in(pool));
        owned(&self.head) && self.frags.iter().all(|frag| owned(&frag.buf))
    }

    /// `skb_copy_bits()`: copies `to.len()` bytes from `offset` on. `None` (and `to` undefined) when there are fewer.
    pub fn skb_copy_bits(&self, offset: usize, to: &mut [u8]) -> Option<()> {
        let mut filled = 0;
        for part in self.range(offset, to.len()) {
            to.get_mut(filled..filled + part.len())?
                .copy_from_slice(part);
            filled += part.len();
        }
        (filled == to.len()).then_some(())
    }

    /// The pieces of `len` bytes from `offset` on, or of as many as there are.
    pub(crate) fn range(&self, offset: usize, len: usize) -> impl Iterator<Item = &[u8]> {
        let (mut skip, mut left) = (offset, len);
        self.segments().filter_map(move |segment| {
            let start = skip.min(segment.len());
            let end = (start + left).min(segment.len());
            skip -= start;
            left -= end - start;
            (end > start).then(|| &segment[start..end])
        })
    }

    /// `skb_checksum()`: one's-complement sum of `len` bytes from `offset` on, the first one being the high byte of a word; of fewer when
    /// there are fewer.
    pub fn skb_checksum(&self, offset: usize, len: usize) -> u32 {
        let (mut sum, mut odd) = (0, false);
        for part in self.range(offset, len) {
            sum = checksum::block_add(sum, checksum::sum(part), odd);
            odd ^= part.len() % 2 == 1;
        }
        sum
    }

    /// `pskb_may_pull()`: makes at least the first `len` bytes linear. `false` when the packet is shorter.
    #[inline]
    pub fn pskb_may_pull(&mut self, len: usize) -> bool {
        len <= self.headlen || (len <= self.len() && self.pull_tail(len - self.headlen))
    }

    /// `skb_linearize()`: makes all bytes linear.
    pub fn skb_linearize(&mut self) {
        self.pskb_may_pull(self.len());
    }

    /// `__pskb_pull_tail()`: moves `delta` bytes from the fragments to the linear part; there must be so many.
    fn pull_tail(&mut self, delta: usize) -> bool {
        let end = self.data + self.headlen;
        if end + delta > self.head.size() || !self.head.is_unique() {
            self.pskb_expand_head(0, delta);
        }
        let fields: &mut SkBuffFields = self;
        let Some(mut to) = fields.head.bytes_mut().get_mut(end..end + delta) else {
            return false;
        };
        for frag in &fields.frags {
            let from = frag.bytes();
            let n = from.len().min(to.len());
            let (now, later) = to.split_at_mut(n);
            now.copy_from_slice(&from[..n]);
            to = later;
        }
        self.drop_front(delta);
        self.headlen += delta;
        true
    }

    /// Takes `n` bytes off the front of the fragments.
    fn drop_front(&mut self, mut n: usize) {
        self.data_len -= n.min(self.data_len);
        let mut gone = 0;
        for frag in &mut self.frags {
            let cut = frag.len.min(n);
            frag.offset += cut;
            frag.len -= cut;
            n -= cut;
            if frag.len > 0 {
                break;
            }
            gone += 1;
        }
        self.frags.drain(..gone);
    }

    /// `pskb_pull()` without making anything linear: removes `n` bytes at the front, wherever they are. `None` (and nothing changed) when
    /// there are fewer.
    pub fn pskb_pull(&mut self, n: usize) -> Option<()> {
        if n > self.len() {
            return None;
        }
        let linear = n.min(self.headlen);
        self.drop_front(n - linear);
        self.pull(linear)
    }

    /// `pskb_trim_rcsum()`: cuts the packet to `len` bytes; longer than it is: nothing happens. A checksum over the whole
    /// ([`CsumState::Complete`]) loses what was cut off.
    pub fn trim(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        if let CsumState::Complete(sum) = self.csum {
            let cut = self.skb_checksum(len, self.len() - len);
            self.csum = CsumState::Complete(checksum::block_sub(sum, cut, len % 2 == 1));
        }
        if len <= self.headlen {
            self.headlen = len;
            self.frags.clear();
            self.data_len = 0;
            return;
        }
        let mut left = len - self.headlen;
        self.data_len = left;
        self.frags.retain(|frag| {
            frag.len = frag.len.min(left);
            left -= frag.len;
            frag.len > 0
        });
    }

    /// Bytes `offset..offset + len` as a fragment list that refers to this packet's buffers (`skb_segment()`); fewer when there are fewer.
    pub fn share_range(&self, offset: usize, len: usize, into: &mut SkBuff) {
        let (mut skip, mut left) = (offset, len);
        let head = (&self.head, self.data, self.headlen);
        let frags = self.frags.iter().map(|f| (&f.buf, f.offset, f.len));
        for (buf, at, size) in std::iter::once(head).chain(frags) {
            let start = skip.min(size);
            let end = (start + left).min(size);
            skip -= start;
            left -= end - start;
            if end > start {
                into.add_frag(Frag::in_buf(buf.clone(), at + start, end - start));
            }
        }
    }
}
