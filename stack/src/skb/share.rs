//! Packets that share buffers, and what happens before one of them writes.

use super::buf::Buf;
use super::{Frag, MAX_SKB_FRAGS, SkBuff, frag_lists};
use crate::page_pool::PagePool;

impl SkBuff {
    /// `skb_clone()`: another packet over the same bytes. All fields and header positions are the same, the number too: who keeps both
    /// alive in the stack gives the clone one of its own.
    pub fn skb_clone(&self) -> SkBuff {
        let mut clone = Self::with_head(self.head.clone(), self.data, self.headlen);
        frag_lists::reserve(&mut clone.frags, self.frags.len());
        clone.frags.extend(self.frags.iter().cloned());
        clone.data_len = self.data_len;
        clone.copy_meta(self);
        clone.sk = None;
        clone.copy_headers(self);
        clone
    }

    /// `skb_copy()`: another packet with a copy of the bytes on the heap, in one piece, with the same headroom.
    pub fn skb_copy(&self) -> SkBuff {
        let mut copy = SkBuff::alloc_heap(self.data, self.len());
        copy.copy_meta(self);
        if let Some(to) = copy.put(self.len()) {
            // The same length: nothing is missing.
            let _ = self.skb_copy_bits(0, to);
        }
        if let (Some(to), Some(from)) = (
            copy.head.bytes_mut().get_mut(..self.data),
            self.head.bytes().get(..self.data),
        ) {
            to.copy_from_slice(from);
        }
        copy.copy_headers(self);
        copy
    }

    /// A copy of the packet in pages of `pool`: as much as fits in the first, after `headroom` bytes, the rest in fragments. `None` when
    /// it would take more than [`MAX_SKB_FRAGS`] of these, or there are not enough pages.
    pub fn copy_into_pages(&self, pool: &PagePool, headroom: usize) -> Option<SkBuff> {
        let first = self.len().min(pool.buf_size().checked_sub(headroom)?);
        if (self.len() - first).div_ceil(pool.buf_size().max(1)) > MAX_SKB_FRAGS {
            return None;
        }
        let mut copy = SkBuff::alloc(pool, headroom, first)?;
        self.skb_copy_bits(0, copy.put(first)?)?;
        while copy.len() < self.len() {
            let mut page = pool.alloc()?;
            let n = (self.len() - copy.len()).min(page.len());
            self.skb_copy_bits(copy.len(), page.as_mut_slice().get_mut(..n)?)?;
            copy.add_frag(Frag::new(page.share(), 0, n));
        }
        copy.copy_meta(self);
        copy.copy_headers(self);
        Some(copy)
    }

    /// `skb_header_cloned()`: whether the linear bytes belong to another packet too.
    pub fn is_cloned(&mut self) -> bool {
        !self.head.is_unique()
    }

    /// `skb_cow()`: makes sure that the linear bytes belong to this packet only and that at least `headroom` bytes are free before them.
    pub fn skb_cow(&mut self, headroom: usize) {
        if self.data < headroom {
            self.pskb_expand_head(headroom - self.data, 0);
        } else {
            self.head_mut();
        }
    }

    /// `skb_ensure_writable()`: makes the first `len` bytes linear and this packet's own. `false` when it is shorter than that.
    pub fn skb_ensure_writable(&mut self, len: usize) -> bool {
        if !self.pskb_may_pull(len) {
            return false;
        }
        self.head_mut();
        true
    }

    /// `pskb_expand_head()`: moves the linear part to a buffer with `front` more bytes before and `back` more bytes behind it. In the
    /// pool that the buffer came from if it fits and pages are left there, on the heap otherwise.
    pub(super) fn pskb_expand_head(&mut self, front: usize, back: usize) {
        let used = self.data + self.headlen;
        let size = (front + self.head.size()).max(front + used + back);
        let pool = match &self.head {
            Buf::Page(page) if !page.pool_is_scarce() => Some(page.pool()),
            _ => None,
        };
        let page = pool
            .filter(|pool| front + used + back <= pool.buf_size())
            .and_then(|pool| pool.alloc());
        let mut head = match page {
            Some(page) => Buf::Page(page.share()),
            None => Buf::zeroed(size),
        };
        if let (Some(to), Some(from)) = (
            head.bytes_mut().get_mut(front..front + used),
            self.head.bytes().get(..used),
        ) {
            to.copy_from_slice(from);
        }
        self.head = head;
        self.data += front;
        self.mac_header += front;
        self.network_header += front;
        self.transport_header += front;
    }

    /// The whole head buffer, writable: a copy of its own when it was shared.
    #[inline]
    pub(super) fn head_mut(&mut self) -> &mut [u8] {
        if !self.head.is_unique() {
            self.pskb_expand_head(0, 0);
        }
        self.head.bytes_mut()
    }

    /// The head buffer, writable, with the places in it where the linear data begins and ends.
    pub(crate) fn linear_buffer(&mut self) -> (&mut [u8], usize, usize) {
        let (start, end) = (self.data, self.data + self.headlen);
        (self.head_mut(), start, end)
    }

    /// Moves begin and end of the linear data to other places in the head buffer; both are cut to what there is. Data starts at the
    /// Ethernet header.
    pub(crate) fn set_linear(&mut self, start: usize, end: usize) {
        let end = end.min(self.head.size());
        self.data = start.min(end);
        self.headlen = end - self.data;
        self.reset_mac_header();
    }

    /// Moves the packet to the heap where its pools run low, so that a queue nobody reads cannot starve a device of buffers.
    pub fn detach_if_scarce(&mut self) {
        if self.head.is_scarce() {
            let end = self.data + self.headlen;
            // Headers before `data` stay: ICMP errors and socket addresses are taken from them.
            self.head = Buf::heap(self.head.bytes().get(..end).unwrap_or_default().to_vec());
        }
        for frag in &mut self.frags {
            if frag.buf.is_scarce() {
                *frag = Frag::from_vec(frag.bytes().to_vec());
            }
        }
    }
}
