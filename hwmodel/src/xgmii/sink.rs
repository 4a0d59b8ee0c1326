use super::{
    COLUMN_OCTETS, Faults, GAP, IDLE, IDLE_COLUMN, MAX_DEFICIT, OCTET_PS, PREAMBLE, SFD, START,
    TERMINATE, WireError, WireFrame, deficit_after, fcs,
};
use crate::Ps;

/// Takes a transmitter's columns, gives frames and objects to everything that a transmitter must
/// not do: stray characters, wrong preambles, control characters inside a frame, gaps that the
/// deficit idle count does not allow.
#[derive(Debug, Default)]
pub struct XgmiiSink {
    state: State,
    at: Ps,
    bytes: Vec<u8>,
    /// Octet number just after the FCS of the frame before.
    last_end: Option<u64>,
    deficit: u64,
    spare: Vec<Vec<u8>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// The place that the next octet has in the preamble, 1..=7.
    Preamble(u8),
    Data,
    /// The rest of a frame that was objected to.
    Skip,
}

impl XgmiiSink {
    /// A sink that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Inside a frame: the next columns must not be left out.
    #[must_use]
    pub fn in_frame(&self) -> bool {
        self.state != State::Idle
    }

    /// The transmitter was reset and sends Idle from `now` on. Whether that cut a frame: one that ends
    /// without Terminate is an error to a receiver (IEEE 802.3 49.2.13.2.3, RX_E), which drops it.
    pub fn cut(&mut self, now: Ps) -> bool {
        let cut = self.in_frame();
        *self = Self {
            last_end: Some(now / OCTET_PS),
            spare: std::mem::take(&mut self.spare),
            ..Self::default()
        };
        cut
    }

    /// Gives a buffer back for the frames to come.
    pub fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < 64 {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Takes the column of the cycle that begins at `now`. Idle columns between frames may be left
    /// out. A frame comes with the column of its terminate character.
    ///
    /// # Errors
    /// The first objection to this column. The frame concerned is lost, unless it is about its gap;
    /// the sink goes on with the next column.
    #[inline]
    pub fn push(&mut self, now: Ps, data: u64, ctrl: u8) -> Result<Option<WireFrame>, WireError> {
        if ctrl == 0 && self.state == State::Data {
            self.bytes.extend_from_slice(&data.to_le_bytes());
            return Ok(None);
        }
        if (data, ctrl) == IDLE_COLUMN && self.state == State::Idle {
            return Ok(None);
        }
        self.push_lanes(now, data, ctrl)
    }

    fn push_lanes(&mut self, now: Ps, data: u64, ctrl: u8) -> Result<Option<WireFrame>, WireError> {
        let mut frame = None;
        let mut objection = None;
        for (lane, octet) in (0u8..).zip(data.to_le_bytes()) {
            let control = ctrl >> lane & 1 == 1;
            let at = now + Ps::from(lane) * OCTET_PS;
            match self.push_octet(at, lane, octet, control) {
                Ok(None) => {}
                Ok(some) => frame = some,
                Err(error) => objection = objection.or(Some(error)),
            }
        }
        objection.map_or(Ok(frame), Err)
    }

    fn push_octet(
        &mut self,
        at: Ps,
        lane: u8,
        octet: u8,
        control: bool,
    ) -> Result<Option<WireFrame>, WireError> {
        match (self.state, control, octet) {
            (State::Idle, true, IDLE) => {}
            (State::Idle | State::Skip, true, START) => {
                self.start(at);
                if u64::from(lane) % (COLUMN_OCTETS / 2) != 0 {
                    return Err(WireError::StartLane { at, lane });
                }
                self.check_gap(at)?;
            }
            (State::Idle, ..) => return Err(WireError::Stray { at, octet, control }),
            (State::Preamble(index @ 1..=6), false, PREAMBLE) => {
                self.state = State::Preamble(index + 1);
            }
            (State::Preamble(7), false, SFD) => self.state = State::Data,
            (State::Preamble(index), ..) => {
                self.leave(at, octet, control);
                return Err(WireError::Preamble { at, octet, index });
            }
            (State::Data, false, _) => self.bytes.push(octet),
            (State::Data, true, TERMINATE) => {
                self.leave(at, octet, control);
                return self.finish(at);
            }
            (State::Data, true, _) => {
                self.leave(at, octet, control);
                return Err(WireError::Control { at, octet });
            }
            (State::Skip, ..) => self.leave(at, octet, control),
        }
        Ok(None)
    }

    fn start(&mut self, at: Ps) {
        self.state = State::Preamble(1);
        self.at = at;
        self.bytes.clear();
    }

    /// What follows an octet that ends a frame, rightly or not.
    fn leave(&mut self, at: Ps, octet: u8, control: bool) {
        self.state = match octet {
            TERMINATE | IDLE if control => {
                self.last_end = Some(at / OCTET_PS);
                State::Idle
            }
            START if control => {
                self.last_end = None;
                self.start(at);
                State::Preamble(1)
            }
            _ => State::Skip,
        };
    }

    fn check_gap(&mut self, at: Ps) -> Result<(), WireError> {
        let Some(end) = self.last_end else {
            return Ok(());
        };
        let gap = (at / OCTET_PS).saturating_sub(end);
        self.deficit = deficit_after(self.deficit, GAP, gap);
        let deficit = self.deficit;
        if deficit > MAX_DEFICIT {
            // The next frame is judged by itself.
            self.deficit = MAX_DEFICIT;
            return Err(if gap < GAP - MAX_DEFICIT {
                WireError::Gap { at, gap }
            } else {
                WireError::Deficit { at, gap, deficit }
            });
        }
        Ok(())
    }

    fn finish(&mut self, end: Ps) -> Result<Option<WireFrame>, WireError> {
        let len = self.bytes.len();
        let Some(payload) = len.checked_sub(4) else {
            return Err(WireError::Short { at: end, len });
        };
        let mut bytes = std::mem::replace(&mut self.bytes, self.spare.pop().unwrap_or_default());
        let fcs_ok = bytes[payload..] == fcs(&bytes[..payload]);
        bytes.truncate(payload);
        Ok(Some(WireFrame {
            at: self.at,
            end,
            bytes,
            fcs_ok,
            faults: Faults::default(),
        }))
    }
}
