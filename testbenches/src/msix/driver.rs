//! The MSI-X table as a driver keeps it (PCI Local Bus 3.0, 6.8.2).

use crate::bundle::{Access, WordWrite};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Vectors of the block, as in build/ctrl.rs.
pub const VECTORS: usize = 5;
/// Bytes of an entry, and where its Vector Control is.
const ENTRY: usize = 16;
const CONTROL: usize = 12;

/// What was written, byte by byte.
#[derive(Debug)]
pub struct Table {
    vectors: usize,
    entries: [[u8; ENTRY]; VECTORS],
}

impl Table {
    /// After a reset all are masked. Entries from `vectors` on do not exist.
    pub fn new(vectors: usize) -> Self {
        let mut entry = [0; ENTRY];
        entry[CONTROL] = 1;
        Self {
            vectors,
            entries: [entry; VECTORS],
        }
    }

    pub fn masked(&self, vector: usize) -> bool {
        self.entries[vector][CONTROL] & 1 == 1
    }

    /// The word at `offset`, which may be behind the table.
    pub fn read(&self, offset: u16) -> u32 {
        let (entry, at) = (usize::from(offset) / ENTRY, usize::from(offset) % ENTRY);
        let entry = self.entries[..self.vectors].get(entry);
        entry.map_or(0, |entry| {
            (0..4)
                .rev()
                .fold(0, |word, byte| word << 8 | u32::from(entry[at + byte]))
        })
    }

    /// Whose message this is, if it is one of the table.
    pub fn vector_of(&self, message: WordWrite) -> Option<usize> {
        (0..self.vectors).find(|vector| {
            let entry = (vector * ENTRY) as u16;
            let [low, high, data] = [0, 4, 8].map(|at| u64::from(self.read(entry + at)));
            message
                == WordWrite {
                    addr: high << 32 | low & !3,
                    size: 2,
                    data: data << 32 | data,
                }
        })
    }

    /// What an access leaves.
    pub fn apply(&mut self, base: u16, access: Access) {
        let Access::Write { addr, data, strb } = access else {
            return;
        };
        let place = usize::from(addr.wrapping_sub(base));
        let Some(entry) = self.entries[..self.vectors].get_mut(place / ENTRY) else {
            return;
        };
        for byte in (0..4).filter(|byte| strb >> byte & 1 == 1) {
            let value = (data >> (8 * byte)) as u8;
            let at = place % ENTRY + byte;
            entry[at] = match at {
                ..CONTROL => value,
                CONTROL => value & 1,
                // Reserved.
                _ => 0,
            };
        }
    }

    /// Writes whose entry it is into its data, by which a message tells whose it is.
    pub fn name(base: u16, vector: usize) -> Access {
        Access::write(base + (vector * ENTRY) as u16 + 8, vector as u32, 4)
    }

    /// Masks a vector or shows it.
    pub fn mask(base: u16, vector: usize, mask: bool) -> Access {
        let addr = base + (vector * ENTRY + CONTROL) as u16;
        Access::write(addr, mask.into(), 1)
    }

    /// A mask, or, in an entry that is masked, anything else: others may not be changed.
    pub fn random_write(&self, base: u16, rng: &mut ChaCha8Rng) -> Access {
        let vector = rng.random_range(0..VECTORS);
        let mask = rng.random();
        if !self.masked(vector) || rng.random_bool(0.4) {
            return Self::mask(base, vector, mask);
        }
        let (field, value) = match rng.random_range(0..4) {
            0 | 1 => (8, rng.random::<u32>() << 3 | vector as u32),
            2 => (0, rng.random()),
            _ => (4, rng.random()),
        };
        let addr = base + (vector * ENTRY) as u16 + field;
        match rng.random_range(0..3) {
            // Half a word, which does not hold the data's lowest bits.
            0 => Access::write(addr + 2, value >> 16, 2),
            _ => Access::write(addr, value, 4),
        }
    }
}
