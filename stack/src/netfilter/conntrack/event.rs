//! Events, as `conntrack -E` shows them.

use super::conn::{Conn, CtId};
use super::list::{ListOptions, write_conn};
use super::table::Conntrack;
use crate::Ps;

/// Bits of [`Conn::events`] (`IPCT_*`).
pub(super) const NEW: u16 = 1 << 0;
pub(super) const RELATED: u16 = 1 << 1;
pub(super) const DESTROY: u16 = 1 << 2;
pub(super) const REPLY: u16 = 1 << 3;
pub(super) const ASSURED: u16 = 1 << 4;
pub(super) const PROTOINFO: u16 = 1 << 5;
pub(super) const HELPER: u16 = 1 << 6;
pub(super) const MARK: u16 = 1 << 7;
pub(super) const LABEL: u16 = 1 << 10;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtEventKind {
    /// A connection entered the table.
    New,
    /// Something about it changed.
    Update,
    /// It left the table.
    Destroy,
}

impl CtEventKind {
    /// As `conntrack -E` writes it: right-aligned in 9 columns.
    const fn tag(self) -> &'static str {
        match self {
            CtEventKind::New => "    [NEW] ",
            CtEventKind::Update => " [UPDATE] ",
            CtEventKind::Destroy => "[DESTROY] ",
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtEvent {
    /// When it happened.
    pub at: Ps,
    /// What happened.
    pub kind: CtEventKind,
    /// [`Conn::id`](super::Conn::id).
    pub id: u32,
    /// The line that `conntrack -E` prints, without time and id.
    pub line: String,
}

/// Events that nobody took yet.
#[derive(Default)]
pub(super) struct Events {
    wanted: bool,
    queue: Vec<CtEvent>,
}

impl Conntrack {
    /// From now on events are kept; before that they are forgotten, as without a listener (`nf_conntrack_events=2`).
    pub fn events_on(&mut self) {
        self.events.wanted = true;
    }

    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<CtEvent> {
        std::mem::take(&mut self.events.queue)
    }

    /// `ct mark set`.
    pub fn set_mark(&mut self, id: CtId, mark: u32) {
        if let Some(conn) = self.get_mut(id).filter(|c| c.mark != mark) {
            conn.mark = mark;
            conn.events |= MARK;
        }
    }

    /// `ct label set`: adds labels.
    pub fn set_labels(&mut self, id: CtId, labels: u128) {
        if let Some(conn) = self.get_mut(id).filter(|c| c.labels | labels != c.labels) {
            conn.labels |= labels;
            conn.events |= LABEL;
        }
    }

    /// `ct event set`: which events of this connection are reported, as bits `1 << IPCT_*`.
    pub fn set_event_mask(&mut self, id: CtId, mask: u16) {
        if let Some(conn) = self.get_mut(id) {
            conn.event_mask = mask;
        }
    }

    /// `ctnetlink_conntrack_event()`.
    pub(super) fn report(&mut self, id: CtId, kind: CtEventKind, now: Ps) {
        let wanted = self.events.wanted && self.config.events != 0;
        let Some(conn) = self.get_mut(id) else { return };
        let bits = std::mem::take(&mut conn.events);
        let about = match kind {
            CtEventKind::Destroy => DESTROY,
            _ => bits,
        };
        if !wanted || about & conn.event_mask == 0 {
            return;
        }
        let event = CtEvent {
            at: now,
            kind,
            id: conn.id,
            line: line(conn, kind, bits, now),
        };
        self.events.queue.push(event);
    }
}

fn line(conn: &Conn, kind: CtEventKind, bits: u16, now: Ps) -> String {
    let mut text = String::from(kind.tag());
    let destroy = kind == CtEventKind::Destroy;
    let options = ListOptions {
        // A time that is up is not reported; the state is when it changed, and at the end.
        timeout: !destroy || conn.expires_in(now) > 0,
        state: destroy || bits & PROTOINFO != 0,
        counters: destroy,
        helper: !destroy,
        mark: conn.mark != 0 || bits & MARK != 0,
        use_count: false,
        ..ListOptions::default()
    };
    write_conn(&mut text, conn, now, &options);
    text
}
