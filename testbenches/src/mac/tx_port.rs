use super::{Dut, SHORTEST};
use crate::{Error, Options, block::mac_tx as port};
use hwmodel::{
    CYCLE_PS, Ps,
    xgmii::{WireError, WireFrame, XgmiiSink},
};
use std::collections::VecDeque;

/// Sums of the pulses of `stat_o`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxStat {
    /// Frames sent.
    pub sent: u64,
    /// Frames cut because the stream paused.
    pub underrun: u64,
    /// Bytes of frames sent, padding included, FCS not.
    pub bytes: u64,
}

/// A frame on its way into the transmitter.
struct Outgoing {
    bytes: Vec<u8>,
    /// tvalid falls before this beat, for as many cycles.
    hole: Option<(usize, u32)>,
}

/// `mac_tx` with a checker: frames in beat by beat, columns out to an [`XgmiiSink`].
pub struct TxPort {
    dut: Dut,
    inputs: [u64; port::IN_WORDS],
    outputs: [u64; port::OUT_WORDS],
    now: Ps,
    queue: VecDeque<Outgoing>,
    beat: usize,
    /// tvalid has been set for the frame in front.
    offered: bool,
    expected: VecDeque<Vec<u8>>,
    expected_stat: TxStat,
    stat: TxStat,
    sink: XgmiiSink,
    /// Objections of the sink, when [`tolerant`](Self::tolerant) is set.
    pub objections: Vec<WireError>,
    /// Collect objections instead of failing.
    pub tolerant: bool,
    /// XORed to the column of the next cycle: a seeded bug that the checker must find.
    pub flip: (u64, u8),
    /// Frames that came out, compared already.
    pub sent: Vec<WireFrame>,
}

impl TxPort {
    /// A transmitter.
    ///
    /// # Errors
    /// As for every step: a failed assertion of the RTL.
    pub fn open(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            dut: Dut::open(port::NAME, options)?,
            inputs: port::inputs(),
            outputs: port::outputs(),
            now: 0,
            queue: VecDeque::new(),
            beat: 0,
            offered: false,
            expected: VecDeque::new(),
            expected_stat: TxStat::default(),
            stat: TxStat::default(),
            sink: XgmiiSink::new(),
            objections: Vec::new(),
            tolerant: false,
            flip: (0, 0),
            sent: Vec::new(),
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

    /// What the pulses of the transmitter add up to.
    #[must_use]
    pub fn stat(&self) -> TxStat {
        self.stat
    }

    /// An error at this cycle.
    #[must_use]
    pub fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }

    /// Frames that have not wholly gone into the transmitter.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// In the last cycle the transmitter was busy.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.outputs[port::BUSY_O] == 1
    }

    /// Queues a frame; it must come out, padded.
    pub fn send(&mut self, bytes: Vec<u8>) {
        let mut padded = bytes.clone();
        padded.resize(bytes.len().max(SHORTEST), 0);
        self.expected_stat.sent += 1;
        self.expected_stat.bytes += padded.len() as u64;
        self.expected.push_back(padded);
        self.queue.push_back(Outgoing { bytes, hole: None });
    }

    /// Queues a frame whose stream pauses for `cycles` before beat `beat`, which is not its first: it
    /// must be cut.
    pub fn send_with_hole(&mut self, bytes: Vec<u8>, beat: usize, cycles: u32) {
        self.expected_stat.underrun += 1;
        self.queue.push_back(Outgoing {
            bytes,
            hole: Some((beat, cycles)),
        });
    }

    /// One cycle. Frames begin only when `begin` is set. Returns the column.
    ///
    /// # Errors
    /// An objection of the sink, or a frame that differs from the one that was sent.
    pub fn step(&mut self, begin: bool) -> Result<(u64, u8), Error> {
        let offered = self.offer(begin);
        self.dut.step(&self.inputs, &mut self.outputs)?;
        if offered && self.outputs[port::S_AXIS_TREADY_O] == 1 {
            self.beat += 1;
            if self.inputs[port::S_AXIS_TLAST_I] == 1 {
                self.queue.pop_front();
                self.beat = 0;
                self.offered = false;
            }
        }
        self.count();
        let flip = std::mem::take(&mut self.flip);
        let column = (
            self.outputs[port::XGMII_TXD_O] ^ flip.0,
            self.outputs[port::XGMII_TXC_O] as u8 ^ flip.1,
        );
        let now = self.now;
        self.now += CYCLE_PS;
        match self.sink.push(now, column.0, column.1) {
            Ok(Some(frame)) => self.compare(frame)?,
            Ok(None) => {}
            Err(error) if self.tolerant => self.objections.push(error),
            Err(error) => return Err(self.dut.mismatch(error.to_string())),
        }
        Ok(column)
    }

    /// Steps until everything has left, and compares the counters.
    ///
    /// # Errors
    /// As for [`step`](Self::step), and frames that did not come out.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.run_idle()?;
        let missing = self.expected.len();
        self.dut.check(missing == 0, || {
            format!("{missing} frames did not come out")
        })?;
        let (stat, expected) = (self.stat, self.expected_stat);
        self.dut.check(stat == expected, || {
            format!("statistics {stat:?}, must be {expected:?}")
        })
    }

    /// Steps until the queue is empty and the transmitter is idle.
    ///
    /// # Errors
    /// As for [`step`](Self::step), and when the transmitter does not become idle.
    pub fn run_idle(&mut self) -> Result<(), Error> {
        while self.pending() > 0 {
            self.step(true)?;
        }
        for _ in 0..32 {
            self.step(true)?;
            if !self.busy() {
                return Ok(());
            }
        }
        Err(self
            .dut
            .mismatch("still busy 32 cycles after the last beat"))
    }

    /// Expects nothing any more; returns how many frames had not come out.
    pub fn forget(&mut self) -> usize {
        let lost = self.expected.len();
        self.expected.clear();
        lost
    }

    /// Leaves out `cycles` cycles if the transmitter allows it.
    pub fn skip(&mut self, cycles: u64) -> bool {
        let idle = !self.busy() && !self.sink.in_frame();
        if idle {
            self.now += cycles * CYCLE_PS;
        }
        idle
    }

    /// Puts the next beat on the inputs, if there is one.
    fn offer(&mut self, begin: bool) -> bool {
        self.inputs[port::S_AXIS_TVALID_I] = 0;
        let Some(frame) = self.queue.front_mut() else {
            return false;
        };
        // tvalid stays once it is set (AXI4-Stream 2.2.1).
        if !(begin || self.offered) {
            return false;
        }
        self.offered = true;
        if let Some((beat, cycles)) = &mut frame.hole
            && *beat == self.beat
            && *cycles > 0
        {
            *cycles -= 1;
            return false;
        }
        let rest = &frame.bytes[self.beat * 8..];
        let octets = rest.len().min(8);
        // What tkeep leaves out must not matter.
        let mut data = [0x5a; 8];
        data[..octets].copy_from_slice(&rest[..octets]);
        self.inputs[port::S_AXIS_TDATA_I] = u64::from_le_bytes(data);
        self.inputs[port::S_AXIS_TKEEP_I] = 0xff >> (8 - octets);
        self.inputs[port::S_AXIS_TLAST_I] = u64::from(rest.len() <= 8);
        self.inputs[port::S_AXIS_TVALID_I] = 1;
        true
    }

    // mac_tx_stat_t: sent, underrun, bytes[13:0]
    fn count(&mut self) {
        let stat = self.outputs[port::STAT_O];
        self.stat.underrun += stat >> 14 & 1;
        if stat >> 15 & 1 == 1 {
            self.stat.sent += 1;
            self.stat.bytes += stat & 0x3fff;
        }
    }

    fn compare(&mut self, frame: WireFrame) -> Result<(), Error> {
        let Some(expected) = self.expected.pop_front() else {
            return Err(self.dut.mismatch("a frame came out that nobody sent"));
        };
        self.dut
            .check(frame.fcs_ok && frame.bytes == expected, || {
                let at = frame.bytes.iter().zip(&expected).position(|(a, b)| a != b);
                format!(
                    "frame of {} bytes with padding came out with {}, first difference at {at:?}, \
                     FCS right: {}",
                    expected.len(),
                    frame.bytes.len(),
                    frame.fcs_ok
                )
            })?;
        self.sent.push(frame);
        Ok(())
    }
}
