//! Functions that programs can call (bpf-helpers(7)), with their kernel numbers.

use super::memory::{BadAccess, MAP_HANDLE, map_addr};
use super::vm::{Redirect, Run};
use crate::checksum;

/// A function that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    MapLookupElem,
    MapUpdateElem,
    MapDeleteElem,
    KtimeGetNs,
    TracePrintk,
    GetPrandomU32,
    GetSmpProcessorId,
    SkbStoreBytes,
    L3CsumReplace,
    L4CsumReplace,
    Redirect,
    SkbLoadBytes,
    CsumDiff,
    SkbPullData,
    XdpAdjustHead,
    RedirectMap,
    XdpAdjustMeta,
    XdpAdjustTail,
}

/// `-EINVAL`
const EINVAL: i64 = -22;
/// `-EFAULT`
const EFAULT: i64 = -14;
/// `-ENOMEM`
const ENOMEM: i64 = -12;
/// `XDP_REDIRECT`, `TC_ACT_REDIRECT`.
const XDP_REDIRECT: i64 = 4;
const TC_ACT_REDIRECT: i64 = 7;
/// `TC_ACT_SHOT`.
const TC_ACT_SHOT: i64 = 2;
/// `BPF_F_INGRESS`.
const F_INGRESS: u64 = 1;
/// Flag of the checksum helpers: the field size is in the low bits (`BPF_F_HDR_FIELD_MASK`).
const HDR_FIELD_MASK: u64 = 0x0f;
/// `BPF_F_PSEUDO_HDR`, `BPF_F_MARK_MANGLED_0`.
const F_PSEUDO_HDR: u64 = 1 << 4;
const F_MARK_MANGLED_0: u64 = 1 << 5;
/// Shortest frame that adjustments may leave (`ETH_HLEN`).
const ETH_HLEN: i64 = 14;
/// What a frame keeps free at its very front (`sizeof(struct xdp_frame)`).
const XDP_FRAME: i64 = 40;

impl Helper {
    /// From the number in a call; `None`: there is none here.
    pub fn from_id(id: i64) -> Option<Self> {
        Some(match id {
            1 => Helper::MapLookupElem,
            2 => Helper::MapUpdateElem,
            3 => Helper::MapDeleteElem,
            5 | 125 => Helper::KtimeGetNs,
            6 => Helper::TracePrintk,
            7 => Helper::GetPrandomU32,
            8 => Helper::GetSmpProcessorId,
            9 => Helper::SkbStoreBytes,
            10 => Helper::L3CsumReplace,
            11 => Helper::L4CsumReplace,
            23 => Helper::Redirect,
            26 => Helper::SkbLoadBytes,
            28 => Helper::CsumDiff,
            39 => Helper::SkbPullData,
            44 => Helper::XdpAdjustHead,
            51 => Helper::RedirectMap,
            54 => Helper::XdpAdjustMeta,
            65 => Helper::XdpAdjustTail,
            _ => return None,
        })
    }

    /// Whether programs of this type may call it (`xdp_func_proto()`, `tc_cls_act_func_proto()`).
    pub fn fits(self, tc: bool) -> bool {
        match self {
            Helper::SkbStoreBytes
            | Helper::L3CsumReplace
            | Helper::L4CsumReplace
            | Helper::SkbLoadBytes
            | Helper::SkbPullData => tc,
            Helper::XdpAdjustHead
            | Helper::RedirectMap
            | Helper::XdpAdjustMeta
            | Helper::XdpAdjustTail => !tc,
            _ => true,
        }
    }
}

impl Run<'_> {
    /// Calls `helper` with the arguments in r1 to r5. An error is an access outside of the program's memory.
    pub(super) fn call(&mut self, helper: Helper, args: [u64; 5]) -> Result<u64, BadAccess> {
        let [a, b, c, d, e] = args;
        let result: i64 = match helper {
            Helper::MapLookupElem => return self.map_lookup(a, b),
            Helper::MapUpdateElem => self.map_update(a, b, c, d)?,
            Helper::MapDeleteElem => self.map_delete(a, b)?,
            Helper::KtimeGetNs => return Ok(self.env.now / 1000),
            // Nobody reads the trace; the text is checked as the kernel checks it, by being read.
            Helper::TracePrintk => self.memory.read(a, b as u32 as usize)?.len() as i64,
            Helper::GetPrandomU32 => return Ok(u64::from(self.env.random())),
            Helper::GetSmpProcessorId => 0,
            Helper::SkbStoreBytes => self.skb_store_bytes(b, c, d)?,
            Helper::L3CsumReplace => self.csum_replace(b, c, d, e, false),
            Helper::L4CsumReplace => self.csum_replace(b, c, d, e, true),
            Helper::Redirect => self.redirect(a, b),
            Helper::SkbLoadBytes => self.skb_load_bytes(b, c, d)?,
            Helper::CsumDiff => self.csum_diff(a, b, c, d, e)?,
            // The packet is linear.
            Helper::SkbPullData => {
                let len = self.memory.packet.end - self.memory.packet.start;
                if b as u32 as usize <= len { 0 } else { ENOMEM }
            }
            Helper::XdpAdjustHead => self.adjust_head(b as i32),
            Helper::RedirectMap => self.redirect_map(a, b, c),
            Helper::XdpAdjustMeta => self.adjust_meta(b as i32),
            Helper::XdpAdjustTail => self.adjust_tail(b as i32),
        };
        Ok(result as u64)
    }

    fn map_lookup(&mut self, handle: u64, key: u64) -> Result<u64, BadAccess> {
        let bad = BadAccess {
            addr: handle,
            len: 0,
        };
        let key_size = self.memory.map(handle).ok_or(bad)?.1.spec().key_size;
        let index = (handle - MAP_HANDLE) as usize;
        let key = self.memory.read(key, key_size as usize)?;
        let found = self.memory.maps.get(index).and_then(|map| {
            // The values of maps to redirect through are not shown.
            (!map.memory().is_empty()).then_some(())?;
            map.lookup_offset(key)
        });
        Ok(found.map_or(0, |at| map_addr(index, at)))
    }

    /// Copies key and value, which may lie in the map itself.
    fn map_update(
        &mut self,
        handle: u64,
        key: u64,
        value: u64,
        flags: u64,
    ) -> Result<i64, BadAccess> {
        let bad = BadAccess {
            addr: handle,
            len: 0,
        };
        let (index, map) = self.memory.map(handle).ok_or(bad)?;
        let (key_size, value_size) = (map.spec().key_size as usize, map.spec().value_size as usize);
        let mut scratch = std::mem::take(self.scratch);
        scratch.clear();
        let copied = self.memory.read(key, key_size).map(|key| {
            scratch.extend_from_slice(key);
        });
        let copied = copied.and_then(|()| {
            scratch.extend_from_slice(self.memory.read(value, value_size)?);
            Ok(())
        });
        let (key, value) = scratch.split_at(key_size.min(scratch.len()));
        let result = copied.map(|()| match self.memory.maps.get_mut(index) {
            Some(map) => map
                .update(key, value, flags)
                .map_or_else(|e| e.errno(), |()| 0),
            None => EINVAL,
        });
        *self.scratch = scratch;
        result
    }

    fn map_delete(&mut self, handle: u64, key: u64) -> Result<i64, BadAccess> {
        let bad = BadAccess {
            addr: handle,
            len: 0,
        };
        let (index, map) = self.memory.map(handle).ok_or(bad)?;
        let key_size = map.spec().key_size as usize;
        self.scratch.clear();
        self.scratch
            .extend_from_slice(self.memory.read(key, key_size)?);
        Ok(match self.memory.maps.get_mut(index) {
            Some(map) => map.delete(self.scratch).map_or_else(|e| e.errno(), |()| 0),
            None => EINVAL,
        })
    }

    /// `bpf_redirect()`, `bpf_xdp_redirect()`.
    fn redirect(&mut self, ifindex: u64, flags: u64) -> i64 {
        let tc = self.env.tc;
        if flags & !F_INGRESS != 0 || (!tc && flags != 0) {
            return if tc { TC_ACT_SHOT } else { 0 };
        }
        self.redirect = Some(Redirect::Device {
            ifindex: ifindex as u32,
            ingress: flags & F_INGRESS != 0,
        });
        if tc { TC_ACT_REDIRECT } else { XDP_REDIRECT }
    }

    /// `bpf_redirect_map()`: the low bits of `flags` are the verdict if there is no such entry.
    fn redirect_map(&mut self, handle: u64, key: u64, flags: u64) -> i64 {
        use super::maps::MapKind;
        if flags & !3 != 0 {
            return 0;
        }
        let Some((_, map)) = self.memory.map(handle) else {
            return 0;
        };
        let kind = map.spec().kind;
        self.redirect = map.target(key as u32).map(|target| match kind {
            MapKind::XskMap => Redirect::Xsk(target),
            _ => Redirect::Device {
                ifindex: target,
                ingress: false,
            },
        });
        match self.redirect {
            Some(_) => XDP_REDIRECT,
            None => flags as i64,
        }
    }

    /// `bpf_csum_diff()`: the sum `seed` with the `from` bytes taken out and the `to` bytes put in, in the byte order of memory.
    fn csum_diff(
        &mut self,
        from: u64,
        from_size: u64,
        to: u64,
        to_size: u64,
        seed: u64,
    ) -> Result<i64, BadAccess> {
        let (from_size, to_size) = (from_size as u32 as usize, to_size as u32 as usize);
        if from_size % 4 != 0 || to_size % 4 != 0 || from_size + to_size > 512 {
            return Ok(EINVAL);
        }
        let part = |addr, len| -> Result<u32, BadAccess> {
            match len {
                0 => Ok(0),
                _ => self.memory.read(addr, len).map(checksum::sum),
            }
        };
        let (old, new) = (part(from, from_size)?, part(to, to_size)?);
        // The seed is a sum of words as they lie in memory: swapped here, swapped back below.
        let seed = checksum::swap(seed as u32);
        let sum = checksum::add(checksum::sub(seed, old), new);
        Ok(i64::from(checksum::swap(sum)))
    }

    /// `bpf_xdp_adjust_head()`.
    fn adjust_head(&mut self, delta: i32) -> i64 {
        let packet = &mut self.memory.packet;
        let meta_len = (packet.start - packet.meta) as i64;
        let start = packet.start as i64 + i64::from(delta);
        if start < XDP_FRAME + meta_len || start > packet.end as i64 - ETH_HLEN {
            return EINVAL;
        }
        packet.start = start as usize;
        packet.meta = (start - meta_len) as usize;
        // What was before the packet is nobody's data.
        if delta < 0 {
            let len = delta.unsigned_abs() as usize;
            if let Some(new) = packet.buf.get_mut(packet.start..packet.start + len) {
                new.fill(0);
            }
        }
        packet.written = true;
        self.show_packet();
        0
    }

    /// `bpf_xdp_adjust_meta()`.
    fn adjust_meta(&mut self, delta: i32) -> i64 {
        let packet = &mut self.memory.packet;
        let meta = packet.meta as i64 + i64::from(delta);
        if meta < XDP_FRAME || meta > packet.start as i64 {
            return EINVAL;
        }
        // xdp_metalen_invalid()
        let len = packet.start as i64 - meta;
        if len % 4 != 0 || len > 252 {
            return -13;
        }
        packet.meta = meta as usize;
        self.show_packet();
        0
    }

    /// `bpf_xdp_adjust_tail()`.
    fn adjust_tail(&mut self, delta: i32) -> i64 {
        let packet = &mut self.memory.packet;
        let end = packet.end as i64 + i64::from(delta);
        if end > packet.buf.len() as i64 || end < packet.start as i64 + ETH_HLEN {
            return EINVAL;
        }
        let (old, end) = (packet.end, end as usize);
        if let Some(new) = packet.buf.get_mut(old..end) {
            new.fill(0);
        }
        packet.end = end;
        packet.written = true;
        self.show_packet();
        0
    }

    /// Bytes `offset..offset + len` of the packet.
    fn packet_bytes(&mut self, offset: u64, len: usize) -> Option<&mut [u8]> {
        let packet = &mut self.memory.packet;
        let at = packet
            .start
            .checked_add(usize::try_from(offset as u32).ok()?)?;
        let end = at.checked_add(len)?;
        if end > packet.end {
            return None;
        }
        packet.buf.get_mut(at..end)
    }

    fn skb_load_bytes(&mut self, offset: u64, to: u64, len: u64) -> Result<i64, BadAccess> {
        let len = len as u32 as usize;
        self.memory.write(to, len)?;
        self.scratch.clear();
        let mut scratch = std::mem::take(self.scratch);
        let found = self
            .packet_bytes(offset, len)
            .map(|bytes| scratch.extend_from_slice(bytes));
        let to = self.memory.write(to, len)?;
        match found {
            Some(()) => to.copy_from_slice(&scratch),
            None => to.fill(0),
        }
        *self.scratch = scratch;
        Ok(if found.is_some() { 0 } else { EFAULT })
    }

    fn skb_store_bytes(&mut self, offset: u64, from: u64, len: u64) -> Result<i64, BadAccess> {
        let len = len as u32 as usize;
        let mut scratch = std::mem::take(self.scratch);
        scratch.clear();
        let copied = self
            .memory
            .read(from, len)
            .map(|bytes| scratch.extend_from_slice(bytes));
        let stored = self
            .packet_bytes(offset, scratch.len())
            .map(|to| to.copy_from_slice(&scratch));
        let result = copied.map(|()| if stored.is_some() { 0 } else { EFAULT });
        self.memory.packet.written = true;
        *self.scratch = scratch;
        result
    }

    /// `bpf_l3_csum_replace()`, `bpf_l4_csum_replace()`: mends a checksum in the packet (RFC 1624).
    fn csum_replace(&mut self, offset: u64, from: u64, to: u64, flags: u64, l4: bool) -> i64 {
        let known = match l4 {
            true => HDR_FIELD_MASK | F_PSEUDO_HDR | F_MARK_MANGLED_0,
            false => HDR_FIELD_MASK,
        };
        if flags & !known != 0 {
            return EINVAL;
        }
        // Of the pseudo header alone the sender's device sums the rest: the field is not inverted.
        let inverted = !(l4 && self.env.csum_partial);
        if !inverted && flags & F_PSEUDO_HDR == 0 {
            return 0;
        }
        let mangled = flags & F_MARK_MANGLED_0 != 0;
        let Some(field) = self.packet_bytes(offset, 2) else {
            return EFAULT;
        };
        let old = u16::from_be_bytes([field[0], field[1]]);
        if mangled && old == 0 {
            return 0;
        }
        // Arguments are as they lie in memory.
        let words = |value: u64, size: u64| match size {
            2 => u32::from((value as u16).swap_bytes()),
            _ => checksum::sum(&(value as u32).to_le_bytes()),
        };
        let change = match flags & HDR_FIELD_MASK {
            // A difference from bpf_csum_diff().
            0 if from == 0 => checksum::swap(to as u32),
            size @ (2 | 4) => checksum::sub(words(to, size), words(from, size)),
            _ => return EINVAL,
        };
        let sum = if inverted { !old } else { old };
        let sum = checksum::fold(checksum::add(u32::from(sum), change));
        let new = match if inverted { !sum } else { sum } {
            0 if mangled => 0xffff,
            new => new,
        };
        field.copy_from_slice(&new.to_be_bytes());
        self.memory.packet.written = true;
        0
    }
}
