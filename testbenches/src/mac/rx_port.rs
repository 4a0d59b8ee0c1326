use super::{Dut, Fate};
use crate::{Error, Options, block::mac_rx as port};
use hwmodel::{
    CYCLE_PS, Ps,
    xgmii::{IDLE_COLUMN, WireFrame, XgmiiSource},
};
use std::collections::VecDeque;

/// A frame that came out of `mac_rx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its bytes; only a part of them may be there when it is marked.
    pub bytes: Vec<u8>,
    /// Marked to be dropped (`tuser`).
    pub drop: bool,
}

/// Sums of the pulses of `stat_o`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RxStat {
    /// Frames by fate, in the order of [`Fate`].
    pub frames: [u64; 5],
    /// Bytes of good frames, FCS not included.
    pub bytes: u64,
}

impl RxStat {
    /// Counts a frame of `bytes` bytes.
    pub fn count(&mut self, fate: Fate, bytes: usize) {
        self.frames[fate as usize] += 1;
        if fate == Fate::Good {
            self.bytes += bytes as u64;
        }
    }

    /// Frames of all fates.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.frames.iter().sum()
    }
}

/// `mac_rx` with a scoreboard: frames in by an [`XgmiiSource`] or column by column, beats out.
pub struct RxPort {
    dut: Dut,
    inputs: [u64; port::IN_WORDS],
    outputs: [u64; port::OUT_WORDS],
    now: Ps,
    max_frame: usize,
    partial: Vec<u8>,
    expected: VecDeque<(Fate, Vec<u8>)>,
    expected_stat: RxStat,
    stat: RxStat,
    delivered: u64,
    /// What sends the frames of [`send`](Self::send).
    pub source: XgmiiSource,
    /// Frames out, when [`keep`](Self::keep) is set.
    pub received: Vec<Received>,
    /// Collect frames instead of comparing them.
    pub keep: bool,
}

impl RxPort {
    /// A receiver that takes frames of `max_frame` bytes, FCS included.
    ///
    /// # Errors
    /// As for every step: a failed assertion of the RTL.
    pub fn open(options: &Options, max_frame: usize) -> Result<Self, Error> {
        let mut inputs = port::inputs();
        inputs[port::MAX_FRAME_I] = max_frame as u64;
        Ok(Self {
            dut: Dut::open(port::NAME, options)?,
            inputs,
            outputs: port::outputs(),
            now: 0,
            max_frame,
            partial: Vec::new(),
            expected: VecDeque::new(),
            expected_stat: RxStat::default(),
            stat: RxStat::default(),
            delivered: 0,
            source: XgmiiSource::new(),
            received: Vec::new(),
            keep: false,
        })
    }

    /// Time of the next cycle.
    #[must_use]
    pub fn now(&self) -> Ps {
        self.now
    }

    /// Clock cycles so far.
    #[must_use]
    pub fn cycles(&self) -> u64 {
        self.dut.block.cycle()
    }

    /// What the pulses of the receiver add up to.
    #[must_use]
    pub fn stat(&self) -> RxStat {
        self.stat
    }

    /// An error at this cycle.
    #[must_use]
    pub fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }

    /// Queues a frame at the source and its fate at the scoreboard.
    pub fn send(&mut self, frame: WireFrame) {
        let mut bytes = self.source.take_spare().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(&frame.bytes);
        self.expect(Fate::of(&frame, self.max_frame), bytes);
        self.source.send(frame);
    }

    /// Tells the scoreboard about a frame that comes by [`push`](Self::push).
    pub fn expect(&mut self, fate: Fate, bytes: Vec<u8>) {
        self.expected_stat.count(fate, bytes.len());
        self.expected.push_back((fate, bytes));
    }

    /// One cycle with the source's column.
    ///
    /// # Errors
    /// What comes out differs from what was sent, or breaks the rules of the stream.
    pub fn step(&mut self) -> Result<(), Error> {
        let column = self.source.next(self.now);
        self.push(column)
    }

    /// Steps until the source and the receiver are idle, and compares the counters.
    ///
    /// # Errors
    /// As for [`step`](Self::step), and frames that no counter explains.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.run_idle()?;
        let missing = self
            .expected
            .iter()
            .filter(|(fate, _)| *fate == Fate::Good)
            .count();
        self.dut.check(missing == 0, || {
            format!("{missing} good frames did not come")
        })?;
        let (stat, expected) = (self.stat, self.expected_stat);
        self.dut.check(stat == expected, || {
            format!("statistics {stat:?}, must be {expected:?}")
        })
    }

    /// Steps until the source and the receiver are idle.
    ///
    /// # Errors
    /// As for [`step`](Self::step), and when the receiver does not become idle.
    pub fn run_idle(&mut self) -> Result<(), Error> {
        while !self.source.is_idle() {
            self.step()?;
        }
        for _ in 0..16 {
            self.push(IDLE_COLUMN)?;
            if self.outputs[port::BUSY_O] == 0 {
                return Ok(());
            }
        }
        Err(self
            .dut
            .mismatch("still busy 16 cycles after the last column"))
    }

    /// Leaves out the cycles up to `at` if the receiver allows it.
    pub fn skip_to(&mut self, at: Ps) {
        if self.outputs[port::BUSY_O] == 0 && self.partial.is_empty() {
            self.now = self.now.max(at);
        }
    }

    /// One cycle with this column.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn push(&mut self, (data, ctrl): (u64, u8)) -> Result<(), Error> {
        self.inputs[port::XGMII_RXD_I] = data;
        self.inputs[port::XGMII_RXC_I] = ctrl.into();
        self.dut.step(&self.inputs, &mut self.outputs)?;
        self.now += CYCLE_PS;
        if self.outputs[port::STAT_O] >> 14 != 0 {
            self.count();
        }
        if self.outputs[port::M_AXIS_TVALID_O] == 1 {
            self.take_beat()?;
        }
        Ok(())
    }

    // mac_rx_stat_t: good, bad_fcs, runt, oversize, error, bytes[13:0]
    fn count(&mut self) {
        let stat = self.outputs[port::STAT_O];
        for (index, count) in self.stat.frames.iter_mut().enumerate() {
            *count += stat >> (18 - index) & 1;
        }
        if stat >> 18 & 1 == 1 {
            self.stat.bytes += stat & 0x3fff;
        }
    }

    fn take_beat(&mut self) -> Result<(), Error> {
        let keep = self.outputs[port::M_AXIS_TKEEP_O];
        let last = self.outputs[port::M_AXIS_TLAST_O] == 1;
        let drop = self.outputs[port::M_AXIS_TUSER_O] == 1;
        let octets = keep.trailing_ones() as usize;
        self.dut.check(
            keep >> octets == 0 && octets > 0 && (octets == 8 || last),
            || format!("tkeep {keep:#04x} with tlast {last}"),
        )?;
        let data = self.outputs[port::M_AXIS_TDATA_O].to_le_bytes();
        self.partial.extend_from_slice(&data[..octets]);
        if !last {
            return Ok(());
        }
        if self.keep {
            let bytes = std::mem::take(&mut self.partial);
            self.received.push(Received { bytes, drop });
            return Ok(());
        }
        if !drop {
            self.delivered += 1;
            self.compare()?;
            let (good, delivered) = (self.stat.frames[Fate::Good as usize], self.delivered);
            self.dut.check(good == delivered, || {
                format!("{delivered} frames delivered, {good} counted as good")
            })?;
        }
        self.partial.clear();
        Ok(())
    }

    fn compare(&mut self) -> Result<(), Error> {
        while let Some((fate, bytes)) = self.expected.pop_front() {
            if fate != Fate::Good {
                continue;
            }
            return self.dut.check(bytes == self.partial, || {
                let at = bytes.iter().zip(&self.partial).position(|(a, b)| a != b);
                format!(
                    "frame of {} bytes sent, {} received, first difference at {at:?}",
                    bytes.len(),
                    self.partial.len()
                )
            });
        }
        Err(self.dut.mismatch("a frame was delivered that nobody sent"))
    }
}
