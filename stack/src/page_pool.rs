//! Recycled packet buffers of one size, as Linux's `page_pool`.
//!
//! A pool is a ring-friendly store of equal buffers in one contiguous memory: ordinary heap for tests and the loopback device, or
//! memory that a device reaches by DMA. A [`Page`] is the only owner of its buffer; dropping it gives the buffer back. Buffers are
//! handed out last-in first-out, so the one that is warm in the cache is used next and every run hands out the same ones.

use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store of `count` buffers of `buf_size` bytes each. Cloning it gives another handle on the same store.
#[derive(Clone)]
pub struct PagePool {
    inner: Arc<Inner>,
}

struct Inner {
    base: NonNull<u8>,
    bus_addr: Option<u64>,
    buf_size: usize,
    count: usize,
    /// Indices of the free buffers, the last one is used next.
    free: Mutex<Vec<u32>>,
    /// Keeps the memory behind `base` valid.
    _keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `base` is only dereferenced through a `Page`, and the free list (behind a mutex) hands each buffer to one `Page` at a time, so
// no two threads reach the same bytes. `_keep` is Send + Sync itself.
unsafe impl Send for Inner {}
// SAFETY: as above; shared access to `Inner` reads plain numbers and locks the mutex.
unsafe impl Sync for Inner {}

/// Heap memory of [`PagePool::heap`], held as a raw pointer so that no `Box` claims to be its only user.
struct HeapRegion(*mut [u8]);

// SAFETY: the region is only freed by its single owner; access goes through `Page`.
unsafe impl Send for HeapRegion {}
// SAFETY: a shared `HeapRegion` offers no access at all.
unsafe impl Sync for HeapRegion {}

impl Drop for HeapRegion {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw` in `PagePool::heap` and is freed once, here; every `Page` holds the pool and
        // with it this region, so none is left.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl PagePool {
    /// A pool of `count` zeroed buffers of `buf_size` bytes on the heap. They have no bus address: a device cannot reach them.
    pub fn heap(count: usize, buf_size: usize) -> Self {
        let region = Box::into_raw(vec![0u8; count * buf_size].into_boxed_slice());
        // A boxed slice is never null, even when it is empty.
        let base = NonNull::new(region.cast::<u8>()).unwrap_or(NonNull::dangling());
        Self::new(base, None, buf_size, count, Arc::new(HeapRegion(region)))
    }

    /// A pool over memory that a device reaches by DMA: `count` buffers of `buf_size` bytes from `ptr` on, the first at bus address
    /// `bus_addr`, the others behind it without a gap.
    ///
    /// # Safety
    /// `[ptr, ptr + count * buf_size)` stays valid for reads and writes as long as `keep` lives, and is used only through this pool
    /// and by the device. The device must not access a buffer while a [`Page`] lends it out as a slice: the driver hands a page to
    /// the device only while it holds the page itself.
    pub unsafe fn from_raw(
        ptr: NonNull<u8>,
        bus_addr: u64,
        buf_size: usize,
        count: usize,
        keep: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self::new(ptr, Some(bus_addr), buf_size, count, keep)
    }

    fn new(
        base: NonNull<u8>,
        bus_addr: Option<u64>,
        buf_size: usize,
        count: usize,
        keep: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        let count = count.min(u32::MAX as usize);
        let free = Mutex::new((0..count as u32).rev().collect());
        Self {
            inner: Arc::new(Inner {
                base,
                bus_addr,
                buf_size,
                count,
                free,
                _keep: keep,
            }),
        }
    }

    /// Takes a buffer; `None` when all are in use. Its bytes are what the last user left.
    pub fn alloc(&self) -> Option<Page> {
        let index = self.inner.free().pop()?;
        Some(Page {
            pool: Arc::clone(&self.inner),
            index,
        })
    }

    /// Number of free buffers.
    pub fn available(&self) -> usize {
        self.inner.free().len()
    }

    /// Number of buffers, free or not.
    pub fn count(&self) -> usize {
        self.inner.count
    }

    /// Size of one buffer in bytes.
    pub fn buf_size(&self) -> usize {
        self.inner.buf_size
    }

    /// Whether `page` came from this pool.
    pub fn owns(&self, page: &Page) -> bool {
        Arc::ptr_eq(&self.inner, &page.pool)
    }
}

impl Inner {
    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        // The list is consistent between any two operations on it, so a panic of another holder does no harm.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PagePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagePool")
            .field("count", &self.inner.count)
            .field("buf_size", &self.inner.buf_size)
            .field("available", &self.available())
            .finish()
    }
}

/// One buffer of a [`PagePool`]; goes back to the pool when dropped.
pub struct Page {
    pool: Arc<Inner>,
    index: u32,
}

impl Page {
    fn offset(&self) -> usize {
        self.index as usize * self.pool.buf_size
    }

    /// Address of the first byte as the device sees it; `None` for heap pools.
    pub fn bus_addr(&self) -> Option<u64> {
        self.pool.bus_addr.map(|base| base + self.offset() as u64)
    }

    /// Number of the buffer in its pool, 0-based; the same for the life of the pool.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Size in bytes, the pool's `buf_size`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pool.buf_size
    }

    /// Address of the first byte in this process, for handing the buffer to a device model.
    pub fn as_ptr(&self) -> NonNull<u8> {
        // SAFETY: index < count, so the offset stays inside the one allocation that `from_raw`'s contract or `heap` guarantees.
        unsafe { self.pool.base.add(self.offset()) }
    }

    /// The whole buffer.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the buffer is valid for `buf_size` bytes while the pool lives, and `self` is its only owner.
        unsafe { std::slice::from_raw_parts(self.as_ptr().as_ptr(), self.pool.buf_size) }
    }

    /// The whole buffer, writable.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr().as_ptr(), self.pool.buf_size) }
    }

    /// A handle on the pool that the page came from.
    pub fn pool(&self) -> PagePool {
        PagePool {
            inner: Arc::clone(&self.pool),
        }
    }

    /// Whether less than an eighth of the pool is free: who wants to keep this page for long had better copy it.
    pub fn pool_is_scarce(&self) -> bool {
        self.pool.free().len() < self.pool.count / 8
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.pool.free().push(self.index);
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("index", &self.index)
            .field("len", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_back_and_are_distinct() {
        let pool = PagePool::heap(2, 64);
        let mut a = pool.alloc().unwrap();
        let mut b = pool.alloc().unwrap();
        assert!(pool.alloc().is_none());
        a.as_mut_slice().fill(1);
        b.as_mut_slice().fill(2);
        assert!(a.as_slice().iter().all(|&x| x == 1));
        assert!(pool.owns(&a) && !PagePool::heap(1, 64).owns(&a));
        assert_eq!(a.bus_addr(), None);
        let index = a.index();
        drop(a);
        assert_eq!(pool.available(), 1);
        assert_eq!(pool.alloc().unwrap().index(), index);
    }

    #[test]
    fn bus_addresses_follow_the_buffers() {
        let mut memory = vec![0u64; 32];
        let ptr = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
        let keep: Arc<dyn Any + Send + Sync> = Arc::new(());
        // SAFETY: `memory` outlives the pool and its pages and is not touched otherwise.
        let pool = unsafe { PagePool::from_raw(ptr, 0x1000, 128, 2, keep) };
        let (a, b) = (pool.alloc().unwrap(), pool.alloc().unwrap());
        assert_eq!((a.bus_addr(), b.bus_addr()), (Some(0x1000), Some(0x1080)));
        drop((a, b, pool));
        drop(memory);
    }

    #[test]
    fn a_page_keeps_the_memory_alive() {
        let pool = PagePool::heap(1, 16);
        let mut page = pool.alloc().unwrap();
        drop(pool);
        page.as_mut_slice().fill(7);
        assert_eq!(page.as_slice(), [7; 16]);
    }
}
