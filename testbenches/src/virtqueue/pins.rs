//! The block's ports that are structures of `nic_pkg`, as words.

use crate::block::virtqueue_rx as p;
use crate::{bundle::WordWrite, ring::RingConfig};

/// `vq_desc_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desc {
    pub addr: u64,
    pub len: u32,
    pub id: u16,
    pub next: bool,
    /// Takes no place in the ring.
    pub inner: bool,
}

/// `vq_used_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedChain {
    pub id: u16,
    pub len: u32,
    pub ndesc: u16,
    /// The next chain belongs to the same frame.
    pub more: bool,
}

/// `vq_cfg_t` with the enable bit.
pub fn set_config(inputs: &mut [u64], ring: &RingConfig, enable: bool) {
    inputs[p::CFG_I] = ring.device;
    inputs[p::CFG_I + 1] = ring.driver;
    inputs[p::CFG_I + 2] = ring.desc;
    inputs[p::CFG_I + 3] = u64::from(ring.size) | u64::from(enable) << 16;
}

impl UsedChain {
    pub fn words(self) -> [u64; 2] {
        let low = u64::from(self.id) << 48 | u64::from(self.len) << 16 | u64::from(self.ndesc);
        [low, self.more.into()]
    }
}

pub fn desc(outputs: &[u64]) -> Desc {
    let (low, high) = (outputs[p::DESC_O], outputs[p::DESC_O + 1]);
    Desc {
        addr: low >> 49 | high << 15,
        len: (low >> 17) as u32,
        id: (low >> 1) as u16,
        next: low & 1 == 1,
        inner: high >> 50 & 1 == 1,
    }
}

pub fn write(outputs: &[u64]) -> WordWrite {
    WordWrite::of(&outputs[p::WRITE_O..])
}
