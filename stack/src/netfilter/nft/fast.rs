//! The tests that nearly every rule begins with, small enough that a thousand rules stay in the cache (as `nft_payload_fast_eval()` and
//! `nft_cmp_fast_eval()` are in the kernel): a field of at most four bytes of the headers, the protocol, or the mark, compared with a
//! constant.

use super::eval::Packet;
use super::expr::MetaKey;
use super::program::{Load, Op, Test};
use super::proto::Base;

/// Tests of one rule that are made before anything else of it is touched.
const TESTS: usize = 3;

/// Where the value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Network8,
    Network16,
    Network32,
    Transport8,
    Transport16,
    Transport32,
    L4Proto,
    Mark,
    /// No test: holds.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// `(x & a) == b`
    Equal,
    /// `(x & a) != b`
    Differs,
    /// `a <= x <= b`
    Between,
}

/// 12 bytes.
#[derive(Clone, Copy, Debug)]
struct FastTest {
    source: Source,
    how: How,
    /// Bytes from the header's start.
    at: u8,
    a: u32,
    b: u32,
}

const NOTHING: FastTest = FastTest {
    source: Source::Nothing,
    how: How::Equal,
    at: 0,
    a: 0,
    b: 0,
};

impl FastTest {
    fn new(op: &Op) -> Option<Self> {
        let Op::Test(load, test) = op else {
            return None;
        };
        let (source, at) = match *load {
            Load::Payload { base, offset, len } if offset % 8 == 0 => {
                let source = match (base, len) {
                    (Base::Network, 8) => Source::Network8,
                    (Base::Network, 16) => Source::Network16,
                    (Base::Network, 32) => Source::Network32,
                    (Base::Transport, 8) => Source::Transport8,
                    (Base::Transport, 16) => Source::Transport16,
                    (Base::Transport, 32) => Source::Transport32,
                    _ => return None,
                };
                (source, u8::try_from(offset / 8).ok()?)
            }
            Load::Meta(MetaKey::L4Proto) => (Source::L4Proto, 0),
            Load::Meta(MetaKey::Mark) => (Source::Mark, 0),
            _ => return None,
        };
        let small = |v: u128| u32::try_from(v).ok();
        // A mask may have more bits than the field.
        let mask = |v: u128| v as u32;
        let (how, a, b) = match *test {
            Test::Eq(v) => (How::Equal, u32::MAX, small(v)?),
            Test::Ne(v) => (How::Differs, u32::MAX, small(v)?),
            Test::Masked(m, v) => (How::Equal, mask(m), small(v)?),
            Test::NotMasked(m, v) => (How::Differs, mask(m), small(v)?),
            Test::In(lo, hi) => (How::Between, small(lo)?, small(hi)?),
            _ => return None,
        };
        Some(Self {
            source,
            how,
            at,
            a,
            b,
        })
    }

    #[inline]
    fn holds(&self, packet: &Packet, mark: u32) -> Option<bool> {
        let x = match self.source {
            Source::Nothing => return Some(true),
            Source::L4Proto => packet.l4proto?.into(),
            Source::Mark => mark,
            Source::Network8 => packet.network::<1>(self.at)?[0].into(),
            Source::Network16 => u16::from_be_bytes(packet.network(self.at)?).into(),
            Source::Network32 => u32::from_be_bytes(packet.network(self.at)?),
            Source::Transport8 => packet.transport::<1>(self.at)?[0].into(),
            Source::Transport16 => u16::from_be_bytes(packet.transport(self.at)?).into(),
            Source::Transport32 => u32::from_be_bytes(packet.transport(self.at)?),
        };
        Some(match self.how {
            How::Equal => x & self.a == self.b,
            How::Differs => x & self.a != self.b,
            How::Between => self.a <= x && x <= self.b,
        })
    }
}

/// What a rule begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastRule {
    tests: [FastTest; TESTS],
    /// Steps of the rule that `tests` stand for.
    pub steps: u8,
}

impl FastRule {
    pub fn new(ops: &[Op]) -> Self {
        let mut tests = [NOTHING; TESTS];
        let mut steps = 0;
        for (slot, op) in tests.iter_mut().zip(ops) {
            let Some(test) = FastTest::new(op) else { break };
            *slot = test;
            steps += 1;
        }
        Self { tests, steps }
    }

    /// Whether the rule can still match. `None` from a field that the packet's first bytes do not have: the rule's own steps decide.
    #[inline]
    pub fn check(&self, packet: &Packet, mark: u32) -> Option<bool> {
        for test in &self.tests {
            if !test.holds(packet, mark)? {
                return Some(false);
            }
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small() {
        assert!(std::mem::size_of::<FastRule>() <= 40);
    }
}
