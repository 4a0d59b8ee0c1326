//! `ingress` and `clsact`: filters where packets enter and leave, without a queue (net/sched/sch_ingress.c, `sch_handle_ingress()`), and what
//! their redirections do.

use super::act::Env;
use super::cls::{FilterChains, Verdict};
use super::qdisc::{Mirrored, QdiscStats};
use crate::drop_reason::DropReason;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage, TcVerdict};
use crate::xmit::ETH_HLEN;

/// `MIRRED_NEST_LIMIT`: redirections within redirections.
const MIRRED_NEST_LIMIT: u32 = 4;

/// A device's `ingress` or `clsact` qdisc.
#[derive(Default)]
pub(crate) struct Clsact {
    /// It has filters for packets that leave, too.
    pub clsact: bool,
    pub ingress: FilterChains,
    pub egress: FilterChains,
    pub stats: QdiscStats,
}

impl Clsact {
    /// `clsact` or `ingress`.
    pub fn kind(&self) -> &'static str {
        if self.clsact { "clsact" } else { "ingress" }
    }
}

impl Stack {
    /// `sch_handle_ingress()`. Data starts at the network header. `false`: the packet ended or goes elsewhere, and `skb` is empty.
    #[inline]
    #[must_use = "false: the packet is gone"]
    pub(crate) fn sch_handle_ingress(&mut self, skb: &mut SkBuff) -> bool {
        !self.has_clsact(skb.dev) || self.tc_run(skb, true)
    }

    /// `sch_handle_egress()`. Data starts at the Ethernet header.
    #[inline]
    #[must_use = "false: the packet is gone"]
    pub(crate) fn sch_handle_egress(&mut self, skb: &mut SkBuff) -> bool {
        !self.has_clsact(skb.dev) || self.tc_run(skb, false)
    }

    #[inline]
    fn has_clsact(&self, dev: IfIndex) -> bool {
        self.device(dev)
            .is_some_and(|device| device.clsact.is_some())
    }

    /// `tc_run()`.
    fn tc_run(&mut self, skb: &mut SkBuff, ingress: bool) -> bool {
        let now = self.sched_now();
        let device = (skb.dev.0 as usize)
            .checked_sub(1)
            .and_then(|i| self.devices.get_mut(i));
        let Some(clsact) = device.and_then(|device| device.clsact.as_mut()) else {
            return true;
        };
        let filters = if ingress {
            &mut clsact.ingress
        } else {
            &mut clsact.egress
        };
        // mini_qdisc_pair_swap(): without a filter packets pass it by, not even counted.
        if filters.is_empty() {
            return true;
        }
        let pkt_len = u32::try_from(skb.len()).unwrap_or(u32::MAX);
        clsact.stats.update(pkt_len, Some(skb));
        let at = self.mirrored.len();
        let mut env = Env {
            now,
            pkt_len,
            mirrored: &mut self.mirrored,
            redirect: None,
        };
        // For whatever leaves from here.
        skb.nf_skip_egress = true;
        let verdict = filters.classify(skb, &mut env).map(|result| result.verdict);
        let redirect = env.redirect;
        clsact.stats.drops += u64::from(verdict == Some(Verdict::Shot));
        let said = match (verdict, redirect) {
            (Some(Verdict::Stolen), Some(_)) => TcVerdict::Redirect,
            (Some(Verdict::Stolen), None) => TcVerdict::Stolen,
            (Some(Verdict::Shot), _) => TcVerdict::Shot,
            _ => TcVerdict::Ok,
        };
        self.trace(skb, Stage::TcClassify(said));
        self.tcf_mirred_forward(at);
        match (verdict, redirect) {
            (Some(Verdict::Stolen), Some((dev, ingress))) => {
                self.mirrored.push(Mirrored {
                    skb: std::mem::take(skb),
                    dev,
                    ingress,
                    copy: false,
                });
                self.tcf_mirred_forward(at);
                false
            }
            (Some(Verdict::Stolen), None) => {
                self.consume_skb(std::mem::take(skb), Consume::TcAction);
                false
            }
            (Some(Verdict::Shot), _) => {
                self.tc_shot(std::mem::take(skb), ingress);
                false
            }
            _ => true,
        }
    }

    fn tc_shot(&mut self, skb: SkBuff, ingress: bool) {
        if ingress {
            self.count_rx_drop(skb.dev);
            self.kfree_skb(skb, DropReason::TcIngress);
        } else {
            self.count_tx_drop(skb.dev);
            self.kfree_skb(skb, DropReason::TcEgress);
        }
    }

    /// `tcf_mirred_forward()` for what actions put aside, from number `at` on, in their order.
    pub(crate) fn tcf_mirred_forward(&mut self, at: usize) {
        while self.mirrored.len() > at {
            let Mirrored {
                mut skb,
                dev,
                ingress,
                copy,
            } = self.mirrored.remove(at);
            if copy {
                skb.parent = skb.id;
                skb.id = self.new_packet_id();
                self.stats.built += 1;
                self.conntrack.hold(skb.nfct);
            }
            let came_in = skb.network_offset() == 0;
            if self.mirred_depth >= MIRRED_NEST_LIMIT || self.device(dev).is_none() {
                self.tc_shot(skb, came_in);
                continue;
            }
            self.mirred_depth += 1;
            self.tcf_mirred_to_dev(
                Mirrored {
                    skb,
                    dev,
                    ingress,
                    copy,
                },
                came_in,
            );
            self.mirred_depth -= 1;
        }
    }

    /// `tcf_mirred_to_dev()`. `came_in`: the packet was met at ingress, so data starts at its network header.
    fn tcf_mirred_to_dev(&mut self, mirrored: Mirrored, came_in: bool) {
        let Mirrored {
            mut skb,
            dev,
            ingress,
            copy,
        } = mirrored;
        let header = usize::try_from(skb.network_offset() - skb.mac_offset()).unwrap_or(ETH_HLEN);
        let at_expected_header = match (came_in, ingress) {
            (true, false) => skb.push(header).is_some(),
            (false, true) => skb.skb_pull_rcsum(header).is_some(),
            _ => true,
        };
        if !at_expected_header {
            return self.tc_shot(skb, came_in);
        }
        if came_in && !ingress {
            // The sum does not cover the Ethernet header.
            skb.forget_csum_complete();
        }
        // What the first device knew of the packet is of no use on the second one's receive path.
        if ingress {
            self.conntrack.put(skb.nfct.take());
            skb.dst = None;
        }
        (skb.iif, skb.dev) = (skb.dev, dev);
        skb.redirected = (!copy).then_some(came_in);
        if ingress {
            skb.iif = dev;
            self.netif_receive_skb(skb);
        } else {
            self.dev_queue_xmit(skb);
        }
    }
}
