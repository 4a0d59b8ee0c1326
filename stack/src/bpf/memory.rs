//! The memory that a program can reach: its stack, its context, its packet, the values of its maps. Addresses are made up; each access
//! is looked up in these regions and nowhere else, so there is no address that leads out.

use super::maps::Map;

/// First address of the context. Below 4 GiB, as programs keep packet addresses in 32 bits.
pub(super) const CTX_BASE: u64 = 0x0100_0000;
/// First address of the stack.
pub(super) const STACK_BASE: u64 = 0x0200_0000;
/// Address of the first byte of the packet's buffer, headroom included.
pub(super) const PACKET_BASE: u64 = 0x1000_0000;
/// Maps by number: 4 GiB of addresses each.
pub(super) const MAP_BASE: u64 = 1 << 32;
/// What stands for a map itself; not an address.
pub(super) const MAP_HANDLE: u64 = 0x7fff_0000_0000_0000;
/// Bytes of stack of one function (`MAX_BPF_STACK`).
pub(super) const STACK_SIZE: usize = 512;
/// Nested calls, the program itself included (`MAX_CALL_FRAMES`).
pub(super) const MAX_CALL_FRAMES: usize = 8;

/// An access outside of the program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadAccess {
    pub addr: u64,
    pub len: usize,
}

/// The packet, in the buffer that it lies in.
#[derive(Default)]
pub(crate) struct Packet<'a> {
    /// Headroom, packet, tailroom.
    pub buf: &'a mut [u8],
    /// First byte of the packet in `buf`.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// First byte of metadata (`data_meta`), at most `start`.
    pub meta: usize,
    /// Some byte was written.
    pub written: bool,
}

/// All regions of one run.
pub(super) struct Memory<'a> {
    pub ctx: &'a mut [u8],
    /// Byte ranges of the context that may be written.
    pub ctx_writable: &'static [(usize, usize)],
    pub stack: &'a mut [u8],
    pub packet: Packet<'a>,
    pub maps: &'a mut [Map],
}

/// Offset of `addr` in a region that begins at `base`.
fn offset(addr: u64, base: u64) -> Option<usize> {
    usize::try_from(addr.checked_sub(base)?).ok()
}

impl Memory<'_> {
    /// `len` bytes from `addr` on.
    #[inline]
    pub fn read(&self, addr: u64, len: usize) -> Result<&[u8], BadAccess> {
        self.find(addr, len).ok_or(BadAccess { addr, len })
    }

    #[inline]
    fn find(&self, addr: u64, len: usize) -> Option<&[u8]> {
        match addr {
            PACKET_BASE..MAP_BASE => {
                let at = offset(addr, PACKET_BASE)?;
                let end = at.checked_add(len)?;
                if at < self.packet.meta || end > self.packet.end {
                    return None;
                }
                self.packet.buf.get(at..end)
            }
            STACK_BASE..PACKET_BASE => {
                let at = offset(addr, STACK_BASE)?;
                self.stack.get(at..at.checked_add(len)?)
            }
            CTX_BASE..STACK_BASE => {
                let at = offset(addr, CTX_BASE)?;
                self.ctx.get(at..at.checked_add(len)?)
            }
            MAP_BASE..MAP_HANDLE => {
                let (map, at) = map_place(addr)?;
                self.maps.get(map)?.memory().get(at..at.checked_add(len)?)
            }
            _ => None,
        }
    }

    /// `len` bytes from `addr` on, to be written.
    #[inline]
    pub fn write(&mut self, addr: u64, len: usize) -> Result<&mut [u8], BadAccess> {
        self.find_mut(addr, len).ok_or(BadAccess { addr, len })
    }

    #[inline]
    fn find_mut(&mut self, addr: u64, len: usize) -> Option<&mut [u8]> {
        match addr {
            PACKET_BASE..MAP_BASE => {
                let at = offset(addr, PACKET_BASE)?;
                let end = at.checked_add(len)?;
                if at < self.packet.meta || end > self.packet.end {
                    return None;
                }
                self.packet.written = true;
                self.packet.buf.get_mut(at..end)
            }
            STACK_BASE..PACKET_BASE => {
                let at = offset(addr, STACK_BASE)?;
                self.stack.get_mut(at..at.checked_add(len)?)
            }
            CTX_BASE..STACK_BASE => {
                let at = offset(addr, CTX_BASE)?;
                let end = at.checked_add(len)?;
                let allowed = self
                    .ctx_writable
                    .iter()
                    .any(|&(from, to)| from <= at && end <= to);
                allowed.then_some(self.ctx.get_mut(at..end)?)
            }
            MAP_BASE..MAP_HANDLE => {
                let (map, at) = map_place(addr)?;
                let map = self.maps.get_mut(map)?;
                map.memory_mut()?.get_mut(at..at.checked_add(len)?)
            }
            _ => None,
        }
    }

    /// The map that a handle stands for.
    pub fn map(&mut self, handle: u64) -> Option<(usize, &mut Map)> {
        let index = usize::try_from(handle.checked_sub(MAP_HANDLE)?).ok()?;
        Some((index, self.maps.get_mut(index)?))
    }
}

/// Number of the map and offset in its memory.
fn map_place(addr: u64) -> Option<(usize, usize)> {
    let place = addr - MAP_BASE;
    Some((
        usize::try_from(place >> 32).ok()?,
        (place & 0xffff_ffff) as usize,
    ))
}

/// The address of a byte of a map's memory.
pub(super) fn map_addr(map: usize, offset: usize) -> u64 {
    MAP_BASE + ((map as u64) << 32) + offset as u64
}
