//! `nft_nat_eval()`, `nft_masq_eval()`, `nft_redir_eval()`.

use super::Run;
use super::op::{Env, Step, elements};
use crate::netfilter::nft::host::NftNat;
use crate::netfilter::nft::program::{NatOp, NatOperand};
use crate::netfilter::nft::set::Data;
use crate::netfilter::nft::verdict::Verdict;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Run<'_> {
    pub(super) fn nat(&mut self, nat: &mut NatOp, env: &mut Env<'_>) -> Step {
        let v6 = nat.v6;
        let address = |value: u128| -> IpAddr {
            if v6 {
                Ipv6Addr::from_bits(value).into()
            } else {
                Ipv4Addr::from_bits(value as u32).into()
            }
        };
        let addr = match &mut nat.addr {
            None => None,
            Some(operand) => match self.operand(operand, env) {
                Some((lo, hi)) => Some((address(lo), address(hi))),
                None => return Step::Break,
            },
        };
        let port = match &mut nat.port {
            None => None,
            Some(operand) => match self.operand(operand, env) {
                Some((lo, hi)) => Some((lo as u16, hi as u16)),
                None => return Step::Break,
            },
        };
        let range = NftNat {
            kind: nat.kind,
            addr,
            port,
            random: nat.random,
            fully_random: nat.fully_random,
            persistent: nat.persistent,
            netmap: nat.netmap,
        };
        Step::End(if self.host.nat(self.skb, self.state, &range) {
            Verdict::Accept
        } else {
            Verdict::Drop
        })
    }

    fn operand(&mut self, operand: &mut NatOperand, env: &mut Env<'_>) -> Option<(u128, u128)> {
        match operand {
            NatOperand::Range(lo, hi) => Some((*lo, *hi)),
            NatOperand::Value(node) => self.node(node, env).map(|v| (v, v)),
            NatOperand::MapRange { key, set, field } => {
                let at = self.find(key, set, env)??;
                match &elements(set, env)?.slot(at)?.data {
                    Data::Values(values) => values.get(*field).copied(),
                    _ => None,
                }
            }
        }
    }
}
