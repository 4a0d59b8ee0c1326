//! Where the fields of packets are: `skbuff_head_cache`, one per thread.

use super::{SkBuffFields, frag_lists};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Unused fields that a thread keeps for its next packets, at most: 1.2 MB.
const CACHE: usize = 4096;

thread_local! {
    /// Empty fields. What it holds cannot be seen: it only spares the allocator a visit per packet.
    #[allow(clippy::vec_box)] // The boxes are what is kept.
    static SKBUFF_HEAD_CACHE: RefCell<Vec<Box<SkBuffFields>>> = const { RefCell::new(Vec::new()) };
}

static EMPTY: SkBuffFields = SkBuffFields::EMPTY;

/// One packet: a handle on its fields, which it has alone ([`SkBuffFields`] documents them). Moving it moves a pointer, as layers hand on
/// a `struct sk_buff *` in Linux.
#[derive(Default)]
pub struct SkBuff(
    /// `None`: as [`SkBuffFields::EMPTY`], without memory. It is what `std::mem::take` leaves in place of a stolen packet.
    Option<Box<SkBuffFields>>,
);

impl SkBuff {
    /// `napi_skb_cache_get()`: an empty packet that has memory for its fields.
    #[inline]
    pub(super) fn new() -> Self {
        let unused = SKBUFF_HEAD_CACHE.try_with(|cache| cache.borrow_mut().pop());
        let unused = unused.ok().flatten();
        Self(Some(
            unused.unwrap_or_else(|| Box::new(SkBuffFields::EMPTY)),
        ))
    }
}

impl Deref for SkBuff {
    type Target = SkBuffFields;

    #[inline]
    fn deref(&self) -> &SkBuffFields {
        self.0.as_deref().unwrap_or(&EMPTY)
    }
}

impl DerefMut for SkBuff {
    #[inline]
    fn deref_mut(&mut self) -> &mut SkBuffFields {
        self.0.get_or_insert_with(|| Box::new(SkBuffFields::EMPTY))
    }
}

impl Drop for SkBuff {
    /// `kfree_skbmem()`: the buffers are given back, the fields are kept for another packet.
    #[inline]
    fn drop(&mut self) {
        let Some(mut fields) = self.0.take() else {
            return;
        };
        frag_lists::recycle(&mut fields.frags);
        fields.head.recycle();
        // Gives back what memory they refer to, too (skb_release_all()).
        *fields = SkBuffFields::EMPTY;
        // While the thread ends there is no cache any more.
        let _ = SKBUFF_HEAD_CACHE.try_with(|cache| {
            let mut cache = cache.borrow_mut();
            if cache.len() < CACHE {
                cache.push(fields);
            }
        });
    }
}
