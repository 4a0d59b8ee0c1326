//! What was found different, for people to read.

use std::fmt;

/// One difference between the kernel and this stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `packet 3, mangle/FORWARD`, `frame 2 out of eth_s`, `conntrack -L`.
    pub place: String,
    /// What: `daddr`, `notes`, a field of a frame.
    pub what: String,
    /// In the recording.
    pub kernel: String,
    /// Here.
    pub here: String,
}

impl Difference {
    /// A difference at `place`.
    pub fn new(
        place: impl Into<String>,
        what: impl Into<String>,
        kernel: impl Into<String>,
        here: impl Into<String>,
    ) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
            kernel: kernel.into(),
            here: here.into(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}: {}", self.place, self.what)?;
        writeln!(f, "    kernel: {}", self.kernel)?;
        writeln!(f, "    here:   {}", self.here)
    }
}

/// What came of one recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The recording's name.
    pub name: String,
    /// Packets, chains visited, frames sent, connections and events that were compared.
    pub compared: Compared,
    /// Of every packet, in the order in which they were seen first, the chains (`table/chain`) that it went through here, in order.
    pub walks: Vec<Vec<String>>,
    /// All differences; none: PASS.
    pub differences: Vec<Difference>,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Walks.
    pub packets: usize,
    /// Chains in them.
    pub visits: usize,
    /// Frames that left.
    pub frames: usize,
    /// Lines of `conntrack -L`.
    pub connections: usize,
    /// Lines of `conntrack -E`.
    pub events: usize,
}

impl Report {
    /// Whether nothing differs.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.compared;
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        writeln!(
            f,
            "{verdict} {} ({} packets at {} chains, {} frames, {} connections, {} events)",
            self.name, c.packets, c.visits, c.frames, c.connections, c.events
        )?;
        self.differences.iter().try_for_each(|d| d.fmt(f))
    }
}
