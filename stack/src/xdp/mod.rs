//! XDP: a program sees each received frame first, before GRO and everything behind it, in the buffer that the device wrote.
//!
//! ```text
//! driver ─► XDP ─┬─► PASS ─► GRO ─► tc ingress ─► …
//!                ├─► DROP, ABORTED (and what is no verdict): the end
//!                ├─► TX ─► out of the same device, past every queue
//!                └─► REDIRECT ─► out of another device, or into an AF_XDP socket
//! ```
//!
//! The order is that of a program in the driver (native mode); what happens to the frame is that of generic mode
//! (`bpf_prog_run_generic_xdp()`, `generic_xdp_tx()`), because there is no page that is not a packet's already.

mod cls;
mod xsk;

pub use cls::TcBpf;
pub use xsk::XskId;
pub(crate) use xsk::XskSockets;

use crate::bpf::{Maps, Packet, Program, ProgramEnv, ProgramType, Redirect};
use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::skb::{CsumState, IfIndex, NET_SKB_PAD, SkBuff};
use crate::stack::Stack;
use crate::trace::{Stage, XdpAction};
use crate::validate_xmit::skb_checksum_help;

/// Free bytes that a program which moves the start of the frame finds before it.
const XDP_PACKET_HEADROOM: usize = 256;
/// What a frame may be longer than the MTU: Ethernet header and a tag (`xdp_ok_fwd_dev()`).
const FRAME_OVERHEAD: usize = 14 + 4;

/// Verdicts (`enum xdp_action`).
mod verdict {
    pub const DROP: u32 = 1;
    pub const PASS: u32 = 2;
    pub const TX: u32 = 3;
    pub const REDIRECT: u32 = 4;
}

/// What became of the frames that a device's program saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpStats {
    /// `XDP_PASS`: went on.
    pub pass: u64,
    /// `XDP_DROP`
    pub drop: u64,
    /// `XDP_TX`: sent back; [`tx_errors`](Self::tx_errors) of them were lost.
    pub tx: u64,
    /// `XDP_TX`: the device did not take them.
    pub tx_errors: u64,
    /// `XDP_REDIRECT`: sent elsewhere; [`redirect_errors`](Self::redirect_errors) of them were lost.
    pub redirect: u64,
    /// `XDP_REDIRECT`: there is no such device or socket, or it did not take them.
    pub redirect_errors: u64,
    /// `XDP_ABORTED`, or a value that is no verdict.
    pub aborted: u64,
    /// The program was stopped: it left its memory or its time. The frames are lost as with `XDP_ABORTED`.
    pub faults: u64,
}

/// A device's program.
pub(crate) struct XdpProgram {
    program: Program,
    stats: XdpStats,
}

impl Stack {
    /// `ip link set dev IFINDEX xdp object ELF section SECTION`: from now on the program in this section (or the function of this name) of
    /// an object file as `clang -target bpf` writes it sees every frame that the device receives. It replaces the one before.
    pub fn xdp_attach(
        &mut self,
        dev: IfIndex,
        elf: &[u8],
        section: &str,
    ) -> Result<(), StackError> {
        let program = Program::load(elf, section, ProgramType::Xdp)?;
        self.xdp_attach_program(dev, program)
    }

    /// As [`xdp_attach`](Self::xdp_attach), with a program that was loaded already.
    pub fn xdp_attach_program(
        &mut self,
        dev: IfIndex,
        mut program: Program,
    ) -> Result<(), StackError> {
        if program.kind() != ProgramType::Xdp {
            return Err(StackError::WrongProgram);
        }
        program.seed(self.random());
        let device = self.device_mut(dev).ok_or(StackError::NoDevice(dev))?;
        device.xdp = Some(Box::new(XdpProgram {
            program,
            stats: XdpStats::default(),
        }));
        Ok(())
    }

    /// `ip link set dev IFINDEX xdp off`: `false` when there was no program.
    pub fn xdp_detach(&mut self, dev: IfIndex) -> bool {
        self.device_mut(dev)
            .is_some_and(|device| device.xdp.take().is_some())
    }

    /// Counters of the device's program since it was attached; `None` without one.
    pub fn xdp_stats(&self, dev: IfIndex) -> Option<XdpStats> {
        Some(self.device(dev)?.xdp.as_ref()?.stats)
    }

    /// The maps of the device's program; `None` without one. They must not be borrowed while the stack works.
    pub fn xdp_maps(&self, dev: IfIndex) -> Option<Maps> {
        Some(self.device(dev)?.xdp.as_ref()?.program.maps())
    }

    /// `do_xdp_generic()`: the device's program decides about a frame, data at its Ethernet header. It comes back to go on.
    #[inline]
    pub(crate) fn do_xdp(&mut self, dev: IfIndex, skb: &mut SkBuff) -> bool {
        match self.device(dev) {
            Some(device) if device.xdp.is_some() => self.bpf_prog_run_xdp(dev, skb),
            _ => true,
        }
    }

    fn bpf_prog_run_xdp(&mut self, dev: IfIndex, skb: &mut SkBuff) -> bool {
        let now = self.now;
        let Some(xdp) = self.device_mut(dev).and_then(|device| device.xdp.as_mut()) else {
            return true;
        };
        let (verdict, redirect) = match run(&mut xdp.program, skb, dev, now) {
            Some((code, redirect)) => (code, redirect),
            None => {
                xdp.stats.faults += 1;
                self.trace(skb, Stage::Xdp(XdpAction::Aborted));
                // Not counted as aborted too.
                self.kfree_skb(std::mem::take(skb), DropReason::NotSpecified);
                return false;
            }
        };
        let action = match verdict {
            verdict::PASS => XdpAction::Pass,
            verdict::DROP => XdpAction::Drop,
            verdict::TX => XdpAction::Tx,
            verdict::REDIRECT => XdpAction::Redirect,
            // XDP_ABORTED; bpf_warn_invalid_xdp_action() for what is no verdict.
            _ => XdpAction::Aborted,
        };
        let stats = &mut xdp.stats;
        *match action {
            XdpAction::Pass => &mut stats.pass,
            XdpAction::Drop => &mut stats.drop,
            XdpAction::Tx => &mut stats.tx,
            XdpAction::Redirect => &mut stats.redirect,
            XdpAction::Aborted => &mut stats.aborted,
        } += 1;
        self.trace(skb, Stage::Xdp(action));
        match action {
            XdpAction::Pass => return true,
            XdpAction::Tx => {
                if !self.generic_xdp_tx(std::mem::take(skb), dev) {
                    self.xdp_count(dev, |stats| stats.tx_errors += 1);
                }
                return false;
            }
            XdpAction::Redirect => {
                if !self.xdp_do_redirect(std::mem::take(skb), redirect) {
                    self.xdp_count(dev, |stats| stats.redirect_errors += 1);
                }
                return false;
            }
            XdpAction::Drop | XdpAction::Aborted => {}
        }
        self.kfree_skb(std::mem::take(skb), DropReason::NotSpecified);
        false
    }

    fn xdp_count(&mut self, dev: IfIndex, count: impl FnOnce(&mut XdpStats)) {
        if let Some(xdp) = self.device_mut(dev).and_then(|device| device.xdp.as_mut()) {
            count(&mut xdp.stats);
        }
    }

    /// `xdp_do_generic_redirect()`. `false`: the frame is lost.
    fn xdp_do_redirect(&mut self, skb: SkBuff, redirect: Option<Redirect>) -> bool {
        match redirect {
            Some(Redirect::Device { ifindex, .. }) => {
                let dev = IfIndex(ifindex);
                let fits = self.device(dev).is_some_and(|device| {
                    skb.len() <= usize::from(device.ops.mtu()) + FRAME_OVERHEAD
                });
                if fits {
                    return self.generic_xdp_tx(skb, dev);
                }
                self.kfree_skb(skb, DropReason::NotSpecified);
                false
            }
            Some(Redirect::Xsk(id)) => self.xsk_generic_rcv(skb, id),
            None => {
                self.kfree_skb(skb, DropReason::NotSpecified);
                false
            }
        }
    }

    /// `generic_xdp_tx()`: to the driver at once, past hooks and queues. `false`: it did not take the frame, which is lost.
    fn generic_xdp_tx(&mut self, mut skb: SkBuff, dev: IfIndex) -> bool {
        let Some(device) = self.device_mut(dev).filter(|device| device.is_running()) else {
            self.kfree_skb(skb, DropReason::NotSpecified);
            return false;
        };
        skb.dev = dev;
        skb.forget_csum_complete();
        if !device.features.hw_csum {
            skb_checksum_help(&mut skb);
        }
        let receiver = device.comes_back_through();
        if receiver.is_none() && !skb.is_in(&device.pool) {
            let Some(copy) = skb.copy_into_pages(&device.pool, NET_SKB_PAD) else {
                self.kfree_skb(skb, DropReason::NoMem);
                return false;
            };
            skb = copy;
        }
        self.trace(&skb, Stage::Xmit);
        self.conntrack.put(skb.nfct.take());
        let bytes = skb.len() as u64;
        let Some(device) = self.device_mut(dev) else {
            return false;
        };
        // xdp_tx_busy: nothing waits behind a stopped queue.
        let sent = match device.tx_stopped {
            true => Err(skb),
            false => device.ops.start_xmit(skb),
        };
        match sent {
            Ok(()) => {
                device.needs_flush = true;
                device.stats.tx_packets += 1;
                device.stats.tx_bytes += bytes;
                self.stats.transmitted += 1;
                if let Some(receiver) = receiver {
                    self.napi_schedule(receiver);
                }
                true
            }
            Err(skb) => {
                device.stats.tx_busy += 1;
                device.stats.tx_dropped += 1;
                self.kfree_skb(skb, DropReason::NotSpecified);
                false
            }
        }
    }
}

/// `bpf_prog_run_generic_xdp()`: the verdict, and where the frame is redirected; `None` when the program was stopped.
fn run(
    program: &mut Program,
    skb: &mut SkBuff,
    dev: IfIndex,
    now: crate::Ps,
) -> Option<(u32, Option<Redirect>)> {
    /// Offsets of data, data_end and data_meta in `struct xdp_md`.
    const PACKET: [usize; 3] = [0, 4, 8];
    skb.skb_linearize();
    if program.adjusts_head() && skb.headroom() < XDP_PACKET_HEADROOM {
        skb.skb_cow(XDP_PACKET_HEADROOM);
    }
    let mut md = [0u8; 24];
    // ingress_ifindex; rx_queue_index and egress_ifindex stay 0.
    md[12..16].copy_from_slice(&dev.0.to_le_bytes());
    let env = ProgramEnv {
        now,
        csum_partial: matches!(skb.csum, CsumState::Partial { .. }),
    };
    let (buf, start, end) = skb.linear_buffer();
    let mut packet = Packet {
        buf,
        start,
        end,
        meta: start,
        written: false,
    };
    let result = program.run(&mut md, &[], PACKET, &mut packet, env);
    let (now_start, now_end, written) = (packet.start, packet.end, packet.written);
    let (code, redirect) = result.ok()?;
    if written {
        skb.forget_csum_complete();
        move_partial(skb, now_start as isize - start as isize);
        skb.set_linear(now_start, now_end);
    }
    Some((code as u32, redirect))
}

/// The place of a checksum that is left to a device is counted from the start of the frame, which moved by `by` bytes. If it is outside
/// after that, nothing is left to do.
fn move_partial(skb: &mut SkBuff, by: isize) {
    if let CsumState::Partial { start, offset } = skb.csum {
        let moved = isize::try_from(start).unwrap_or(isize::MAX) - by;
        skb.csum = match u16::try_from(moved) {
            Ok(start) => CsumState::Partial { start, offset },
            Err(_) => CsumState::None,
        };
    }
}
