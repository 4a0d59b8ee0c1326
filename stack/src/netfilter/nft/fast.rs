//! The tests that nearly every rule begins with, small enough that a thousand rules stay in the cache (as `nft_payload_fast_eval()` and
//! `nft_cmp_fast_eval()` are in the kernel): a field of one, two or four bytes of the headers, the protocol, or the mark, compared with
//! constants.

use super::eval::{Packet, view};
use super::expr::MetaKey;
use super::program::{Load, Op, Test};
use super::proto::Base;

/// Tests of one rule that are made before anything else of it is touched.
const TESTS: usize = 3;

/// Whether a field is in a range: `(x & mask) - base <= span`, where `x` is the field in the highest bits of a word. 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
struct FastTest {
    mask: u32,
    base: u32,
    span: u32,
    /// Where [`Packet::view`] has the field.
    at: u8,
    /// Holds outside of the range.
    negate: bool,
}

/// Bytes of the packet that a test reads, as [`Packet`] counts them.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    network: u8,
    transport: u8,
}

impl FastTest {
    fn new(op: &Op) -> Option<(Self, Needs)> {
        let Op::Test(load, test) = op else {
            return None;
        };
        let (at, bits, needs) = place(load)?;
        let at = u8::try_from(at).ok()?;
        let most = u128::from(u32::MAX >> (32 - bits));
        // What is more than the field can hold is left to the rule itself.
        let value = |v: u128| (v <= most).then(|| (v as u32) << (32 - bits));
        let range = |lo: u128, hi: u128, negate: bool| {
            let (base, last) = (value(lo)?, value(hi.min(most))?);
            Some(Self {
                mask: u32::MAX << (32 - bits),
                base,
                span: last.checked_sub(base)?,
                at,
                negate,
            })
        };
        let masked = |mask: u128, v: u128, negate: bool| {
            Some(Self {
                mask: value(mask & most)?,
                base: value(v)?,
                span: 0,
                at,
                negate,
            })
        };
        let test = match *test {
            Test::Eq(v) => masked(most, v, false),
            Test::Ne(v) => masked(most, v, true),
            Test::Masked(mask, v) => masked(mask, v, false),
            Test::NotMasked(mask, v) => masked(mask, v, true),
            Test::In(lo, hi) => range(lo, hi, false),
            Test::NotIn(lo, hi) => range(lo, hi, true),
            Test::Lte(v) => range(0, v, false),
            Test::Gt(v) => range(0, v, true),
            Test::Gte(v) => range(v, most, false),
            Test::Lt(v) => range(v, most, true),
        };
        Some((test?, needs))
    }

    #[inline]
    fn holds(&self, packet: &Packet) -> bool {
        let x = packet.view(self.at) & self.mask;
        (x.wrapping_sub(self.base) <= self.span) != self.negate
    }
}

/// Where the view has a field, how many bits it has, and what must be there of the packet.
fn place(load: &Load) -> Option<(usize, u32, Needs)> {
    let nothing = Needs::default();
    match *load {
        Load::Payload { base, offset, len } if matches!(len, 8 | 16 | 32) && offset % 8 == 0 => {
            let (at, bytes) = (usize::from(offset / 8), usize::from(len / 8));
            let end = u8::try_from(at + bytes).ok()?;
            let (start, most, needs) = match base {
                Base::Network => (
                    view::NETWORK,
                    view::TRANSPORT - view::NETWORK,
                    Needs {
                        network: end,
                        ..nothing
                    },
                ),
                // Elsewhere the transport header of a later fragment is not read.
                Base::Transport if at.is_multiple_of(bytes) => (
                    view::TRANSPORT,
                    view::LEN - 3 - view::TRANSPORT,
                    Needs {
                        transport: 1 + end,
                        ..nothing
                    },
                ),
                _ => return None,
            };
            (at + bytes <= most).then_some((start + at, u32::from(len), needs))
        }
        Load::Meta(MetaKey::L4Proto) => Some((
            view::L4PROTO,
            8,
            Needs {
                transport: 1,
                ..nothing
            },
        )),
        Load::Meta(MetaKey::Mark) => Some((view::MARK, 32, nothing)),
        _ => None,
    }
}

/// What a rule begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FastRule {
    tests: [FastTest; TESTS],
    needs: Needs,
    /// Steps of the rule that `tests` stand for.
    pub steps: u8,
}

impl FastRule {
    pub fn new(ops: &[Op]) -> Self {
        let mut rule = Self::default();
        for (slot, op) in rule.tests.iter_mut().zip(ops) {
            let Some((test, needs)) = FastTest::new(op) else {
                break;
            };
            *slot = test;
            rule.needs.network = rule.needs.network.max(needs.network);
            rule.needs.transport = rule.needs.transport.max(needs.transport);
            rule.steps += 1;
        }
        // They read only, so their order is free. What tells packets apart comes first: ports, then addresses, then the protocol.
        rule.tests[..usize::from(rule.steps)].sort_by_key(|test| std::cmp::Reverse(test.at));
        rule
    }

    /// Whether the rule can still match. `None` when the packet's first bytes do not have a field: the rule's own steps decide.
    #[inline]
    pub fn check(&self, packet: &Packet) -> Option<bool> {
        if self.needs.network > packet.network_len || self.needs.transport > packet.transport_len {
            return None;
        }
        let tests = self.tests.iter().take(usize::from(self.steps));
        Some(tests.into_iter().all(|test| test.holds(packet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::Family;
    use crate::skb::SkBuff;
    use proptest::prelude::*;

    #[test]
    fn it_is_small() {
        assert!(std::mem::size_of::<FastRule>() <= 52);
    }

    /// A header whose first word is `word`.
    fn packet(word: u32) -> Packet {
        let mut bytes = vec![0; 40];
        bytes[..4].copy_from_slice(&word.to_be_bytes());
        let mut skb = SkBuff::from_vec(bytes);
        (skb.protocol, skb.mark) = (0x0800, word);
        Packet::new(&skb, Family::Ipv4)
    }

    fn any_test() -> impl Strategy<Value = Test> {
        let value = || prop_oneof![0u128..6, 0u128..1 << 33, Just(255), Just(65535)];
        (0..10, value(), value()).prop_map(|(kind, a, b)| match kind {
            0 => Test::Eq(a),
            1 => Test::Ne(a),
            2 => Test::Lt(a),
            3 => Test::Gt(a),
            4 => Test::Lte(a),
            5 => Test::Gte(a),
            6 => Test::In(a, b),
            7 => Test::NotIn(a, b),
            8 => Test::Masked(a, b),
            _ => Test::NotMasked(a, b),
        })
    }

    proptest! {
        /// The quick form says what the test says, whenever there is one.
        #[test]
        fn quick_and_slow_agree(
            test in any_test(),
            word in prop_oneof![any::<u32>(), 0u32..8, (0u32..8).prop_map(|x| x << 16), (0u32..8).prop_map(|x| x << 24)],
            field in 0..4,
        ) {
            let base = Base::Network;
            let (load, x) = match field {
                0 => (Load::Payload { base, offset: 0, len: 8 }, word >> 24),
                1 => (Load::Payload { base, offset: 0, len: 16 }, word >> 16),
                2 => (Load::Payload { base, offset: 0, len: 32 }, word),
                _ => (Load::Meta(MetaKey::Mark), word),
            };
            if let Some((fast, needs)) = FastTest::new(&Op::Test(load, test)) {
                prop_assert!(usize::from(needs.network) <= 4);
                prop_assert_eq!(fast.holds(&packet(word)), test.holds(x.into()));
            }
        }
    }

    proptest! {
        /// All tests of a rule have to hold, in whatever order they stand and are made.
        #[test]
        fn a_rule_is_all_of_its_tests(
            fields in prop::collection::vec((0..4, any::<bool>()), 1..=TESTS),
            word in 0u32..4,
        ) {
            let word = word * 0x0101_0101;
            let holds = fields.iter().all(|&(_, right)| right);
            let op = |&(field, right): &(i32, bool)| {
                let (base, offset) = (Base::Network, 8 * field as u16);
                let load = match field {
                    3 => Load::Meta(MetaKey::Mark),
                    _ => Load::Payload { base, offset, len: 8 },
                };
                let value = if field == 3 { word } else { word & 0xff };
                let value = u128::from(value);
                Op::Test(load, if right { Test::Eq(value) } else { Test::Ne(value) })
            };
            let ops: Vec<Op> = fields.iter().map(op).collect();
            let rule = FastRule::new(&ops);
            prop_assert_eq!(usize::from(rule.steps), fields.len());
            prop_assert_eq!(rule.check(&packet(word)), Some(holds));
        }
    }

    #[test]
    fn fields_that_are_not_there_are_left_to_the_rule() {
        let port = Load::Payload {
            base: Base::Transport,
            offset: 16,
            len: 16,
        };
        let rule = FastRule::new(&[Op::Test(port, Test::Eq(0))]);
        assert_eq!(rule.steps, 1);
        let mut bytes = [0; 40];
        (bytes[0], bytes[9]) = (0x45, 17);
        for (len, expected) in [(40, Some(true)), (24, Some(true)), (23, None), (20, None)] {
            let mut skb = SkBuff::from_vec(bytes[..len].to_vec());
            skb.protocol = 0x0800;
            assert_eq!(rule.check(&Packet::new(&skb, Family::Ipv4)), expected);
        }
    }
}
