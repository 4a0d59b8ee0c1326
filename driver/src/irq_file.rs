//! [`Interrupts`] that arrive on file descriptors, as VFIO delivers them.

use std::fs::File;
use std::io::{self, Read};

use crate::error::BusError;
use crate::interrupts::{Interrupts, MsiMessage};

/// One readable file per vector. Each 8-byte record read from it stands for one or more messages;
/// an eventfd in non-blocking mode is meant. The platform has tied the files to the vectors and
/// programs the MSI-X table itself (`VFIO_DEVICE_SET_IRQS`).
#[derive(Debug)]
pub struct FdInterrupts {
    files: Vec<File>,
}

impl FdInterrupts {
    /// File n belongs to vector n. The files must not block: an eventfd with `EFD_NONBLOCK`.
    pub fn new(files: Vec<File>) -> Self {
        Self { files }
    }

    /// Takes the next vector that has a message, lowest first; `None` when there is none. The
    /// caller hands it to [`VirtioNet::handle_irq`](crate::VirtioNet::handle_irq).
    ///
    /// # Errors
    /// A file could not be read, or gave less than a record.
    pub fn take_pending(&mut self) -> io::Result<Option<u16>> {
        for (vector, file) in (0..).zip(&mut self.files) {
            if take(file)? {
                return Ok(Some(vector));
            }
        }
        Ok(None)
    }
}

/// Reads one record.
fn take(mut file: &File) -> io::Result<bool> {
    let mut count = [0; 8];
    loop {
        return match file.read(&mut count) {
            Ok(8) => Ok(u64::from_ne_bytes(count) != 0),
            Ok(0) => Ok(false),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
    }
}

impl Interrupts for FdInterrupts {
    fn vectors(&self) -> u16 {
        u16::try_from(self.files.len()).unwrap_or(u16::MAX)
    }

    fn message(&mut self, _vector: u16) -> Result<Option<MsiMessage>, BusError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn records_are_interrupts() {
        let (mut writers, files): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (writer, reader) = UnixStream::pair().unwrap();
                reader.set_nonblocking(true).unwrap();
                (writer, File::from(OwnedFd::from(reader)))
            })
            .unzip();
        let mut irq = FdInterrupts::new(files);
        assert_eq!(irq.vectors(), 3);
        assert_eq!(irq.message(1).unwrap(), None);
        assert_eq!(irq.take_pending().unwrap(), None);
        writers[2].write_all(&1u64.to_ne_bytes()).unwrap();
        writers[1].write_all(&5u64.to_ne_bytes()).unwrap();
        assert_eq!(irq.take_pending().unwrap(), Some(1));
        assert_eq!(irq.take_pending().unwrap(), Some(2));
        assert_eq!(irq.take_pending().unwrap(), None);
        writers[0].write_all(&[1]).unwrap();
        assert!(irq.take_pending().is_err());
    }
}
