//! Host memory: one shared mapping that the device, the driver and, through the file, another
//! process can see.

use memmap2::{MmapOptions, MmapRaw};
use std::{fs::File, ptr::NonNull, sync::Arc};

/// An anonymous file mapped shared. Physical address 0 is its first byte. Clones share the bytes.
///
/// All sides touch it while others may, so access is by copy or through raw pointers, never by
/// reference.
#[derive(Debug, Clone)]
pub struct HostMemory {
    map: Arc<MmapRaw>,
    file: Arc<File>,
}

/// An access that is not inside the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {phys:#x} are outside of host memory")]
pub struct OutOfMemory {
    /// Physical address.
    pub phys: u64,
    /// Bytes.
    pub len: usize,
}

impl HostMemory {
    /// `len` bytes of zeros, rounded up to pages of 4 KiB.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn new(len: usize) -> std::io::Result<Self> {
        let len = len.max(1).next_multiple_of(4096);
        let fd = rustix::fs::memfd_create(c"wirepath", rustix::fs::MemfdFlags::CLOEXEC)?;
        let file = File::from(fd);
        file.set_len(len as u64)?;
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        Ok(Self {
            map: Arc::new(map),
            file: Arc::new(file),
        })
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Never: there is at least one page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }

    /// The file behind the mapping, to be mapped by another process.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where `len` bytes from `phys` are mapped. The memory stays mapped while a clone lives.
    ///
    /// # Errors
    /// When they are not all inside.
    #[inline]
    pub fn ptr(&self, phys: u64, len: usize) -> Result<NonNull<u8>, OutOfMemory> {
        let error = OutOfMemory { phys, len };
        let start = usize::try_from(phys).map_err(|_| error)?;
        match start.checked_add(len) {
            Some(end) if end <= self.map.len() => {
                // SAFETY: start <= end <= length of the mapping.
                let at = unsafe { self.map.as_mut_ptr().add(start) };
                NonNull::new(at).ok_or(error)
            }
            _ => Err(error),
        }
    }

    /// Copies from memory to `to`.
    ///
    /// # Errors
    /// When the range is not inside; nothing is copied then.
    #[inline]
    pub fn read(&self, phys: u64, to: &mut [u8]) -> Result<(), OutOfMemory> {
        let from = self.ptr(phys, to.len())?;
        // SAFETY: `from` is valid for the length, and `to`, a Rust reference, cannot be part of a
        // mapping that is only handed out as raw pointers.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copies `from` to memory.
    ///
    /// # Errors
    /// When the range is not inside; nothing is copied then.
    #[inline]
    pub fn write(&self, phys: u64, from: &[u8]) -> Result<(), OutOfMemory> {
        let to = self.ptr(phys, from.len())?;
        // SAFETY: as in read().
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), from.len()) };
        Ok(())
    }

    /// 16 bytes as two little-endian words.
    #[inline]
    pub(crate) fn read_beat(&self, phys: u64) -> Result<[u64; 2], OutOfMemory> {
        let mut bytes = [0; 16];
        self.read(phys, &mut bytes)?;
        let (low, high) = bytes.split_at(8);
        Ok([low, high].map(|half| {
            half.iter()
                .rev()
                .fold(0, |word, b| word << 8 | u64::from(*b))
        }))
    }

    /// Writes those of 16 bytes whose bit in `strobe` is set.
    #[inline]
    pub(crate) fn write_beat(
        &self,
        phys: u64,
        data: [u64; 2],
        strobe: u16,
    ) -> Result<(), OutOfMemory> {
        let value = u128::from(data[1]) << 64 | u128::from(data[0]);
        let bytes = value.to_le_bytes();
        if strobe == u16::MAX {
            return self.write(phys, &bytes);
        }
        // Strobes of a burst are contiguous as a rule: one copy per run.
        let mut rest = strobe;
        while rest != 0 {
            let first = rest.trailing_zeros() as usize;
            let run = (rest >> first).trailing_ones() as usize;
            self.write(phys + first as u64, &bytes[first..first + run])?;
            let done = first + run;
            rest = if done == 16 { 0 } else { rest >> done << done };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        let memory = HostMemory::new(5000).unwrap();
        assert_eq!(memory.len(), 8192);
        assert!(memory.write(8190, &[1, 2]).is_ok());
        assert_eq!(
            memory.write(8191, &[1, 2]),
            Err(OutOfMemory { phys: 8191, len: 2 })
        );
        assert!(memory.ptr(u64::MAX, 2).is_err());
        let mut two = [0; 2];
        memory.read(8190, &mut two).unwrap();
        assert_eq!(two, [1, 2]);
    }

    #[test]
    fn strobes_choose_bytes() {
        let memory = HostMemory::new(4096).unwrap();
        for strobe in [0u16, 1, 0x8000, 0xffff, 0x0ff0, 0xa5c3] {
            memory.write(0, &[0xee; 16]).unwrap();
            memory
                .write_beat(0, [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908], strobe)
                .unwrap();
            let mut bytes = [0; 16];
            memory.read(0, &mut bytes).unwrap();
            for (lane, byte) in bytes.into_iter().enumerate() {
                let expected = if strobe >> lane & 1 == 1 {
                    lane as u8
                } else {
                    0xee
                };
                assert_eq!(byte, expected, "strobe {strobe:#06x}, lane {lane}");
            }
        }
    }

    #[test]
    fn a_beat_is_little_endian() {
        let memory = HostMemory::new(4096).unwrap();
        memory.write(32, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
        assert_eq!(memory.read_beat(32).unwrap(), [0x0807_0605_0403_0201, 9]);
    }

    #[test]
    fn another_mapping_of_the_file_sees_the_bytes() {
        let memory = HostMemory::new(4096).unwrap();
        memory.write(7, b"shared").unwrap();
        let mut bytes = [0; 6];
        std::os::unix::fs::FileExt::read_exact_at(memory.file(), &mut bytes, 7).unwrap();
        assert_eq!(&bytes, b"shared");
    }
}
