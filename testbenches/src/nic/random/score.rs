//! What must come out of the card, and what did.

use super::shadow::Shadow;
use crate::{
    coverage::{Sample, dim},
    nic::host::Fail,
};
use hwmodel::model::{Stat, feature as net};
use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

/// Counters in the order of [`Stat`].
pub type Counts = [u64; Stat::ALL.len()];

/// A frame that is expected in a receive queue.
struct Incoming {
    /// Place among all that were sent to the card.
    order: u64,
    /// The pairs that may get it.
    pairs: Range<usize>,
    header: Vec<u8>,
    len: usize,
}

/// A frame that is expected on the wire.
struct Outgoing {
    bytes: Vec<u8>,
    /// Of its chain, with the chain's last frame.
    sample: Option<Sample>,
}

/// Expectations and counts of one life of a card, from one bring-up to the next.
pub struct Score {
    /// By hash of the bytes.
    incoming: HashMap<u64, VecDeque<Incoming>>,
    /// Frames that are expected to be received, dropped ones among them.
    pub frames: usize,
    /// Those of them that may be in the card: how many, and their 64-bit words.
    pub window: (usize, usize),
    order: u64,
    /// Newest frame that came to a pair.
    newest: Vec<u64>,
    outgoing: Vec<VecDeque<Outgoing>>,
    /// What the counters must have grown by, besides drops.
    pub counts: Counts,
    /// Receive buffers that came back empty.
    pub empty: u64,
    /// A queue was reset: what it held is gone.
    pub disturbed: bool,
}

fn key(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Score {
    /// Nothing is expected yet.
    pub fn new(pairs: usize) -> Self {
        Self {
            incoming: HashMap::new(),
            frames: 0,
            window: (0, 0),
            order: 0,
            newest: vec![0; pairs],
            outgoing: (0..pairs).map(|_| VecDeque::new()).collect(),
            counts: [0; Stat::ALL.len()],
            empty: 0,
            disturbed: false,
        }
    }

    /// Adds to a counter's expectation.
    pub fn count(&mut self, stat: Stat, n: u64) {
        self.counts[stat as usize] += n;
    }

    /// A frame that the model delivers was sent to the card; one of `pairs` must get it.
    pub fn expect_incoming(&mut self, bytes: &[u8], pairs: Range<usize>, header: Vec<u8>) {
        self.order += 1;
        self.frames += 1;
        self.window.0 += 1;
        self.window.1 += bytes.len().div_ceil(8);
        self.incoming
            .entry(key(bytes))
            .or_default()
            .push_back(Incoming {
                order: self.order,
                pairs,
                header,
                len: bytes.len(),
            });
    }

    /// Frames that the model sends of a chain of this pair; `sample` counts once all are out.
    pub fn expect_outgoing(&mut self, pair: usize, frames: Vec<Vec<u8>>, sample: Sample) {
        let last = frames.len().wrapping_sub(1);
        self.outgoing[pair].extend(
            frames
                .into_iter()
                .enumerate()
                .map(|(index, bytes)| Outgoing {
                    bytes,
                    sample: (index == last).then_some(sample),
                }),
        );
    }

    /// Frames that have to come out of the card on its wire.
    pub fn outgoing(&self) -> usize {
        self.outgoing.iter().map(VecDeque::len).sum()
    }

    /// A frame came out: the oldest of some pair.
    pub fn left_the_card(&mut self, bytes: &[u8]) -> Result<Option<Sample>, Fail> {
        let queue = self
            .outgoing
            .iter_mut()
            .find(|queue| queue.front().is_some_and(|due| due.bytes == bytes));
        if let Some(queue) = queue {
            return Ok(queue.pop_front().and_then(|due| due.sample));
        }
        let due: Vec<_> = self
            .outgoing
            .iter()
            .map(|queue| {
                queue.front().map(|due| {
                    let differs = due.bytes.iter().zip(bytes).position(|(a, b)| a != b);
                    (due.bytes.len(), differs)
                })
            })
            .collect();
        Err(format!(
            "a frame of {} bytes leaves that is not the next of any queue: {:02x?}; due (length, \
             first difference): {due:?}",
            bytes.len(),
            &bytes[..bytes.len().min(64)],
        )
        .into())
    }

    /// Takes a frame as the card delivered it to `pair`, num_buffers set to 1; what it carried.
    pub fn received(
        &mut self,
        pair: usize,
        header: &[u8],
        bytes: &[u8],
        cutter: &mut Option<Shadow>,
    ) -> Result<u64, Fail> {
        if header[1] == 0 {
            let verified = u64::from(header[0] & 2 != 0);
            self.one(pair, Some(header), bytes)?;
            self.count(Stat::RxCsumValid, verified);
            return Ok(1);
        }
        // Coalesced: what was put together must come apart again into what came.
        let cutter = cutter
            .as_mut()
            .ok_or_else(|| format!("gso_type {:#x} that was not negotiated", header[1]))?;
        let mut packet = header[..12].to_vec();
        packet.extend(bytes);
        let segments = cutter.transmit(0, &packet)?;
        if segments.len() < 2 {
            return Err(format!("a coalesced frame of {} segments", segments.len()).into());
        }
        for segment in &segments {
            self.one(pair, None, segment)?;
        }
        let n = segments.len() as u64;
        self.count(Stat::RxCoalesced, n);
        self.count(Stat::RxLroFrames, 1);
        Ok(n)
    }

    fn one(&mut self, pair: usize, header: Option<&[u8]>, bytes: &[u8]) -> Result<(), Fail> {
        let entry = self.incoming.get_mut(&key(bytes));
        let Some(entry) = entry.filter(|entry| !entry.is_empty()) else {
            return Err(format!(
                "pair {pair} gets a frame of {} bytes that was not sent, or came before: {:02x?}",
                bytes.len(),
                &bytes[..bytes.len().min(64)],
            )
            .into());
        };
        let place = entry
            .iter()
            .position(|f| f.pairs.contains(&pair))
            .ok_or_else(|| {
                format!(
                    "a frame for pairs {:?} comes to {pair}: {:02x?}",
                    entry[0].pairs,
                    &bytes[..bytes.len().min(160)],
                )
            })?;
        let due = entry.remove(place).ok_or("no frame")?;
        if entry.is_empty() {
            self.incoming.remove(&key(bytes));
        }
        if due.order <= self.newest[pair] {
            return Err(format!("pair {pair}: a frame overtakes another").into());
        }
        self.newest[pair] = due.order;
        self.frames -= 1;
        self.window.0 = self.window.0.saturating_sub(1);
        self.window.1 = self.window.1.saturating_sub(due.len.div_ceil(8));
        if let Some(header) = header
            && due.header != header
        {
            return Err(format!(
                "header {header:02x?}, expected {:02x?}, of a frame of {} bytes: {:02x?}",
                due.header,
                bytes.len(),
                &bytes[..bytes.len().min(80)],
            )
            .into());
        }
        Ok(())
    }

    /// What a receive queue that is reset was to get, and with several queues all that may go anywhere,
    /// may be lost from now on.
    pub fn forget_incoming(&mut self) {
        self.incoming.clear();
        (self.frames, self.window) = (0, (0, 0));
        self.disturbed = true;
    }

    /// What a transmit queue that was reset has not sent.
    pub fn forget_outgoing(&mut self, pair: usize) {
        self.outgoing[pair].clear();
        self.disturbed = true;
    }

    /// Everything is quiet: each frame is where it belongs, or in a counter of drops.
    pub fn settle(&self, grown: &Counts, features: u64) -> Result<(), Fail> {
        let of = |stat: Stat| grown[stat as usize];
        let drops = [
            Stat::RxNoSpace,
            Stat::RxDisabled,
            Stat::RxTruncated,
            Stat::RxNoBuffer,
        ];
        let dropped: u64 = drops.iter().map(|stat| of(*stat)).sum();
        // A coalesced frame that was dropped counts as one, and its segments as coalesced.
        let lost = |stat: Stat| of(stat).wrapping_sub(self.counts[stat as usize]);
        let (segments, merged) = (lost(Stat::RxCoalesced), lost(Stat::RxLroFrames));
        if merged > dropped || segments < 2 * merged {
            return Err(format!(
                "{dropped} drops, of which {merged} were coalesced of {segments} segments"
            )
            .into());
        }
        if dropped + segments - merged != self.frames as u64 {
            return Err(format!(
                "{} frames are missing, {dropped} drops counted ({drops:?}: {:?}), {merged} of them of \
                 {segments} segments",
                self.frames,
                drops.map(of),
            )
            .into());
        }
        let returned = of(Stat::RxTruncated) + of(Stat::RxNoBuffer);
        let explained = if features & net::MRG_RXBUF == 0 {
            self.empty == of(Stat::RxTruncated)
        } else {
            self.empty == 0 || returned != 0
        };
        if !explained {
            return Err(format!(
                "{} receive buffers came back empty; truncated, without buffer: {returned}",
                self.empty
            )
            .into());
        }
        let told =
            |stat| drops.contains(&stat) || matches!(stat, Stat::RxCoalesced | Stat::RxLroFrames);
        for &(stat, name) in Stat::ALL {
            if !told(stat) && of(stat) != self.counts[stat as usize] {
                return Err(format!(
                    "{name} has grown by {}, expected {}; all: {grown:?}",
                    of(stat),
                    self.counts[stat as usize]
                )
                .into());
            }
        }
        Ok(())
    }
}

/// A sample with its dimensions that are the same for a whole session.
pub fn sample(shape: [u8; 4], length: u8, rest: [u8; 5]) -> Sample {
    let [direction, offload, split, pressure, reset] = rest;
    let mut sample = Sample::default();
    sample[dim::DIRECTION] = direction;
    sample[dim::LENGTH] = length;
    sample[dim::VLAN..=dim::FRAGMENT].copy_from_slice(&shape);
    sample[dim::OFFLOAD] = offload;
    sample[dim::SPLIT] = split;
    sample[dim::PRESSURE] = pressure;
    sample[dim::RESET] = reset;
    sample
}
