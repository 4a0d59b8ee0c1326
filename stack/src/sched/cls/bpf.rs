//! `bpf`: a program decides (net/sched/cls_bpf.c).

use super::{Exts, TcfResult, Verdict};
use crate::Ps;
use crate::sched::act::Env;
use crate::sched::handle::Handle;
use crate::skb::{IfIndex, SkBuff};
use std::cell::RefCell;
use std::rc::Rc;

/// What a program says of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BpfVerdict {
    /// The program's return value: with direct action one of `TC_ACT_*` (−1 unspec, 0 ok, 1 reclassify, 2 shot, 3 pipe, 4 stolen,
    /// 7 redirect), otherwise 0 for "no match", −1 for the class of the filter, or a class of its own.
    pub code: i32,
    /// Where `bpf_redirect()` sends the packet with code 7; `true`: as if that device had received it.
    pub redirect: Option<(IfIndex, bool)>,
}

/// A program for `tc filter … bpf`. It may change the packet.
pub trait TcProgram {
    /// Runs it. `skb`: received packets start at the network header, packets to be sent at the Ethernet header; the program sees both from the
    /// Ethernet header on ([`SkBuff::mac_bytes`]). `now`: simulated time.
    fn run(&mut self, skb: &mut SkBuff, now: Ps) -> BpfVerdict;
}

/// A program that several filters share, with what it keeps.
pub(crate) type SharedProgram = Rc<RefCell<Box<dyn TcProgram>>>;

/// The programs of one priority.
#[derive(Default)]
pub(crate) struct BpfFilter {
    pub programs: Vec<BpfEntry>,
}

/// One program.
pub(crate) struct BpfEntry {
    pub handle: u32,
    /// Name under which the host knows the program.
    pub name: String,
    pub program: SharedProgram,
    /// The program's value is the verdict.
    pub direct_action: bool,
    pub exts: Exts,
}

impl BpfFilter {
    /// `cls_bpf_classify()`.
    pub fn classify(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        self.programs
            .iter_mut()
            .find_map(|entry| entry.classify(skb, env))
    }
}

impl BpfEntry {
    fn classify(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        let said = self
            .program
            .borrow_mut()
            .run(skb, env.now.saturating_mul(1000));
        if !self.direct_action {
            return match said.code {
                0 => None,
                -1 => self.exts.exec(skb, env),
                class => {
                    let mut result = self.exts.exec(skb, env)?;
                    result.classid = Handle(class as u32);
                    Some(result)
                }
            };
        }
        // cls_bpf_exec_opcode(): anything else is "unspec".
        let verdict = match said.code {
            0 => Verdict::Ok,
            1 => Verdict::Reclassify,
            2 => Verdict::Shot,
            3 => Verdict::Pipe,
            4 | 5 | 8 => Verdict::Stolen,
            7 => match said.redirect {
                Some(target) => {
                    env.redirect = Some(target);
                    Verdict::Stolen
                }
                None => Verdict::Shot,
            },
            _ => return None,
        };
        Some(TcfResult {
            verdict,
            classid: self.exts.classid,
        })
    }
}
