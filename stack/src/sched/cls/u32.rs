//! `u32`: words of the packet against values under masks (net/sched/cls_u32.c). One hash table with one bucket; no links to others.

use super::{Exts, TcfResult};
use crate::sched::act::Env;
use crate::skb::SkBuff;

/// First handle of a hash table and of a filter in it.
pub(crate) const FIRST: u32 = 0x800;

/// `struct tc_u32_key`: matches when `(word ^ value) & mask == 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct U32Key {
    /// Host byte order, as all of the key.
    pub value: u32,
    pub mask: u32,
    /// Bytes from the network header, a multiple of 4; negative: before it.
    pub offset: i32,
    /// Written `at nexthdr+OFFSET`. Without a link to a table with an offset of its own, the next header is the network header.
    pub nexthdr: bool,
}

/// One filter (`struct tc_u_knode`).
pub(crate) struct U32Filter {
    /// Its number in the table, from [`FIRST`] on.
    pub node: u32,
    pub keys: Vec<U32Key>,
    /// It names a class or an action, so what matches is decided here (`TC_U32_TERMINAL`).
    pub exts: Exts,
    /// `flowid` was given.
    pub has_flowid: bool,
}

/// The filters of one priority.
pub(crate) struct U32 {
    /// The table's number, from [`FIRST`] on.
    pub table: u32,
    pub filters: Vec<U32Filter>,
}

impl U32 {
    /// `u32_classify()`.
    pub fn classify(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        self.filters
            .iter_mut()
            .filter_map(|filter| filter.matches(skb).then(|| filter.exts.exec(skb, env))?)
            .next()
    }

    /// `gen_new_kid()`.
    pub fn next_node(&self) -> u32 {
        self.filters
            .iter()
            .map(|f| f.node + 1)
            .max()
            .unwrap_or(FIRST)
    }
}

impl U32Filter {
    fn matches(&self, skb: &SkBuff) -> bool {
        self.keys.iter().all(|key| {
            let at = skb.network_offset() + key.offset as isize;
            word_at(skb, at).is_some_and(|word| (word ^ key.value) & key.mask == 0)
        })
    }
}

/// `skb_header_pointer()`: four bytes, `at` bytes from the start of data or, if negative, before it as far as the Ethernet header.
fn word_at(skb: &SkBuff, at: isize) -> Option<u32> {
    let mut word = [0; 4];
    match usize::try_from(at) {
        Ok(at) => skb.skb_copy_bits(at, &mut word)?,
        Err(_) => {
            let at = usize::try_from(at - skb.mac_offset()).ok()?;
            word = *skb.mac_bytes().get(at..)?.first_chunk()?;
        }
    }
    Some(u32::from_be_bytes(word))
}
