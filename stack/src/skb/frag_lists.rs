//! Where the lists of fragments of packets in many pieces are, one store per thread. In Linux they are part of the buffer
//! (`skb_shared_info`), so that merging packets asks for no memory there either.

use super::{Frag, MAX_SKB_FRAGS};
use smallvec::SmallVec;
use std::cell::RefCell;

/// A packet's fragments, in order. One is inside: segments of a merged packet mostly have one, and need no memory of their own for it.
pub(super) type Frags = SmallVec<[Frag; 1]>;

/// Unused lists that a thread keeps, at most.
const KEPT: usize = 256;
/// Longer ones are given back to the allocator: 256 of this length are 0.6 MB.
const LONGEST: usize = 64;

thread_local! {
    /// Empty lists with memory. What it holds cannot be seen: it only spares the allocator a visit per merged packet.
    static FRAG_LISTS: RefCell<Vec<Frags>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for `more` fragments. The first list with memory has room for [`MAX_SKB_FRAGS`], so that it serves any packet of a driver.
#[inline]
pub(super) fn reserve(frags: &mut Frags, more: usize) {
    if frags.spilled() || frags.len() + more <= frags.inline_size() {
        return;
    }
    let mut list = unused().unwrap_or_else(|| Frags::with_capacity(MAX_SKB_FRAGS));
    list.append(frags);
    *frags = list;
}

fn unused() -> Option<Frags> {
    FRAG_LISTS.try_with(|lists| lists.borrow_mut().pop()).ok()?
}

/// Keeps the memory of a list that is no longer needed; its fragments are dropped.
#[inline]
pub(super) fn recycle(frags: &mut Frags) {
    if !frags.spilled() {
        return;
    }
    let mut list = std::mem::take(frags);
    list.clear();
    if list.capacity() > LONGEST {
        return;
    }
    // While the thread ends there is no store any more.
    let _ = FRAG_LISTS.try_with(|lists| {
        let mut lists = lists.borrow_mut();
        if lists.len() < KEPT {
            lists.push(list);
        }
    });
}
