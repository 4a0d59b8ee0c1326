//! Adding filters and taking them out.

use super::bpf::{BpfEntry, BpfFilter};
use super::fw::{Fw, FwFilter};
use super::matchall::Matchall;
use super::u32::{U32, U32Filter};
use super::{Classifier, Exts, FilterChains, FilterIds, TcfProto};
use crate::sched::act::{Action, Actions};
use crate::sched::handle::Handle;
use crate::sched::qdisc::{Ns, QdiscStats};
use crate::sched::tc::{ActionConfig, FilterConfig, FilterKind, Refusal};

/// Handle of the first filter of kinds that count theirs from 1.
const FIRST_HANDLE: u32 = 1;

impl Classifier {
    /// An empty classifier of the kind. `table`: number for a `u32` table.
    pub(super) fn new(kind: &FilterKind, qdisc: Handle, table: u32) -> Self {
        match kind {
            FilterKind::U32(_) => Classifier::U32(U32 {
                table,
                filters: Vec::new(),
            }),
            FilterKind::Matchall => Classifier::Matchall(Matchall::default()),
            FilterKind::Fw(_) => Classifier::Fw(Fw {
                filters: Vec::new(),
                qdisc,
            }),
            FilterKind::Bpf { .. } => Classifier::Bpf(BpfFilter::default()),
        }
    }
}

impl TcfProto {
    /// `tcf_change()` of the kind, which is that of `config`.
    pub(super) fn add(
        &mut self,
        config: FilterConfig,
        now: Ns,
        ids: &mut FilterIds,
    ) -> Result<(), Refusal> {
        let FilterConfig {
            kind,
            node,
            classid,
            actions,
            ..
        } = config;
        let exts = |ids: &mut FilterIds| Exts {
            classid: classid.unwrap_or(Handle::NONE),
            actions: new_actions(actions, now, ids),
        };
        match (&mut self.classifier, kind) {
            (Classifier::U32(u32), FilterKind::U32(keys)) => {
                let node = match node {
                    None => u32.next_node(),
                    Some((table, _)) if table != 0 && table != u32.table => {
                        return Err(Refusal::OtherTable(table));
                    }
                    Some((_, node)) if u32.filters.iter().any(|f| f.node == node) => {
                        return Err(Refusal::FilterExists);
                    }
                    Some((_, node)) => node,
                };
                let filter = U32Filter {
                    node,
                    keys: keys.0,
                    exts: exts(ids),
                    has_flowid: classid.is_some(),
                };
                let at = u32.filters.partition_point(|f| f.node < node);
                u32.filters.insert(at, filter);
            }
            (Classifier::Matchall(Matchall { exts: Some(_), .. }), FilterKind::Matchall) => {
                return Err(Refusal::FilterExists);
            }
            (Classifier::Matchall(all), FilterKind::Matchall) => all.exts = Some(exts(ids)),
            (Classifier::Fw(fw), FilterKind::Fw(Some((mark, mask)))) => {
                if fw.filters.iter().any(|f| f.mark == mark) {
                    return Err(Refusal::FilterExists);
                }
                // The kernel's buckets show the one that was added last first.
                fw.filters.insert(
                    0,
                    FwFilter {
                        mark,
                        mask,
                        exts: exts(ids),
                    },
                );
            }
            (Classifier::Fw(_), FilterKind::Fw(None)) => {}
            (
                Classifier::Bpf(bpf),
                FilterKind::Bpf {
                    name,
                    program,
                    direct_action,
                },
            ) => {
                let handles = bpf.programs.iter().map(|entry| entry.handle + 1);
                bpf.programs.push(BpfEntry {
                    handle: handles.max().unwrap_or(FIRST_HANDLE),
                    name,
                    program,
                    direct_action,
                    exts: exts(ids),
                });
            }
            _ => return Err(Refusal::PriorityTaken(self.prio)),
        }
        Ok(())
    }

    /// Takes out the filter with this handle, as tc writes it; `false` without one.
    pub(super) fn delete(&mut self, handle: &str) -> bool {
        let number = || match handle.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => handle.parse().ok(),
        };
        let before = self.len();
        match &mut self.classifier {
            Classifier::U32(u32) => {
                let table = u32.table;
                u32.filters
                    .retain(|f| format!("{table:x}::{:x}", f.node) != handle);
            }
            Classifier::Matchall(all) => {
                if number() == Some(FIRST_HANDLE) {
                    all.exts = None;
                }
            }
            Classifier::Fw(fw) => fw.filters.retain(|f| Some(f.mark) != number()),
            Classifier::Bpf(bpf) => bpf.programs.retain(|f| Some(f.handle) != number()),
        }
        self.len() < before
    }

    pub(super) fn len(&self) -> usize {
        match &self.classifier {
            Classifier::U32(c) => c.filters.len(),
            Classifier::Fw(c) => c.filters.len(),
            Classifier::Bpf(c) => c.programs.len(),
            Classifier::Matchall(c) => usize::from(c.exts.is_some()),
        }
    }

    fn exts(&self) -> Vec<&Exts> {
        match &self.classifier {
            Classifier::U32(c) => c.filters.iter().map(|f| &f.exts).collect(),
            Classifier::Fw(c) => c.filters.iter().map(|f| &f.exts).collect(),
            Classifier::Bpf(c) => c.programs.iter().map(|f| &f.exts).collect(),
            Classifier::Matchall(c) => c.exts.iter().collect(),
        }
    }
}

impl FilterChains {
    /// Whether a filter here names this class.
    pub fn lead_to(&self, class: Handle) -> bool {
        let mut exts = self.protos.iter().flat_map(TcfProto::exts);
        exts.any(|exts| exts.classid == class)
    }
}

/// `tcf_action_init()`: each gets the next number of its kind, unless it was given one.
fn new_actions(configs: Vec<ActionConfig>, now: Ns, ids: &mut FilterIds) -> Actions {
    let action = |config: ActionConfig| {
        let last = &mut ids.actions[config.kind.number()];
        let index = match config.index {
            0 => last.saturating_add(1),
            index => index,
        };
        *last = (*last).max(index);
        Action {
            kind: config.kind,
            index,
            stats: QdiscStats::default(),
            install: now,
            used: None,
        }
    };
    Actions(configs.into_iter().map(action).collect())
}
