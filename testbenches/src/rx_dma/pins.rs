//! The block's ports that are structures of `nic_pkg`, as words.

use super::Variant;
use crate::block::rx_dma as p;

/// What the device decides of the header: `net_hdr_t` in two words.
pub type Hdr = [u64; 2];

/// `vq_desc_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desc {
    pub addr: u64,
    pub len: u32,
    pub id: u16,
    pub next: bool,
}

/// `vq_used_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub more: bool,
    pub id: u16,
    pub len: u32,
    pub ndesc: u16,
}

pub fn set_frame(inputs: &mut [u64], len: usize, pair: usize, hdr: Hdr) {
    inputs[p::FRAME_I] = hdr[0];
    inputs[p::FRAME_I + 1] = hdr[1];
    inputs[p::FRAME_I + 2] = (len as u64) << 3 | pair as u64;
}

/// Shows `desc` on the port of queue `pair`.
pub fn set_desc(inputs: &mut [u64], variant: &Variant, pair: usize, desc: Desc) {
    let at = p::SIZE_I + variant.pairs + 2 * pair;
    inputs[at] = desc.addr << 49
        | u64::from(desc.len) << 17
        | u64::from(desc.id) << 1
        | u64::from(desc.next);
    inputs[at + 1] = desc.addr >> 15;
}

pub fn used(outputs: &[u64]) -> Used {
    let word = outputs[p::USED_O];
    Used {
        more: outputs[p::USED_O + 1] & 1 == 1,
        id: (word >> 48) as u16,
        len: (word >> 16) as u32,
        ndesc: word as u16,
    }
}
