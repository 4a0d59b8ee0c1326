//! Recycled packet buffers of one size, as Linux's `page_pool`.
//!
//! A pool is a ring-friendly store of equal buffers in one contiguous memory: ordinary heap for tests and the loopback device, or
//! memory that a device reaches by DMA. A [`Page`] is the only owner of its buffer, a [`SharedPage`] one of several; dropping the last
//! owner gives the buffer back. Buffers are handed out last-in first-out, so the one that is warm in the cache is used next and every
//! run hands out the same ones.

use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
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
    /// Owners of each buffer (`pp_ref_count`): 0 while it is free, 1 in a [`Page`].
    owners: Box<[AtomicU32]>,
    /// Keeps the memory behind `base` valid.
    _keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `base` is only dereferenced through a `Page` or `SharedPage`, and the free list (behind a mutex) hands each buffer to one `Page`
// at a time; bytes are written only while there is one owner, so no two threads reach bytes that one of them writes. `_keep` is Send +
// Sync itself.
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
                owners: (0..count).map(|_| AtomicU32::new(0)).collect(),
                _keep: keep,
            }),
        }
    }

    /// Takes a buffer; `None` when all are in use. Its bytes are what the last user left.
    pub fn alloc(&self) -> Option<Page> {
        let index = self.inner.free().pop()?;
        let shared = SharedPage {
            pool: Arc::clone(&self.inner),
            index,
        };
        shared.owners().store(1, Ordering::Relaxed);
        Some(Page(shared))
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
        self.owns_shared(&page.0)
    }

    /// Whether `page` came from this pool.
    pub fn owns_shared(&self, page: &SharedPage) -> bool {
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

/// One buffer of a [`PagePool`] with this as its only owner; goes back to the pool when dropped.
pub struct Page(SharedPage);

impl Page {
    /// Address of the first byte as the device sees it; `None` for heap pools.
    pub fn bus_addr(&self) -> Option<u64> {
        self.0.bus_addr()
    }

    /// Number of the buffer in its pool, 0-based; the same for the life of the pool.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// Size in bytes, the pool's `buf_size`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Address of the first byte in this process, for handing the buffer to a device model.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.0.as_ptr()
    }

    /// The whole buffer.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The whole buffer, writable.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: valid as in `SharedPage::as_slice`; `self` is the only owner, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr().as_ptr(), self.len()) }
    }

    /// A handle on the pool that the page came from.
    pub fn pool(&self) -> PagePool {
        self.0.pool()
    }

    /// Whether less than an eighth of the pool is free: who wants to keep this page for long had better copy it.
    pub fn pool_is_scarce(&self) -> bool {
        self.0.pool_is_scarce()
    }

    /// Gives up being the only owner: clones of what comes back refer to the same buffer.
    pub fn share(self) -> SharedPage {
        self.0
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("index", &self.index())
            .field("len", &self.len())
            .finish()
    }
}

/// One of the owners of a buffer (`get_page()`, `put_page()`). The bytes are read by all and written only through the last one.
pub struct SharedPage {
    pool: Arc<Inner>,
    index: u32,
}

impl SharedPage {
    fn offset(&self) -> usize {
        self.index as usize * self.pool.buf_size
    }

    fn owners(&self) -> &AtomicU32 {
        &self.pool.owners[self.index as usize]
    }

    /// Address of the first byte as the device sees it; `None` for heap pools.
    pub fn bus_addr(&self) -> Option<u64> {
        self.pool.bus_addr.map(|base| base + self.offset() as u64)
    }

    /// Size in bytes, the pool's `buf_size`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pool.buf_size
    }

    fn as_ptr(&self) -> NonNull<u8> {
        // SAFETY: index < count, so the offset stays inside the one allocation that `from_raw`'s contract or `heap` guarantees.
        unsafe { self.pool.base.add(self.offset()) }
    }

    /// The whole buffer.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the buffer is valid for `buf_size` bytes while the pool lives, and nobody writes to it while `self` is borrowed: that
        // takes the only owner, mutably.
        unsafe { std::slice::from_raw_parts(self.as_ptr().as_ptr(), self.pool.buf_size) }
    }

    /// Whether nobody else owns the buffer.
    pub fn is_unique(&self) -> bool {
        // Pairs with the release of the owner that went before: what it read, it read before the coming writes.
        self.owners().load(Ordering::Acquire) == 1
    }

    /// The whole buffer, writable; `None` while others own it too.
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_unique() {
            return None;
        }
        // SAFETY: valid as in `as_slice`; the only owner is borrowed mutably, so nobody reads, and nobody can become an owner meanwhile.
        Some(unsafe { std::slice::from_raw_parts_mut(self.as_ptr().as_ptr(), self.pool.buf_size) })
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

impl Clone for SharedPage {
    fn clone(&self) -> Self {
        // Relaxed as in `Arc`: whoever clones is an owner already.
        let owners = self.owners().fetch_add(1, Ordering::Relaxed);
        if owners > u32::MAX / 2 {
            // Only reached by forgetting clones; a count that wrapped would free memory in use. `Arc` does the same.
            std::process::abort();
        }
        Self {
            pool: Arc::clone(&self.pool),
            index: self.index,
        }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // The only owner needs no locked instruction: nobody is left who could clone.
        if self.is_unique() || self.owners().fetch_sub(1, Ordering::AcqRel) == 1 {
            self.owners().store(0, Ordering::Relaxed);
            self.pool.free().push(self.index);
        }
    }
}

impl fmt::Debug for SharedPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPage")
            .field("index", &self.index)
            .field("len", &self.len())
            .field("owners", &self.owners().load(Ordering::Relaxed))
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

    #[test]
    fn the_last_owner_writes_and_gives_back() {
        let pool = PagePool::heap(1, 16);
        let mut a = pool.alloc().unwrap().share();
        a.get_mut().unwrap().fill(7);
        let mut b = a.clone();
        assert!(a.get_mut().is_none() && b.get_mut().is_none());
        assert_eq!(b.as_slice(), [7; 16]);
        drop(a);
        assert_eq!(pool.available(), 0);
        b.get_mut().unwrap().fill(8);
        drop(b);
        assert_eq!(pool.alloc().unwrap().as_slice(), [8; 16]);
    }

    #[test]
    fn owners_in_several_threads_give_the_buffer_back_once() {
        let pool = PagePool::heap(1, 16);
        for _ in 0..200 {
            let page = pool.alloc().unwrap().share();
            let threads: Vec<_> = (0..3)
                .map(|_| page.clone())
                .map(|page| std::thread::spawn(move || drop(page.clone())))
                .collect();
            drop(page);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(pool.available(), 1);
        }
    }
}
