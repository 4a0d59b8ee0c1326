//! One receive queue as its driver and the scoreboard see it.

use super::{
    Scenario,
    memory::Memory,
    pins::{Desc, Hdr, Used},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Why a frame did not reach the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    Truncated,
    NoBuffer,
    Disabled,
}

/// A frame that the block has taken.
#[derive(Debug)]
pub struct Frame {
    pub number: u64,
    pub bytes: Vec<u8>,
    pub hdr: Hdr,
}

/// A chain whose descriptors the block has taken, the last one perhaps not yet.
#[derive(Debug, Default)]
struct Chain {
    pieces: Vec<(u64, u32)>,
    id: u16,
    whole: bool,
    /// Whose bytes are in it, as far as the order of handshakes tells.
    frame: u64,
}

impl Chain {
    fn capacity(&self) -> u64 {
        self.pieces.iter().map(|(_, len)| u64::from(*len)).sum()
    }
}

/// A queue.
#[derive(Debug, Default)]
pub struct Queue {
    pub enabled: bool,
    pub size: u16,
    /// What the virtqueue shows, oldest first.
    pub offered: VecDeque<Desc>,
    taken: VecDeque<Chain>,
    /// Ring entries in the device's hands.
    pub entries: u16,
    /// Frames taken and neither delivered nor dropped.
    pub open: VecDeque<Frame>,
    group: Vec<(Chain, u32)>,
    next_id: u16,
    pub delivered: u64,
}

impl Queue {
    pub fn restart(&mut self, size: u16) {
        *self = Self {
            enabled: true,
            size,
            delivered: self.delivered,
            ..Self::default()
        };
    }

    /// The driver makes a chain available if the ring has room for it.
    pub fn refill(
        &mut self,
        pair: usize,
        scenario: &Scenario,
        memory: &mut Memory,
        rng: &mut ChaCha8Rng,
    ) {
        let free = usize::from(self.size - self.entries);
        let count = rng.random_range(1..=scenario.chain).min(free);
        for index in 0..count {
            let shortest = if scenario.piece > 1000 && rng.random_bool(0.5) {
                scenario.piece / 2
            } else {
                0
            };
            let len = rng.random_range(shortest..=scenario.piece);
            let last = index + 1 == count;
            self.offered.push_back(Desc {
                addr: memory.add(pair, len, rng),
                len,
                id: if last { self.next_id } else { rng.random() },
                next: !last,
            });
        }
        if count > 0 {
            self.next_id = self.next_id.wrapping_mul(5).wrapping_add(1);
            self.entries += count as u16;
        }
    }

    /// Chains in the block's hands.
    pub fn held(&self) -> usize {
        self.taken.len()
    }

    /// The block took the first descriptor, for `frame` as it seems.
    pub fn take_desc(&mut self, frame: u64) {
        let Some(desc) = self.offered.pop_front() else {
            return;
        };
        if self.taken.back().is_none_or(|chain| chain.whole) {
            self.taken.push_back(Chain {
                frame,
                ..Chain::default()
            });
        }
        if let Some(chain) = self.taken.back_mut() {
            chain.pieces.push((desc.addr, desc.len));
            chain.id = desc.id;
            chain.whole = !desc.next;
        }
    }

    /// Chains that the frame in progress has: whether the last is whole, ring entries, bytes.
    fn of(&self, frame: u64) -> (bool, usize, u64) {
        let chains = self.taken.iter().filter(|chain| chain.frame == frame);
        chains.fold((true, 0, 0), |(_, entries, bytes), chain| {
            let pieces = chain.pieces.len();
            (chain.whole, entries + pieces, bytes + chain.capacity())
        })
    }

    /// The last frame taken is dropped for want of room: whether the specification and the contract
    /// of the block allow it.
    pub fn truncated(&mut self, mergeable: bool, hdr: usize) -> Result<(), String> {
        let frame = self.open.pop_back().ok_or("truncated: no frame")?;
        let (whole, entries, bytes) = self.of(frame.number);
        let wanted = (frame.bytes.len() + hdr) as u64;
        // rx_return holds no more than the largest ring less four (60 of 64 here).
        let exhausted = !mergeable || entries >= usize::from(self.size) || entries >= 60;
        if !whole || !exhausted || bytes >= wanted {
            return Err(format!(
                "frame {} of {wanted} bytes truncated: {bytes} bytes, {entries} entries of {}, whole: {whole}",
                frame.number, self.size
            ));
        }
        Ok(())
    }

    /// A used chain: the oldest that is out. The last one of a frame completes it. True: it went back
    /// void, because its frame was dropped.
    pub fn returned(
        &mut self,
        used: Used,
        mergeable: bool,
        hdr_len: usize,
        memory: &mut Memory,
    ) -> Result<bool, String> {
        let chain = self.taken.pop_front().ok_or("used: no chain is out")?;
        let ndesc = chain.pieces.len();
        if !chain.whole || chain.id != used.id || ndesc != usize::from(used.ndesc) {
            return Err(format!("{used:x?}, expected {chain:x?}"));
        }
        if u64::from(used.len) > chain.capacity() {
            return Err(format!("{used:x?} for {} bytes", chain.capacity()));
        }
        self.entries -= used.ndesc;
        let is_void = !used.more && used.len == 0;
        if is_void && self.group.is_empty() {
            if self.open.iter().any(|frame| frame.number == chain.frame) {
                return Err(format!("frame {} went back void uncounted", chain.frame));
            }
            for (addr, len) in chain.pieces {
                memory.take(addr, len)?;
            }
            return Ok(true);
        }
        let number = chain.frame;
        self.group.push((chain, used.len));
        if used.more {
            return Ok(false);
        }
        let frame = self.open.pop_front().ok_or("delivered: no frame")?;
        let group = std::mem::take(&mut self.group);
        if group.iter().any(|(chain, _)| chain.frame != frame.number) {
            return Err(format!("chains of frame {number} for {}", frame.number));
        }
        if group.len() > 1 && !mergeable {
            return Err("two chains without MRG_RXBUF".into());
        }
        let count = group.len();
        let mut bytes = Vec::new();
        for (index, (chain, len)) in group.into_iter().enumerate() {
            // 5.1.6.4.1: all buffers but the last are used completely.
            if index + 1 < count && u64::from(len) != chain.capacity() {
                return Err(format!("{len} of {} bytes used", chain.capacity()));
            }
            let mut all = Vec::new();
            for (addr, len) in chain.pieces {
                all.extend(memory.take(addr, len)?);
            }
            let (used, rest) = all.split_at(len as usize);
            bytes.extend_from_slice(used);
            if rest.iter().any(|byte| *byte != 0xa5) {
                return Err("bytes behind the used length".into());
            }
        }
        let expected = frame.image(count as u16, hdr_len);
        if bytes != expected {
            let at = bytes.iter().zip(&expected).position(|(a, b)| a != b);
            return Err(format!(
                "frame {}: {} bytes, expected {}, first difference at {at:?}, header {:02x?}, expected {:02x?}",
                frame.number,
                bytes.len(),
                expected.len(),
                &bytes[..bytes.len().min(hdr_len)],
                &expected[..hdr_len]
            ));
        }
        self.delivered += 1;
        Ok(false)
    }
}

impl Frame {
    /// Header (5.1.6) and frame as they must stand in the buffers.
    fn image(&self, buffers: u16, hdr_len: usize) -> Vec<u8> {
        let [low, high] = self.hdr;
        let mut image = Vec::new();
        image.extend(low.to_le_bytes()); // flags, gso_type, hdr_len, gso_size, csum_start
        image.extend((high as u16).to_le_bytes()); // csum_offset
        image.extend(buffers.to_le_bytes());
        if hdr_len == 20 {
            image.extend(((high >> 16) as u32).to_le_bytes()); // hash_value
            image.extend(((high >> 48) as u16).to_le_bytes()); // hash_report
            image.extend([0, 0]);
        }
        image.extend(&self.bytes);
        image
    }
}
