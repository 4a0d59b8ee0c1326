//! The host's end of the write channels: transactions as bytes at their places (AMBA AXI4 A3.4).

use super::source::Bytes;
use std::collections::VecDeque;

/// An address that came.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    pub id: u64,
    pub addr: u64,
    pub len: u64,
    pub size: u64,
}

/// A whole write.
#[derive(Debug, PartialEq, Eq)]
pub struct Write {
    pub id: u64,
    pub bytes: Bytes,
}

/// Joins addresses and data, which may come one before the other.
#[derive(Debug, Default)]
pub struct Writes {
    addresses: VecDeque<Address>,
    /// Data and strobes of each beat.
    bursts: VecDeque<Vec<(Vec<u64>, u64)>>,
    open: Vec<(Vec<u64>, u64)>,
}

impl Writes {
    pub fn address(&mut self, address: Address) {
        self.addresses.push_back(address);
    }

    pub fn beat(&mut self, data: &[u64], strb: u64, last: bool) {
        self.open.push((data.to_vec(), strb));
        if last {
            self.bursts.push_back(std::mem::take(&mut self.open));
        }
    }

    /// A write of which all is there; `bus` are the bytes of a beat.
    pub fn next(&mut self, bus: u64) -> Result<Option<Write>, String> {
        if self.addresses.is_empty() || self.bursts.is_empty() {
            return Ok(None);
        }
        let (Some(address), Some(beats)) = (self.addresses.pop_front(), self.bursts.pop_front())
        else {
            return Ok(None);
        };
        if beats.len() as u64 != address.len + 1 {
            return Err(format!("{} beats of {address:x?}", beats.len()));
        }
        let wide = 1 << address.size;
        let mut at = address.addr;
        let mut bytes = vec![];
        for (data, strb) in beats {
            // From here to the end of the beat.
            let end = at - at % wide + wide;
            for lane in (0..bus).filter(|lane| strb >> lane & 1 == 1) {
                let place = at - at % bus + lane;
                if !(at..end).contains(&place) {
                    return Err(format!("strobes {strb:#x} at {at:#x} of {address:x?}"));
                }
                let word = data[(lane / 8) as usize];
                bytes.push((place, (word >> (8 * (lane % 8))) as u8));
            }
            at = end;
        }
        if (at - 1) / 4096 != address.addr / 4096 {
            return Err(format!("{address:x?} crosses 4 KiB"));
        }
        let id = address.id;
        Ok(Some(Write { id, bytes }))
    }
}
