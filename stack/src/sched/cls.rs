//! Classifiers: which class of a qdisc a packet belongs to, or what is done with it (`tcf_classify()`, net/sched/cls_api.c).

pub(crate) mod bpf;
mod config;
mod dump;
pub(crate) mod fw;
pub(crate) mod matchall;
pub(crate) mod u32;

use super::act::{Actions, Env};
use super::handle::Handle;
use super::qdisc::{Cx, Mirrored, NetXmit, Sch};
use super::store::SkbRef;
use super::tc::{FilterConfig, FilterKind, Refusal};
use crate::drop_reason::DropReason;
use crate::napi::{ETH_P_ARP, ETH_P_IP, ETH_P_IPV6};
use crate::skb::SkBuff;
use std::fmt;

/// `ETH_P_ALL`: a filter for packets of every protocol.
pub(crate) const ETH_P_ALL: u16 = 3;
/// EtherTypes that tc knows by name (iproute2, lib/ll_proto.c), under the names that it prints.
pub(crate) const LL_PROTOCOLS: [(u16, &str); 20] = [
    (ETH_P_ALL, "all"),
    (ETH_P_IP, "ip"),
    (ETH_P_IPV6, "ipv6"),
    (ETH_P_ARP, "arp"),
    (0x8100, "802.1Q"),
    (0x88a8, "802.1ad"),
    (0x88cc, "LLDP"),
    (0x8847, "mpls_uc"),
    (0x8848, "mpls_mc"),
    (0x8863, "ppp_disc"),
    (0x8864, "ppp_ses"),
    (0x8035, "rarp"),
    (0x809b, "atalk"),
    (0x80f3, "aarp"),
    (0x8137, "ipx"),
    (0x88ca, "tipc"),
    (0x88a2, "aoe"),
    (0x0060, "loop"),
    (0x0200, "pup"),
    (0x0805, "x25"),
];
/// First priority that is given to a filter without one, in the upper half of a handle.
const AUTO_PRIO: u16 = 0xc000;
/// Priorities from here on are taken for such ones.
const AUTO_PRIO_MIN: u16 = 0x8000;

/// What is to become of a packet (`TC_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `TC_ACT_UNSPEC`: the filter has no opinion, the next one is asked. tc's `continue`.
    Unspec,
    /// `TC_ACT_OK`: on its way. tc's `pass`.
    Ok,
    /// `TC_ACT_RECLASSIFY`: as [`Ok`](Self::Ok) where nothing is classified again.
    Reclassify,
    /// `TC_ACT_SHOT`: dropped.
    Shot,
    /// `TC_ACT_PIPE`: the next action decides; behind the last one as [`Ok`](Self::Ok).
    Pipe,
    /// `TC_ACT_STOLEN`: an action took it.
    Stolen,
}

impl Verdict {
    /// The packet goes no further.
    pub fn ends(self) -> bool {
        matches!(self, Verdict::Shot | Verdict::Stolen)
    }

    /// `action_n2a()`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Unspec => "continue",
            Verdict::Ok => "pass",
            Verdict::Reclassify => "reclassify",
            Verdict::Shot => "drop",
            Verdict::Pipe => "pipe",
            Verdict::Stolen => "stolen",
        }
    }
}

/// What a classifier found (`struct tcf_result`, and the value returned).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcfResult {
    pub verdict: Verdict,
    /// The class; [`Handle::NONE`] when the filter names none.
    pub classid: Handle,
}

/// A kind of classifier.
pub(crate) enum Classifier {
    U32(u32::U32),
    Matchall(matchall::Matchall),
    Fw(fw::Fw),
    Bpf(bpf::BpfFilter),
}

/// The filters of one priority: of one kind and for one protocol (`struct tcf_proto`).
pub(crate) struct TcfProto {
    pub prio: u16,
    /// EtherType, or [`ETH_P_ALL`].
    pub protocol: u16,
    pub classifier: Classifier,
}

/// All filters at one place, in the order in which they are asked: chain 0 of a block.
#[derive(Default)]
pub(crate) struct FilterChains {
    protos: Vec<TcfProto>,
    /// Number of the last `u32` table.
    last_table: Option<u32>,
}

impl FilterChains {
    /// The tables of both are numbered together, as those of one qdisc (`tc_u_common`).
    pub fn share_tables(&mut self, other: &mut Self) {
        let last = self.last_table.max(other.last_table);
        (self.last_table, other.last_table) = (last, last);
    }

    pub fn is_empty(&self) -> bool {
        self.protos.is_empty()
    }

    /// `tcf_classify()`: what the first filter that matches says; `None` when none does.
    pub fn classify(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        let protocol = skb.protocol;
        self.protos
            .iter_mut()
            .filter(|p| p.protocol == protocol || p.protocol == ETH_P_ALL)
            .find_map(|p| match &mut p.classifier {
                Classifier::U32(c) => c.classify(skb, env),
                Classifier::Matchall(c) => c.classify(skb, env),
                Classifier::Fw(c) => c.classify(skb, env),
                Classifier::Bpf(c) => c.classify(skb, env),
            })
    }

    /// The same for a packet that is to be queued. If an action redirected it, it is out of the store afterwards, and the result says
    /// stolen.
    pub fn classify_queued(&mut self, cx: &mut Cx<'_>, skb: &SkbRef) -> Option<TcfResult> {
        let pkt_len = cx.skbs.pkt_len(skb);
        let packet = cx.skbs.skb_mut(skb)?;
        let mut env = Env {
            now: cx.now,
            pkt_len,
            mirrored: cx.mirrored,
            redirect: None,
        };
        let result = self.classify(packet, &mut env);
        if let Some((dev, ingress)) = env.redirect
            && let Some(skb) = cx.skbs.take(skb)
        {
            cx.mirrored.push(Mirrored {
                skb,
                dev,
                ingress,
                copy: false,
            });
        }
        result
    }

    /// `tc_new_tfilter()`: adds a filter. `now`: when.
    ///
    /// `qdisc`: the one that the filters belong to.
    pub fn add(
        &mut self,
        config: FilterConfig,
        qdisc: Handle,
        now: u64,
        ids: &mut FilterIds,
    ) -> Result<(), Refusal> {
        let prio = match config.prio {
            // tcf_auto_prio(): before those that were made up earlier.
            0 => {
                let first = self.protos.iter().find(|p| p.prio >= AUTO_PRIO_MIN);
                first.map_or(AUTO_PRIO, |p| p.prio - 1)
            }
            prio => prio,
        };
        let at = self.protos.partition_point(|p| p.prio < prio);
        match self.protos.get_mut(at).filter(|p| p.prio == prio) {
            Some(proto) => {
                if proto.protocol != config.protocol || proto.kind() != config.kind.name() {
                    return Err(Refusal::PriorityTaken(prio));
                }
                proto.add(config, now, ids)
            }
            None => {
                // gen_new_htid(): numbers of tables that are gone are not used again soon.
                let table = self.last_table.map_or(u32::FIRST, |last| last + 1);
                if let FilterKind::U32(_) = config.kind {
                    self.last_table = Some(table);
                }
                let mut proto = TcfProto {
                    prio,
                    protocol: config.protocol,
                    classifier: Classifier::new(&config.kind, qdisc, table),
                };
                proto.add(config, now, ids)?;
                self.protos.insert(at, proto);
                Ok(())
            }
        }
    }

    /// `tc_del_tfilter()`: takes out the filters of one priority (0: all), or only the one with this handle.
    pub fn delete(
        &mut self,
        prio: u16,
        protocol: u16,
        handle: Option<&str>,
    ) -> Result<(), Refusal> {
        if prio == 0 {
            self.protos.clear();
            return Ok(());
        }
        let at = self
            .protos
            .iter()
            .position(|p| p.prio == prio && (protocol == ETH_P_ALL || protocol == p.protocol))
            .ok_or(Refusal::NoFilter)?;
        if let Some(handle) = handle {
            let proto = &mut self.protos[at];
            if !proto.delete(handle) {
                return Err(Refusal::NoFilter);
            }
            if proto.len() > 0 {
                return Ok(());
            }
        }
        self.protos.remove(at);
        Ok(())
    }

    /// `tc filter show`; `place` is what is printed behind `filter `, empty or with a space behind it.
    pub fn dump(
        &self,
        f: &mut dyn fmt::Write,
        place: &str,
        show: super::tc::Show<'_>,
    ) -> fmt::Result {
        self.protos.iter().try_for_each(|p| p.dump(f, place, show))
    }
}

/// What names filters and actions when nobody else does, counted per host.
#[derive(Debug, Default)]
pub(crate) struct FilterIds {
    /// Last index given to an action, by kind.
    pub actions: [u32; super::act::ActionKind::COUNT],
}

impl TcfProto {
    fn kind(&self) -> &'static str {
        match self.classifier {
            Classifier::U32(_) => "u32",
            Classifier::Matchall(_) => "matchall",
            Classifier::Fw(_) => "fw",
            Classifier::Bpf(_) => "bpf",
        }
    }
}

/// What a filter does with the packets that match: a class, and actions (`struct tcf_exts`).
#[derive(Default)]
pub(crate) struct Exts {
    pub classid: Handle,
    pub actions: Actions,
}

impl Exts {
    /// `tcf_exts_exec()`: `None` says that the next filter is to be asked.
    pub fn exec(&mut self, skb: &mut SkBuff, env: &mut Env<'_>) -> Option<TcfResult> {
        match self.actions.exec(skb, env) {
            Verdict::Unspec => None,
            verdict => Some(TcfResult {
                verdict,
                classid: self.classid,
            }),
        }
    }
}

/// A packet that found no class: an action ended it, or none fits. It is counted as `__NET_XMIT_BYPASS` and `__NET_XMIT_STOLEN` say.
pub(crate) fn end(
    sch: &mut Sch,
    cx: &mut Cx<'_>,
    skb: SkbRef,
    verdict: Option<Verdict>,
) -> NetXmit {
    if verdict == Some(Verdict::Stolen) {
        cx.stolen(skb);
        return NetXmit::Stolen;
    }
    sch.drop(cx, skb, DropReason::QdiscDrop)
}
