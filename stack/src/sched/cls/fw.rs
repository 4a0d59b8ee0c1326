//! `fw`: the packet's mark (net/sched/cls_fw.c).

use super::{Exts, TcfResult, Verdict};
use crate::sched::act::Env;
use crate::sched::handle::Handle;
use crate::skb::SkBuff;

/// Filters by mark. Without any, a mark is a class (`1:10` is 0x10010) or the lower half of one.
#[derive(Default)]
pub(crate) struct Fw {
    /// Mark, mask, and what is done.
    pub filters: Vec<FwFilter>,
    /// The qdisc that it is attached to.
    pub qdisc: Handle,
}

/// One mark.
pub(crate) struct FwFilter {
    /// The mark, also its name.
    pub mark: u32,
    pub mask: u32,
    pub exts: Exts,
}

impl Fw {
    /// `fw_classify()`.
    pub fn classify(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        let mark = skb.mark;
        if self.filters.is_empty() {
            // The old way: the mark is the class.
            let class = Handle(mark);
            let own = class.major() == 0 || class.major() == self.qdisc.major();
            return (mark != 0 && own).then(|| TcfResult {
                verdict: Verdict::Ok,
                classid: self.qdisc.class(class.minor()),
            });
        }
        self.filters
            .iter_mut()
            .filter(|filter| mark & filter.mask == filter.mark)
            .find_map(|filter| filter.exts.exec(skb, env))
    }
}
