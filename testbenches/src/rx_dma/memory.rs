//! Memory that holds receive buffers and nothing else.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// A piece of a buffer in the device's hands.
#[derive(Debug)]
struct Region {
    pair: usize,
    bytes: Vec<u8>,
    /// Bursts that touched it and have no response yet.
    pending: u32,
}

/// All buffers, by address.
#[derive(Debug, Default)]
pub struct Memory {
    regions: BTreeMap<u64, Region>,
    next: u64,
}

impl Memory {
    /// A new buffer of `len` bytes at an address of any alignment, behind all others.
    pub fn add(&mut self, pair: usize, len: u32, rng: &mut ChaCha8Rng) -> u64 {
        // Now and then right before a 4 KiB boundary.
        if rng.random_bool(0.1) {
            self.next += 80;
            self.next = (self.next | 4095) + 1 - rng.random_range(0..80);
        }
        let addr = self.next + rng.random_range(1..80);
        self.next = addr + u64::from(len);
        let region = Region {
            pair,
            bytes: vec![0xa5; len as usize],
            pending: 0,
        };
        if len > 0 {
            self.regions.insert(addr, region);
        }
        addr
    }

    /// Takes a buffer back with its bytes.
    pub fn take(&mut self, addr: u64, len: u32) -> Result<Vec<u8>, String> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let region = self.regions.remove(&addr);
        let region = region.ok_or_else(|| format!("no buffer at {addr:#x}"))?;
        if region.pending != 0 {
            return Err(format!(
                "buffer at {addr:#x} came back before {} responses",
                region.pending
            ));
        }
        Ok(region.bytes)
    }

    /// All buffers of a queue are the driver's again.
    pub fn forget(&mut self, pair: usize) {
        self.regions.retain(|_, region| region.pair != pair);
    }

    /// Writes a byte; the base of the buffer that holds it.
    pub fn write(&mut self, pair: usize, addr: u64, byte: u8) -> Result<u64, String> {
        let found = self.regions.range_mut(..=addr).next_back();
        match found {
            Some((base, region))
                if addr - base < region.bytes.len() as u64 && region.pair == pair =>
            {
                region.bytes[(addr - base) as usize] = byte;
                Ok(*base)
            }
            _ => Err(format!("stray write to {addr:#x} for queue {pair}")),
        }
    }

    /// A burst touched the buffer at `base`, or its response came.
    pub fn pending(&mut self, base: u64, delta: i32) {
        if let Some(region) = self.regions.get_mut(&base) {
            region.pending = region.pending.wrapping_add_signed(delta);
        }
    }
}
