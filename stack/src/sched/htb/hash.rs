//! Classes by number (`struct Qdisc_class_hash`): the kernel's hash, so that lists have the kernel's order.

use super::class::ClassId;
use crate::sched::handle::Handle;

/// Buckets of classes, the one added last first.
pub(super) struct ClassHash {
    buckets: Vec<Vec<(Handle, ClassId)>>,
    len: usize,
}

impl Default for ClassHash {
    fn default() -> Self {
        Self {
            buckets: vec![Vec::new(); 4],
            len: 0,
        }
    }
}

impl ClassHash {
    /// `qdisc_class_hash()`.
    fn bucket(&self, handle: Handle) -> usize {
        let id = handle.0 ^ handle.0 >> 8;
        (id ^ id >> 4) as usize & (self.buckets.len() - 1)
    }

    pub fn find(&self, handle: Handle) -> Option<ClassId> {
        let bucket = self.buckets.get(self.bucket(handle))?;
        bucket.iter().find(|(h, _)| *h == handle).map(|(_, id)| *id)
    }

    /// `qdisc_class_hash_insert()` and `qdisc_class_hash_grow()`.
    pub fn insert(&mut self, handle: Handle, id: ClassId) {
        let bucket = self.bucket(handle);
        self.buckets[bucket].insert(0, (handle, id));
        self.len += 1;
        if self.len * 4 > self.buckets.len() * 3 {
            let larger = vec![Vec::new(); self.buckets.len() * 2];
            for entry in std::mem::replace(&mut self.buckets, larger)
                .into_iter()
                .flatten()
            {
                let bucket = self.bucket(entry.0);
                self.buckets[bucket].insert(0, entry);
            }
        }
    }

    pub fn remove(&mut self, handle: Handle) {
        let bucket = self.bucket(handle);
        self.buckets[bucket].retain(|(h, _)| *h != handle);
        self.len = self.buckets.iter().map(Vec::len).sum();
    }

    /// In the order of `tc class show`.
    pub fn iter(&self) -> impl Iterator<Item = ClassId> + '_ {
        self.buckets.iter().flatten().map(|(_, id)| *id)
    }
}
