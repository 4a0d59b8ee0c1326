//! Memory that packets lie in, alone or together.

use crate::page_pool::{PagePool, SharedPage};
use std::cell::RefCell;
use std::sync::Arc;

/// Unused heap buffers that a thread keeps, at most.
const KEPT: usize = 32;
/// Larger ones are given back to the allocator; a packet is shorter than 64 KiB.
const LARGEST: usize = 1 << 17;

thread_local! {
    /// Heap buffers without an owner. What it holds cannot be seen: it only spares the allocator a visit per packet.
    static UNUSED: RefCell<Vec<Arc<Vec<u8>>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer and one reference to it.
#[derive(Clone)]
pub(super) enum Buf {
    /// No memory.
    None,
    /// A buffer of a pool.
    Page(SharedPage),
    /// Heap memory, which no device reaches.
    Heap(Arc<Vec<u8>>),
}

impl Buf {
    pub fn heap(bytes: Vec<u8>) -> Self {
        Buf::Heap(Arc::new(bytes))
    }

    /// `size` bytes of heap, all 0.
    pub fn zeroed(size: usize) -> Self {
        let unused = UNUSED.try_with(|unused| unused.borrow_mut().pop());
        let Ok(Some(mut unused)) = unused else {
            return Self::heap(vec![0; size]);
        };
        if let Some(bytes) = Arc::get_mut(&mut unused) {
            bytes.clear();
            bytes.resize(size, 0);
        }
        Buf::Heap(unused)
    }

    /// Gives up the reference; if it was the last one to heap memory, that is kept for another packet.
    #[inline]
    pub fn recycle(&mut self) {
        let Buf::Heap(bytes) = self else { return };
        if Arc::get_mut(bytes).is_none_or(|bytes| bytes.capacity() > LARGEST) {
            return;
        }
        let Buf::Heap(bytes) = std::mem::replace(self, Buf::None) else {
            return;
        };
        // While the thread ends there is no store any more.
        let _ = UNUSED.try_with(|unused| {
            let mut unused = unused.borrow_mut();
            if unused.len() < KEPT {
                unused.push(bytes);
            }
        });
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Buf::None => &[],
            Buf::Page(page) => page.as_slice(),
            Buf::Heap(vec) => vec,
        }
    }

    /// Whether nobody else has a reference.
    #[inline]
    pub fn is_unique(&mut self) -> bool {
        match self {
            Buf::None => true,
            Buf::Page(page) => page.is_unique(),
            Buf::Heap(vec) => Arc::get_mut(vec).is_some(),
        }
    }

    /// The bytes, writable; nothing when they are shared.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Buf::None => &mut [],
            Buf::Page(page) => page.get_mut().unwrap_or_default(),
            Buf::Heap(vec) => Arc::get_mut(vec).map_or(&mut [], Vec::as_mut_slice),
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Buf::None => 0,
            Buf::Page(page) => page.len(),
            Buf::Heap(vec) => vec.len(),
        }
    }

    /// Bus address of the first byte; `None` when a device cannot reach the buffer.
    pub fn bus_addr(&self) -> Option<u64> {
        match self {
            Buf::Page(page) => page.bus_addr(),
            Buf::None | Buf::Heap(_) => None,
        }
    }

    pub fn is_in(&self, pool: &PagePool) -> bool {
        matches!(self, Buf::Page(page) if pool.owns_shared(page))
    }

    pub fn is_scarce(&self) -> bool {
        matches!(self, Buf::Page(page) if page.pool_is_scarce())
    }
}
