//! Buffers in host memory: where elements are cut and how they are filled and read back.

use super::host::{BUS_OFFSET, Bus};
use crate::ring::{Element, Memory};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Bytes of a slot, one buffer each.
pub const SLOT: u64 = 0x8000;
/// What receive slots hold before the device writes.
const UNTOUCHED: u8 = 0xa5;

/// Cuts a buffer of `len` bytes into at most `most` elements in the slot at physical address `slot`:
/// any alignment, gaps, any order in memory, a few of no bytes at all.
pub fn cut(rng: &mut ChaCha8Rng, slot: u64, len: u64, most: usize) -> Vec<Element> {
    let pieces = rng.random_range(1..=most.max(1));
    let mut cuts: Vec<u64> = (1..pieces).map(|_| rng.random_range(0..=len)).collect();
    if pieces > 1 && rng.random_bool(0.3) {
        cuts[0] = len.min(12); // the header by itself, as drivers like it
    }
    cuts.sort_unstable();
    cuts.push(len);
    let mut sizes = Vec::with_capacity(pieces);
    let mut from = 0;
    for cut in cuts {
        // No element of length 0: 2.8.5.1 has nothing to say for it; tests of errors make them.
        if cut > from {
            sizes.push(cut - from);
            from = cut;
        }
    }
    let mut at = slot + rng.random_range(0..64);
    let mut elements: Vec<Element> = sizes
        .iter()
        .map(|size| {
            let element = Element {
                addr: at + BUS_OFFSET,
                len: *size as u32,
            };
            at += size
                + if rng.random() {
                    rng.random_range(0..64)
                } else {
                    0
                };
            element
        })
        .collect();
    // Memory order need not be chain order; only elements of equal length can change places.
    if elements.len() > 1 && rng.random_bool(0.3) {
        let last = elements.len() - 1;
        if elements[0].len == elements[last].len {
            elements.swap(0, last);
        }
    }
    elements
}

/// Fills the first `span` bytes of a slot with the pattern that shows writes out of bounds.
pub fn wipe(bus: &mut Bus, slot: u64, span: u64) {
    bus.write(slot + BUS_OFFSET, &vec![UNTOUCHED; span as usize]);
}

/// Scatters `bytes` over elements.
pub fn scatter(bus: &mut Bus, elements: &[Element], mut bytes: &[u8]) {
    for element in elements {
        let (now, rest) = bytes.split_at((element.len as usize).min(bytes.len()));
        bus.write(element.addr, now);
        bytes = rest;
    }
}

/// Gathers the first `len` bytes of a buffer in a slot of which the first `span` bytes were wiped.
///
/// # Errors
/// When a byte of them outside of the buffer was written.
pub fn gather(
    bus: &Bus,
    (slot, span): (u64, u64),
    elements: &[Element],
    len: usize,
) -> Result<Vec<u8>, String> {
    let mut memory = vec![0; span as usize];
    bus.read(slot + BUS_OFFSET, &mut memory);
    let mut bytes = Vec::with_capacity(len);
    for element in elements {
        let at = (element.addr - BUS_OFFSET - slot) as usize;
        let take = (element.len as usize).min(len - bytes.len());
        bytes.extend_from_slice(&memory[at..at + take]);
        memory[at..at + take].fill(UNTOUCHED);
    }
    if bytes.len() != len {
        return Err(format!("used length {len} in a buffer of {}", bytes.len()));
    }
    match memory.iter().position(|byte| *byte != UNTOUCHED) {
        None => Ok(bytes),
        Some(at) => Err(format!(
            "byte {at:#x} of the slot was written; buffer {elements:x?}"
        )),
    }
}
