//! Computed values.

use super::Run;
use super::op::{Env, elements};
use crate::netfilter::nft::program::Node;
use crate::netfilter::nft::set::Data;

impl Run<'_> {
    /// `None` ends the rule.
    #[inline]
    pub(super) fn node(&mut self, node: &mut Node, env: &mut Env<'_>) -> Option<u128> {
        match node {
            Node::Load(load) => self.load(*load),
            Node::Const(value) => Some(*value),
            node => self.compute(node, env),
        }
    }

    fn compute(&mut self, node: &mut Node, env: &mut Env<'_>) -> Option<u128> {
        match node {
            Node::Load(load) => self.load(*load),
            Node::Const(value) => Some(*value),
            Node::Bits { of, mask, xor } => Some(self.node(of, env)? & *mask ^ *xor),
            Node::Shift { of, right, by, max } => {
                let x = self.node(of, env)?;
                let shifted = match right {
                    true => x.checked_shr(*by),
                    false => x.checked_shl(*by),
                };
                Some(shifted.unwrap_or(0) & *max)
            }
            Node::Map { key, set, field } => {
                let at = self.find(key, set, env)??;
                match &elements(set, env)?.slot(at)?.data {
                    Data::Values(values) => Some(values.get(*field)?.0),
                    _ => None,
                }
            }
            Node::Numgen {
                random,
                modulus,
                offset,
                next,
            } => {
                let n = if *random {
                    scale(self.host.random(), *modulus)
                } else {
                    // nft_ng_inc_gen(): the first number is 0.
                    let n = *next;
                    *next = if n + 1 < *modulus { n + 1 } else { 0 };
                    n
                };
                Some((n + *offset).into())
            }
            Node::Jhash {
                fields,
                modulus,
                seed,
                offset,
            } => {
                let mut bytes = [0u8; 64];
                let mut len = 0;
                // The fields of a concatenation begin at 32-bit registers, and padding is hashed, too.
                let step = if fields.len() > 1 { 4 } else { 1 };
                for field in fields {
                    let value = self.node(&mut field.node, env)?;
                    let n = usize::from(field.bytes);
                    let to = bytes.get_mut(len..len + n)?;
                    if field.host_order {
                        to.copy_from_slice(&value.to_le_bytes()[..n]);
                    } else {
                        to.copy_from_slice(&value.to_be_bytes()[16 - n..]);
                    }
                    len += n.div_ceil(step) * step;
                }
                let hash = crate::hash::jhash(bytes.get(..len)?, *seed);
                Some(scaled(hash, *modulus, *offset))
            }
            Node::Symhash { modulus, offset } => {
                let hash = super::hash::symmetric(self.skb, &self.packet, self.state.family);
                Some(scaled(hash, *modulus, *offset))
            }
        }
    }
}

/// `reciprocal_scale()`: a number below `modulus`.
fn scale(n: u32, modulus: u32) -> u32 {
    ((u64::from(n) * u64::from(modulus)) >> 32) as u32
}

/// The same, and the offset.
fn scaled(hash: u32, modulus: u32, offset: u32) -> u128 {
    scale(hash, modulus).wrapping_add(offset).into()
}
