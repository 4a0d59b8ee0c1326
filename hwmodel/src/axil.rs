//! Register accesses: an AXI4-Lite master in front of BAR0, as the PCIe hard block of an FPGA is.

use crate::{
    Ps,
    bridge::{PinsIn, PinsOut},
};
use std::collections::VecDeque;

/// One register access on its way to the device.
#[derive(Debug, Clone, Copy)]
struct Access {
    /// When it arrives at the device.
    at: Ps,
    write: bool,
    /// Of the 32-bit word.
    addr: u16,
    data: u32,
    strobe: u8,
}

/// What the device said to a finished access.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Response {
    /// `None` for a write.
    pub data: Option<u32>,
    /// OKAY.
    pub ok: bool,
}

/// Performs accesses one after the other, in the order in which they were queued.
#[derive(Debug, Default)]
pub(crate) struct AxiLite {
    queue: VecDeque<Access>,
    current: Option<Access>,
    /// Channels of the current access that were not accepted yet.
    aw: bool,
    w: bool,
    ar: bool,
}

impl AxiLite {
    /// Queues a write of `width` bytes (1, 2, 4) that arrives at `at`; naturally aligned.
    pub(crate) fn write(&mut self, at: Ps, offset: u16, width: u8, value: u32) {
        let lane = offset % 4;
        self.queue.push_back(Access {
            at,
            write: true,
            addr: offset - lane,
            data: value << (8 * lane),
            strobe: ((1u8 << width) - 1) << lane,
        });
    }

    /// Queues a read of the 32-bit word around `offset` that arrives at `at`.
    pub(crate) fn read(&mut self, at: Ps, offset: u16) {
        let addr = offset - offset % 4;
        self.queue.push_back(Access {
            at,
            write: false,
            addr,
            data: 0,
            strobe: 0,
        });
    }

    /// When it next drives a pin; 0 during an access.
    pub(crate) fn next_event(&self) -> Option<Ps> {
        if self.current.is_some() {
            Some(0)
        } else {
            self.queue.front().map(|a| a.at)
        }
    }

    /// Decides the inputs of the cycle that begins at `now`; the response of an access that this
    /// cycle's edge completes.
    #[inline]
    pub(crate) fn drive(&mut self, now: Ps, out: &PinsOut, pins: &mut PinsIn) -> Option<Response> {
        if self.current.is_none() && self.queue.front().is_none_or(|next| next.at > now) {
            return None;
        }
        self.drive_busy(out, pins)
    }

    fn drive_busy(&mut self, out: &PinsOut, pins: &mut PinsIn) -> Option<Response> {
        let access = match self.current {
            Some(access) => access,
            None => {
                let access = self.queue.pop_front()?;
                (self.aw, self.w, self.ar) = (access.write, access.write, !access.write);
                pins.s_axil_awaddr = access.addr;
                pins.s_axil_araddr = access.addr;
                pins.s_axil_wdata = access.data;
                pins.s_axil_wstrb = access.strobe;
                pins.s_axil_bready = true;
                pins.s_axil_rready = true;
                self.current = Some(access);
                access
            }
        };
        (pins.s_axil_awvalid, pins.s_axil_wvalid, pins.s_axil_arvalid) = (self.aw, self.w, self.ar);
        let accepted = !(self.aw | self.w | self.ar);
        self.aw &= !out.s_axil_awready;
        self.w &= !out.s_axil_wready;
        self.ar &= !out.s_axil_arready;
        let response = match access.write {
            true if out.s_axil_bvalid => Response {
                data: None,
                ok: out.s_axil_bresp == 0,
            },
            false if out.s_axil_rvalid => Response {
                data: Some(out.s_axil_rdata),
                ok: out.s_axil_rresp == 0,
            },
            _ => return None,
        };
        // A response to an access that was not accepted would be a leftover; there is none.
        if !accepted {
            return None;
        }
        self.current = None;
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> PinsOut {
        PinsOut {
            s_axil_awready: true,
            s_axil_wready: true,
            s_axil_arready: true,
            ..PinsOut::default()
        }
    }

    #[test]
    fn narrow_writes_use_their_lanes() {
        for (offset, width, value, addr, data, strobe) in [
            (0x14, 1, 0x0f, 0x14, 0x0000_000f, 0b0001),
            (0x16, 2, 0xbeef, 0x14, 0xbeef_0000, 0b1100),
            (0x17, 1, 0x80, 0x14, 0x8000_0000, 0b1000),
            (0x20, 4, 0x1234_5678, 0x20, 0x1234_5678, 0b1111),
        ] {
            let mut bus = AxiLite::default();
            let mut pins = PinsIn::reset();
            bus.write(100, offset, width, value);
            assert!(bus.drive(99, &idle(), &mut pins).is_none());
            assert!(!pins.s_axil_awvalid);
            assert!(bus.drive(100, &idle(), &mut pins).is_none());
            assert!(pins.s_axil_awvalid && pins.s_axil_wvalid && !pins.s_axil_arvalid);
            assert_eq!(
                (pins.s_axil_awaddr, pins.s_axil_wdata, pins.s_axil_wstrb),
                (addr, data, strobe)
            );
            assert!(bus.drive(200, &idle(), &mut pins).is_none());
            assert!(!pins.s_axil_awvalid && !pins.s_axil_wvalid);
            let done = bus.drive(
                300,
                &PinsOut {
                    s_axil_bvalid: true,
                    ..idle()
                },
                &mut pins,
            );
            assert!(done.is_some_and(|r| r.ok && r.data.is_none()));
            assert_eq!(bus.next_event(), None);
        }
    }

    #[test]
    fn accesses_keep_their_order_and_wait_for_each_other() {
        let mut bus = AxiLite::default();
        let mut pins = PinsIn::reset();
        bus.write(0, 0, 4, 1);
        bus.read(0, 2);
        let busy = PinsOut {
            s_axil_wready: true,
            ..PinsOut::default()
        };
        bus.drive(0, &busy, &mut pins);
        bus.drive(1, &busy, &mut pins);
        assert!(pins.s_axil_awvalid && !pins.s_axil_wvalid && !pins.s_axil_arvalid);
        bus.drive(2, &idle(), &mut pins);
        assert!(
            bus.drive(
                3,
                &PinsOut {
                    s_axil_bvalid: true,
                    ..idle()
                },
                &mut pins
            )
            .is_some()
        );
        bus.drive(4, &idle(), &mut pins);
        assert!(pins.s_axil_arvalid && pins.s_axil_araddr == 0);
        let answer = PinsOut {
            s_axil_rvalid: true,
            s_axil_rdata: 7,
            s_axil_rresp: 2,
            ..idle()
        };
        let done = bus
            .drive(5, &answer, &mut pins)
            .expect("the read is answered");
        assert_eq!((done.data, done.ok), (Some(7), false));
    }
}
