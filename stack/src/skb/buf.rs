//! Memory that packets lie in, alone or together.

use crate::page_pool::{PagePool, SharedPage};
use std::sync::Arc;

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
