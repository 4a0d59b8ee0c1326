//! Deciding what a connection is translated to (`nf_nat_setup_info()`).

use super::{NatManip, NatRange};
use crate::Ps;
use crate::hash::{jhash2, reciprocal_scale};
use crate::ipv4::{IPPROTO_TCP, IPPROTO_UDP};
use crate::netfilter::conntrack::{Conntrack, CtId, CtStatus, CtZone, Tuple};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ports that are tried from one start (`NF_NAT_MAX_ATTEMPTS`).
const MAX_ATTEMPTS: u32 = 128;
/// With fewer attempts left, connections in TIME_WAIT make room (`NF_NAT_HARDER_THRESH`).
const HARDER_THRESH: u32 = MAX_ATTEMPTS / 4;

/// A connection that is being decided about.
#[derive(Clone, Copy)]
struct Candidate {
    id: CtId,
    zone: CtZone,
    now: Ps,
}

impl Conntrack {
    /// `nf_nat_initialized()`: whether this was decided already.
    pub(super) fn nat_initialized(&self, id: CtId, manip: NatManip) -> bool {
        let done = match manip {
            NatManip::Src => CtStatus::SRC_NAT_DONE,
            NatManip::Dst => CtStatus::DST_NAT_DONE,
        };
        self.get(id).is_some_and(|c| c.status.has(done))
    }

    /// `nf_nat_setup_info()`: translates `manip` of connection `id` into `range`, as far as its first packet has not left. Nothing
    /// happens when that is decided already.
    pub fn nat_setup_info(&mut self, id: CtId, range: &NatRange, manip: NatManip, now: Ps) {
        let Some(conn) = self.get(id) else { return };
        if conn.is_confirmed() || self.nat_initialized(id, manip) {
            return;
        }
        // With an earlier translation the packet looks like the inverse of its reply.
        let (Some(current), zone, original) = (conn.reply.invert(), conn.zone, conn.original)
        else {
            return;
        };
        let candidate = Candidate { id, zone, now };
        let new = self.get_unique_tuple(&current, range, manip, candidate);
        let Some(reply) = new.invert() else { return };
        let Some(conn) = self.get_mut(id) else { return };
        if new != current {
            conn.reply = reply;
            conn.status |= match manip {
                NatManip::Src => CtStatus::SRC_NAT,
                NatManip::Dst => CtStatus::DST_NAT,
            };
        }
        conn.status |= match manip {
            NatManip::Src => CtStatus::SRC_NAT_DONE,
            NatManip::Dst => CtStatus::DST_NAT_DONE,
        };
        if manip == NatManip::Src {
            self.add_source(&original, zone, id);
        }
    }

    /// `nf_nat_alloc_null_binding()`: nobody wants a translation, but two flows must not look alike.
    pub(super) fn nat_null_binding(&mut self, id: CtId, manip: NatManip, now: Ps) {
        let Some(conn) = self.get(id) else { return };
        let address = match manip {
            NatManip::Src => conn.reply.dst,
            NatManip::Dst => conn.reply.src,
        };
        let range = NatRange {
            addrs: Some((address, address)),
            ..NatRange::default()
        };
        self.nat_setup_info(id, &range, manip, now);
    }

    /// `nf_nat_used_tuple()`: whether replies to packets like `tuple` would be taken for those of another connection.
    fn nat_used(&self, tuple: &Tuple, c: Candidate) -> bool {
        let reply = tuple.invert();
        reply.is_some_and(|reply| self.tuple_taken(&reply, c.id, c.zone, c.now))
    }

    /// `nf_nat_used_tuple_new()`: as above, but two first packets of one UDP flow, one of each side, are left to the resolution of clashes.
    fn nat_used_new(&self, tuple: &Tuple, c: Candidate) -> bool {
        let uses_nat = CtStatus::NAT_MASK | CtStatus::SEQ_ADJUST;
        if !self.nat_used(tuple, c) {
            return false;
        }
        let Some(own) = self.get(c.id) else {
            return true;
        };
        if own.original.protocol != IPPROTO_UDP || own.status.has(uses_nat) {
            return true;
        }
        let found = self.find(tuple, c.zone, c.now).or_else(|| {
            let reply = tuple.invert()?;
            self.find(&reply, c.zone, c.now)
        });
        match found.and_then(|(id, _)| self.get(id)) {
            None => false,
            Some(other) => other.status.has(uses_nat) || other.original != own.reply,
        }
    }

    /// `nf_nat_used_tuple_harder()`: with few attempts left, a closed connection makes room for a new one whose numbers are higher.
    fn nat_used_harder(&mut self, tuple: &Tuple, c: Candidate, left: u32) -> bool {
        let syn_end = self.get(c.id).and_then(|own| own.tcp_syn_end());
        let (Some(end), true, Some(reply)) = (
            syn_end,
            left <= HARDER_THRESH && tuple.protocol == IPPROTO_TCP,
            tuple.invert(),
        ) else {
            return self.nat_used(tuple, c);
        };
        let Some((id, dir)) = self.find(&reply, c.zone, c.now) else {
            return false;
        };
        use crate::netfilter::conntrack::Dir;
        let replaceable =
            dir == Dir::Reply && self.get(id).is_some_and(|old| old.may_be_replaced(end));
        if replaceable {
            self.end(id, c.now);
        }
        !replaceable
    }

    /// `get_unique_tuple()`.
    fn get_unique_tuple(
        &mut self,
        original: &Tuple,
        range: &NatRange,
        manip: NatManip,
        c: Candidate,
    ) -> Tuple {
        if manip == NatManip::Src && !range.random {
            // The same source should look the same to everybody.
            if in_range(original, range) {
                if !self.nat_used_new(original, c) {
                    return *original;
                }
            } else if let Some(mapped) = self.find_appropriate_src(original, range, c)
                && !self.nat_used(&mapped, c)
            {
                return mapped;
            }
        }
        let mut tuple = *original;
        find_best_ips_proto(&mut tuple, range, manip, c.zone);
        if !range.random {
            match range.ports {
                Some((first, last)) => {
                    if port_in_range(&tuple, manip, first, last)
                        && (first == last || !self.nat_used(&tuple, c))
                    {
                        return tuple;
                    }
                }
                None => {
                    if !self.nat_used(&tuple, c) {
                        return tuple;
                    }
                }
            }
        }
        self.unique_port(&mut tuple, range, manip, c);
        tuple
    }

    /// `find_appropriate_src()`: what another connection of this source was translated to, if that is in the range.
    fn find_appropriate_src(&self, tuple: &Tuple, range: &NatRange, c: Candidate) -> Option<Tuple> {
        self.of_source(tuple, c.zone).find_map(|conn| {
            let mapped = conn.reply.invert()?;
            let result = Tuple {
                dst: tuple.dst,
                dst_port: tuple.dst_port,
                ..mapped
            };
            in_range(&result, range).then_some(result)
        })
    }

    /// `nf_nat_l4proto_unique_tuple()`: looks for a free port (ICMP: id). Without one the tuple stays taken, and the connection is
    /// refused when it is confirmed.
    fn unique_port(&mut self, tuple: &mut Tuple, range: &NatRange, manip: NatManip, c: Candidate) {
        let icmp = tuple.is_icmp();
        if !icmp && !matches!(tuple.protocol, IPPROTO_TCP | IPPROTO_UDP) {
            return;
        }
        let key = port_of(tuple, manip);
        let (min, size) = match range.ports {
            Some((first, last)) => {
                let (min, max) = (first.min(last), first.max(last));
                (min, u32::from(max - min) + 1)
            }
            None if icmp => (0, 65536),
            // The port of a server cannot change on its own.
            None if manip == NatManip::Dst => return,
            // Privileged ports stay privileged.
            None => match key {
                0..512 => (1, 511),
                512..1024 => (600, 424),
                _ => (1024, 64512),
            },
        };
        let mut offset = if range.random || manip == NatManip::Src {
            self.random() as u16
        } else {
            0
        };
        let mut attempts = size.min(MAX_ATTEMPTS);
        loop {
            for i in 0..attempts {
                let port = min.wrapping_add((u32::from(offset) % size) as u16);
                set_port(tuple, manip, port);
                if !self.nat_used_harder(tuple, c, attempts - i) {
                    return;
                }
                offset = offset.wrapping_add(1);
            }
            if attempts >= size || attempts < 16 {
                return;
            }
            // Elsewhere, but not for ever.
            attempts /= 2;
            offset = self.random() as u16;
        }
    }
}

/// The part of the tuple that a translation may change besides the address. An ICMP id is the same both ways.
fn port_of(tuple: &Tuple, manip: NatManip) -> u16 {
    match manip {
        NatManip::Dst if !tuple.is_icmp() => tuple.dst_port,
        _ => tuple.src_port,
    }
}

fn set_port(tuple: &mut Tuple, manip: NatManip, port: u16) {
    match manip {
        NatManip::Dst if !tuple.is_icmp() => tuple.dst_port = port,
        _ => tuple.src_port = port,
    }
}

/// `l4proto_in_range()`.
fn port_in_range(tuple: &Tuple, manip: NatManip, first: u16, last: u16) -> bool {
    let has_port = tuple.is_icmp() || matches!(tuple.protocol, IPPROTO_TCP | IPPROTO_UDP);
    !has_port || (first..=last).contains(&port_of(tuple, manip))
}

/// `nf_in_range()`: whether the source of `tuple` is one of the range.
fn in_range(tuple: &Tuple, range: &NatRange) -> bool {
    range
        .addrs
        .is_none_or(|(first, last)| (first..=last).contains(&tuple.src))
        && range
            .ports
            .is_none_or(|(first, last)| port_in_range(tuple, NatManip::Src, first, last))
}

/// The 32-bit words of an address as the kernel has them in `union nf_inet_addr`: network byte order, read as they lie on a
/// little-endian machine; IPv4 has zeros behind.
fn words(address: IpAddr) -> [u32; 4] {
    let mut octets = [0u8; 16];
    match address {
        IpAddr::V4(a) => octets[..4].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => octets = a.octets(),
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}

/// `find_best_ips_proto()`: an address of the range, by a hash of the flow's addresses: a client looks the same to a server, each time.
fn find_best_ips_proto(tuple: &mut Tuple, range: &NatRange, manip: NatManip, zone: CtZone) {
    let Some((first, last)) = range.addrs else {
        return;
    };
    let chosen = if first == last {
        first
    } else {
        let (low, high) = (words(first), words(last));
        let (src, dst) = (words(tuple.src), words(tuple.dst));
        let max = if first.is_ipv4() { 0 } else { 3 };
        let start = if range.persistent {
            0
        } else {
            dst[max] ^ u32::from(zone.id)
        };
        let mut hash = jhash2(&src, start);
        let mut result = [0u32; 4];
        let mut full_range = false;
        for i in 0..=max {
            // While the words before are those of the last address, this one must not exceed its.
            let (min, distance) = if full_range {
                (0, u32::MAX)
            } else {
                let (min, max) = (low[i].swap_bytes(), high[i].swap_bytes());
                (min, max.wrapping_sub(min).wrapping_add(1))
            };
            result[i] = min
                .wrapping_add(reciprocal_scale(hash, distance))
                .swap_bytes();
            full_range |= result[i] != high[i];
            if !range.persistent {
                hash ^= dst[i];
            }
        }
        address(result, first)
    };
    match manip {
        NatManip::Src => tuple.src = chosen,
        NatManip::Dst => tuple.dst = chosen,
    }
}

/// The inverse of [`words`], in the family of `like`.
fn address(words: [u32; 4], like: IpAddr) -> IpAddr {
    let mut octets = [0u8; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    match like {
        IpAddr::V4(_) => {
            let [a, b, c, d, ..] = octets;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(octets)),
    }
}
