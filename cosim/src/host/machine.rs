//! CPU, NIC and simulated time: what the driver's platform and the event loop share.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use hwmodel::{Device, MsixMessage, Stop, WireFrame};
use stack::{PacketId, SkBuff, Stage, Tracer};

use super::accounts::Accounts;
use super::stage_cost::stage_cost;
use crate::cpu::{Costs, Cpu};
use crate::error::Error;
use crate::trace::{Ps, Recorder};

/// The machine, shared by everything that runs on it. All of it lives in one thread.
pub type Shared<D> = Rc<RefCell<Machine<D>>>;

/// One CPU and one NIC. While the CPU works the NIC stays behind: it catches up before the CPU looks at
/// what both share, its registers and the rings, and in between nobody can tell.
pub struct Machine<D> {
    pub(crate) device: D,
    pub(crate) cpu: Cpu,
    pub(crate) costs: Costs,
    /// Interrupt messages that the CPU has not taken, oldest first.
    pub(crate) messages: VecDeque<MsixMessage>,
    /// Frames that left the NIC and were not collected, oldest first.
    pub(crate) wire_out: VecDeque<WireFrame>,
    pub(crate) accounts: Accounts,
    pub(crate) recorder: Option<Recorder>,
    /// A socket got something to read.
    pub(crate) woken: bool,
    /// The first failure; it ends the run.
    fault: Option<Error>,
}

impl<D: Device> Machine<D> {
    pub(crate) fn new(mut device: D, costs: Costs, recorder: Option<Recorder>) -> Self {
        device.set_dma_log(recorder.is_some());
        Self {
            device,
            cpu: Cpu::default(),
            costs,
            messages: VecDeque::new(),
            wire_out: VecDeque::new(),
            accounts: Accounts::default(),
            recorder,
            woken: false,
            fault: None,
        }
    }

    /// The CPU works for `cost` picoseconds.
    pub(crate) fn work(&mut self, cost: Ps) {
        self.cpu.work(cost);
    }

    /// The CPU works for `cost` picoseconds, then accesses the NIC.
    pub(crate) fn access(&mut self, cost: Ps) {
        self.work(cost);
        self.catch_up();
    }

    /// Runs the NIC up to the CPU's time, and takes what it sends out.
    pub(crate) fn catch_up(&mut self) {
        let until = self.cpu.now();
        while self.fault.is_none() && self.device.now() < until {
            if self.step(until) == Stop::Time {
                break;
            }
        }
    }

    /// Runs the NIC until `until` or until it wants something, whatever comes first.
    pub(crate) fn step(&mut self, until: Ps) -> Stop {
        let stop = match self.device.run_until(until) {
            Ok(stop) => stop,
            Err(error) => {
                self.fail(Error::machine("the NIC stopped", error));
                return Stop::Time;
            }
        };
        self.collect();
        stop
    }

    /// Takes messages, frames and bursts from the device.
    fn collect(&mut self) {
        while let Some(message) = self.device.take_msix() {
            self.messages.push_back(message);
        }
        while let Some(frame) = self.device.take_wire() {
            self.accounts.frame_out(frame.bytes.len());
            if let Some(recorder) = &mut self.recorder {
                recorder.bursts(self.device.take_dma_log());
                recorder.wire_out(frame.at, frame.end, &frame.bytes);
            }
            self.wire_out.push_back(frame);
        }
    }

    /// A frame is put on the wire, in the slot from `at` to `end`.
    pub(crate) fn wire_in(&mut self, number: u64, at: Ps, end: Ps, bytes: Vec<u8>) {
        self.accounts.frame_in(bytes.len());
        if let Some(recorder) = &mut self.recorder {
            recorder.wire_in(number, at, end, &bytes);
        }
        self.device.wire_send(WireFrame::new(at, bytes));
    }

    /// Remembers the first failure.
    pub(crate) fn fail(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }

    /// The failure, if there was one.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// A packet passes a stage now: it is noted, then the work is done.
    fn stage(&mut self, skb: &SkBuff, stage: Stage) {
        let now = self.cpu.now();
        self.accounts.stage(skb, stage);
        self.woken |= matches!(stage, Stage::SocketQueue);
        if let Some(recorder) = &mut self.recorder {
            recorder.bursts(self.device.take_dma_log());
            recorder.software(now, skb, stage);
        }
        self.work(stage_cost(&self.costs, skb, stage));
    }

    /// The driver writes the doorbell of `queue` now.
    pub(crate) fn doorbell(&mut self, queue: u16) {
        let now = self.cpu.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.bursts(self.device.take_dma_log());
            recorder.doorbell(now, queue);
        }
    }

    /// Packets made from now on are caused by this one, unless they say otherwise.
    pub(crate) fn set_cause(&mut self, cause: Option<PacketId>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.set_cause(cause);
        }
    }
}

/// The stack's view of the machine.
pub(crate) struct CpuTracer<D>(pub Shared<D>);

impl<D: Device> Tracer for CpuTracer<D> {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        self.0.borrow_mut().stage(skb, stage);
    }
}
