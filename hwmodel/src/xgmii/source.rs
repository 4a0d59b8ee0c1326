use super::{
    COLUMN_OCTETS, Column, GAP, IDLE, IDLE_COLUMN, MAX_DEFICIT, MIN_RECEIVE_GAP, OCTET_PS,
    PREAMBLE, SFD, START, TERMINATE, WireFrame, deficit_after, fcs,
};
use crate::{CYCLE_PS, Ps};
use std::collections::VecDeque;

/// Octets of a transfer; frames start at a multiple of it.
const TRANSFER: u64 = 4;

/// Sends queued frames, in order, as early as their time and the gap between frames allow.
///
/// With the defaults the gap is 12 octets with deficit idle count, so that frames which wait for each
/// other fill the wire to exactly 10 Gb/s.
#[derive(Debug)]
pub struct XgmiiSource {
    queue: VecDeque<WireFrame>,
    gap: u64,
    max_deficit: u64,
    deficit: u64,
    /// Octet number just after the FCS of the frame before.
    last_end: Option<u64>,
    /// The frame on the wire and those that follow soon, with the idle columns before and between
    /// them, and how many of the columns are out.
    columns: Vec<Column>,
    sent: usize,
    /// The cycle of the first column.
    first: u64,
    octets: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl Default for XgmiiSource {
    fn default() -> Self {
        Self::new()
    }
}

impl XgmiiSource {
    /// An idle wire.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            gap: GAP,
            max_deficit: MAX_DEFICIT,
            deficit: 0,
            last_end: None,
            columns: Vec::new(),
            sent: 0,
            first: 0,
            octets: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Smallest gap between frames in octets, at least [`MIN_RECEIVE_GAP`], and whether a deficit
    /// idle count makes it an average; without one gaps are rounded up to the next start position.
    pub fn set_gap(&mut self, octets: u64, deficit_idle_count: bool) {
        self.gap = octets.max(MIN_RECEIVE_GAP + if deficit_idle_count { MAX_DEFICIT } else { 0 });
        self.max_deficit = if deficit_idle_count { MAX_DEFICIT } else { 0 };
    }

    /// Queues a frame behind those that are queued.
    pub fn send(&mut self, frame: WireFrame) {
        self.queue.push_back(frame);
    }

    /// Frames that have not begun.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Nothing is queued and nothing is on the wire.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.sent == self.columns.len()
    }

    /// The earliest cycle in which [`next`](Self::next) gives something else than idle: its time,
    /// which is that of the next cycle when a frame is on the wire. `None` when idle.
    #[must_use]
    pub fn next_at(&self) -> Option<Ps> {
        let idle = |column: &&Column| (column.data, column.ctrl) == IDLE_COLUMN;
        let made = &self.columns[self.sent..];
        let lead = made.iter().take_while(idle).count();
        if lead < made.len() {
            return Some((self.first + (self.sent + lead) as u64) * CYCLE_PS);
        }
        let start = self.start_octet(self.queue.front()?);
        Some(start / COLUMN_OCTETS * COLUMN_OCTETS * OCTET_PS)
    }

    /// A buffer of a frame that was sent, for reuse.
    pub fn take_spare(&mut self) -> Option<Vec<u8>> {
        self.spare.pop()
    }

    /// The column of the cycle that begins at `now`. `now` must grow from call to call; cycles in
    /// which the source is idle may be left out.
    #[inline]
    pub fn next(&mut self, now: Ps) -> (u64, u8) {
        self.begin(now, 1);
        match self.columns.get(self.sent) {
            Some(&column) => {
                self.sent += 1;
                (column.data, column.ctrl)
            }
            None => IDLE_COLUMN,
        }
    }

    /// Makes the columns of all frames that begin in one of the `cycles` cycles from `now` on.
    #[inline]
    pub(crate) fn begin(&mut self, now: Ps, cycles: u64) {
        let cycle = now / CYCLE_PS;
        // Idle columns may have been left out.
        let out = cycle.saturating_sub(self.first) as usize;
        self.sent = out.clamp(self.sent, self.columns.len());
        if !self.queue.is_empty() && self.free_cycle(cycle) < cycle + cycles {
            self.encode_until(cycle, cycle + cycles);
        }
    }

    /// The first cycle, from `cycle` on, whose column is not made.
    fn free_cycle(&self, cycle: u64) -> u64 {
        cycle.max(self.first + self.columns.len() as u64)
    }

    fn encode_until(&mut self, cycle: u64, end: u64) {
        loop {
            let free = self.free_cycle(cycle) * COLUMN_OCTETS;
            let starts = |front: &WireFrame| self.start_octet(front).max(free);
            let Some(start) = self.queue.front().map(starts) else {
                return;
            };
            let begin = start / COLUMN_OCTETS;
            if begin >= end {
                return;
            }
            let Some(frame) = self.queue.pop_front() else {
                return;
            };
            if let Some(end) = self.last_end {
                self.deficit = deficit_after(self.deficit, self.gap, start.saturating_sub(end));
            }
            self.columns.drain(..self.sent);
            self.sent = 0;
            self.first = cycle;
            let (data, ctrl) = IDLE_COLUMN;
            self.columns
                .resize((begin - cycle) as usize, Column { data, ctrl });
            let octets = self.encode(&frame, (start % COLUMN_OCTETS) as usize);
            self.last_end = Some(begin * COLUMN_OCTETS + octets as u64);

            if self.spare.len() < 64 {
                self.spare.push(frame.bytes);
            }
        }
    }

    /// The columns of the next cycles as far as [`begin`](Self::begin) made them, before idle ones.
    #[cfg(feature = "nic")]
    pub(crate) fn columns(&self) -> &[Column] {
        self.columns.get(self.sent..).unwrap_or_default()
    }

    /// The next `count` columns, or as many as are made, are out.
    #[cfg(feature = "nic")]
    pub(crate) fn skip_columns(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.columns.len());
    }

    /// Number of the octet in which `frame` may start, were the wire watched at that time.
    fn start_octet(&self, frame: &WireFrame) -> u64 {
        let at = frame.at.div_ceil(OCTET_PS * TRANSFER) * TRANSFER;
        let Some(end) = self.last_end else {
            return at;
        };
        let earliest = end + self.gap + u64::from(frame.faults.extra_gap);
        let early = earliest / TRANSFER * TRANSFER;
        let free = if deficit_after(self.deficit, self.gap, early - end) <= self.max_deficit {
            early
        } else {
            early + TRANSFER
        };
        at.max(free)
    }

    /// Adds to `columns`; `lane` is 0 or 4. Returns the place just after the FCS in octets.
    fn encode(&mut self, frame: &WireFrame, lane: usize) -> usize {
        let faults = &frame.faults;
        let octets = &mut self.octets;
        octets.clear();
        octets.resize(lane, IDLE);
        octets.push(START);
        let preamble = 6 - usize::from(faults.short_preamble.min(6));
        octets.resize(octets.len() + preamble, PREAMBLE);
        octets.push(if faults.no_sfd { PREAMBLE } else { SFD });
        let first = octets.len();
        octets.extend_from_slice(&frame.bytes);
        let mut check = fcs(&frame.bytes);
        if !frame.fcs_ok {
            check = check.map(|octet| !octet);
        }
        octets.extend_from_slice(&check);
        let end = octets.len();
        octets.push(if faults.no_terminate { IDLE } else { TERMINATE });
        octets.resize(octets.len().next_multiple_of(8), IDLE);
        let error = faults
            .error_at
            .map(|offset| first.saturating_add(offset))
            .filter(|place| *place < end);
        if let Some(place) = error {
            octets[place] = super::ERROR;
        }

        let before = self.columns.len();
        self.columns.extend(octets.chunks_exact(8).map(|column| {
            let mut data = [0; 8];
            data.copy_from_slice(column);
            Column {
                data: u64::from_le_bytes(data),
                ctrl: 0,
            }
        }));
        for place in (0..=lane).chain(error).chain(end..octets.len()) {
            self.columns[before + place / 8].ctrl |= 1 << (place % 8);
        }
        end
    }
}
