//! Runs of equal things in one vector, so that a trie's node names all its children by one number.

/// Most items in a block.
pub(super) const MAX_BLOCK: usize = 64;

/// Blocks of 1 to [`MAX_BLOCK`] items. A block that was given back is used for the next one of its size.
#[derive(Clone, Debug)]
pub(super) struct Blocks<T> {
    items: Vec<T>,
    /// Starts of unused blocks, by size.
    free: Vec<Vec<u32>>,
}

impl<T: Copy + Default> Default for Blocks<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            free: vec![Vec::new(); MAX_BLOCK + 1],
        }
    }
}

impl<T: Copy + Default> Blocks<T> {
    #[inline]
    pub fn get(&self, at: u32) -> &T {
        &self.items[at as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.items[at as usize]
    }

    /// Bytes of memory, free blocks included.
    pub fn memory(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }

    /// Items in blocks that are in use.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        let free = self.free.iter().enumerate();
        self.items.len() - free.map(|(len, blocks)| len * blocks.len()).sum::<usize>()
    }

    fn alloc(&mut self, len: usize) -> u32 {
        if let Some(start) = self.free[len].pop() {
            return start;
        }
        let start = self.items.len();
        self.items.resize(start + len, T::default());
        // 2^32 items of 4 bytes or more are more memory than a table of routes can have.
        start as u32
    }

    fn release(&mut self, start: u32, len: usize) {
        if len > 0 {
            self.free[len].push(start);
        }
    }

    /// The block at `start` with `len` items gets `item` in front of its item number `at`; returns where it is now. `len` < 64.
    pub fn insert(&mut self, start: u32, len: usize, at: usize, item: T) -> u32 {
        let (old, new) = (start as usize, self.alloc(len + 1) as usize);
        self.items.copy_within(old..old + at, new);
        self.items[new + at] = item;
        self.items.copy_within(old + at..old + len, new + at + 1);
        self.release(start, len);
        new as u32
    }

    /// The block at `start` with `len` items loses item number `at`; returns where it is now.
    pub fn remove(&mut self, start: u32, len: usize, at: usize) -> u32 {
        if len == 1 {
            self.release(start, len);
            return 0;
        }
        let (old, new) = (start as usize, self.alloc(len - 1) as usize);
        self.items.copy_within(old..old + at, new);
        self.items.copy_within(old + at + 1..old + len, new + at);
        self.release(start, len);
        new as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_and_memory_is_used_again() {
        let mut blocks = Blocks::default();
        let mut start = 0;
        for (len, at) in [(0, 0), (1, 0), (2, 1), (3, 3)] {
            start = blocks.insert(start, len, at, len as u32);
        }
        let items = |b: &Blocks<u32>, start: u32, len: u32| -> Vec<u32> {
            (start..start + len).map(|i| *b.get(i)).collect()
        };
        assert_eq!(items(&blocks, start, 4), [1, 2, 0, 3]);
        start = blocks.remove(start, 4, 1);
        assert_eq!(items(&blocks, start, 3), [1, 0, 3]);
        let used = blocks.items.len();
        for _ in 0..100 {
            let block = blocks.insert(0, 0, 0, 9);
            blocks.remove(block, 1, 0);
        }
        assert_eq!(blocks.items.len(), used);
    }
}
