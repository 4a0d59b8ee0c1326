//! The vfio-user protocol: a thread that answers one client at a time, and hands what the client asks
//! for to the thread that runs the NIC.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

use hwmodel::Permission;
use hwmodel::pci::BAR0_LEN;
use rustix::event::{EventfdFlags, eventfd};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_EVENTFD, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

use crate::error::Error;

/// Bytes of configuration space, extended space included.
pub const CONFIG_LEN: u64 = 4096;

/// The parts of the function that can be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// BAR0.
    Bar0,
    /// Configuration space.
    Config,
}

/// What a client asks for.
#[derive(Debug)]
pub enum Request {
    /// Read `len` bytes of a region.
    Read {
        /// Which.
        region: Region,
        /// Bytes from its start; the access is inside.
        offset: u32,
        /// Bytes.
        len: usize,
    },
    /// Write to a region. BAR0 is written without an answer: such writes are posted on the bus, too.
    Write {
        /// Which.
        region: Region,
        /// Bytes from its start; the access is inside.
        offset: u32,
        /// What.
        data: Vec<u8>,
    },
    /// Let the device use memory.
    Map {
        /// Bus address.
        iova: u64,
        /// Bytes.
        len: u64,
        /// Where the memory is; without a file it can be had by messages only, which nobody sends.
        file: Option<File>,
        /// Where in the file, bytes.
        offset: u64,
        /// What the device may do; `None` is nothing.
        permission: Option<Permission>,
    },
    /// Take memory back.
    Unmap {
        /// Bus address.
        iova: u64,
        /// Bytes; `u64::MAX` from 0 is all.
        len: u64,
    },
    /// Set up interrupts (`VFIO_DEVICE_SET_IRQS`).
    SetIrqs {
        /// Kind of interrupt.
        index: u32,
        /// Action and form of the data.
        flags: u32,
        /// First vector.
        start: u32,
        /// Vectors.
        count: u32,
        /// One eventfd each, or none.
        fds: Vec<File>,
    },
    /// Reset the function.
    Reset,
    /// The client went away; what it had mapped and set up is void.
    Gone,
}

/// Bytes read, or nothing for a request that reads nothing.
pub type Reply = io::Result<Vec<u8>>;

/// The running thread, seen from the one that runs the NIC.
pub struct Clients {
    requests: Receiver<Request>,
    replies: Sender<Reply>,
    /// Readable when a request may be there.
    bell: Arc<OwnedFd>,
    _socket: SocketFile,
}

impl Clients {
    /// Listens at `path` for a function with `vectors` MSI-X vectors. A socket that nobody listens at
    /// any more is replaced.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn listen(path: &Path, vectors: u16) -> Result<Self, Error> {
        let socket_error = |source| Error::Socket {
            path: path.to_path_buf(),
            source,
        };
        let (listener, socket) = bind(path).map_err(socket_error)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(eventfd(0, flags).map_err(|e| socket_error(e.into()))?);
        let (request_sender, requests) = mpsc::channel();
        let (replies, reply_receiver) = mpsc::channel();
        let backend = Backend {
            requests: request_sender,
            replies: reply_receiver,
            bell: Arc::clone(&bell),
        };
        std::thread::Builder::new()
            .name("vfio-user".into())
            .spawn(move || serve(listener, vectors, backend))
            .map_err(socket_error)?;
        Ok(Self {
            requests,
            replies,
            bell,
            _socket: socket,
        })
    }

    /// What to poll for requests.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The oldest request, if there is one.
    ///
    /// # Errors
    /// [`Error::Machine`] when the thread ended, because it cannot accept clients any more.
    pub fn request(&self) -> Result<Option<Request>, Error> {
        match self.requests.try_recv() {
            Ok(request) => Ok(Some(request)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::machine(
                "vfio-user",
                "no client can be accepted any more",
            )),
        }
    }

    /// Silences the bell; requests that came before are there for [`Clients::request`].
    pub fn heard(&self) {
        let mut count = [0; 8];
        // EAGAIN: it did not ring.
        let _ = rustix::io::read(&self.bell, &mut count);
    }

    /// Answers the request that was taken last, unless it was a write to BAR0 or [`Request::Gone`].
    pub fn reply(&self, reply: Reply) {
        // A thread that ended needs no answer; the next request() tells.
        let _ = self.replies.send(reply);
    }
}

/// The socket's name, removed at the end.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let refused = |e: io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
    // Connecting to any other file is refused, too.
    let is_socket = std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    Ok((listener, SocketFile(path.to_path_buf())))
}

/// The thread: one client after the other, until none can be accepted.
fn serve(listener: UnixListener, vectors: u16, mut backend: Backend) {
    let server = Server::from_owned_fd(listener.into(), true, irqs(vectors), regions());
    loop {
        // The protocol's implementation panics at some messages that no client should send.
        let served = catch_unwind(AssertUnwindSafe(|| server.run(&mut backend)));
        if let Ok(Err(vfio_user::Error::SocketAccept(_))) = served {
            break;
        }
        // The client went away, properly or not, or talks nonsense: the next one may come.
        if backend.requests.send(Request::Gone).is_err() {
            return;
        }
        backend.ring();
    }
    let bell = Arc::clone(&backend.bell);
    drop(backend);
    ring(&bell);
}

/// The regions in VFIO's order; those that the function lacks have no bytes.
fn regions() -> Vec<ServerRegion> {
    (0..VFIO_PCI_NUM_REGIONS)
        .map(|index| {
            let size = match index {
                VFIO_PCI_BAR0_REGION_INDEX => u64::from(BAR0_LEN),
                VFIO_PCI_CONFIG_REGION_INDEX => CONFIG_LEN,
                _ => 0,
            };
            let flags = match size {
                0 => 0,
                _ => VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
            };
            ServerRegion {
                region_info: vfio_region_info {
                    argsz: size_of::<vfio_region_info>() as u32,
                    flags,
                    index,
                    size,
                    ..vfio_region_info::default()
                },
                sparse_areas: vec![],
                mmap_fd: None,
            }
        })
        .collect()
}

/// The kinds of interrupts in VFIO's order; the function has MSI-X only.
fn irqs(vectors: u16) -> Vec<IrqInfo> {
    (0..VFIO_PCI_NUM_IRQS)
        .map(|index| {
            let (flags, count) = match index {
                VFIO_PCI_MSIX_IRQ_INDEX => (VFIO_IRQ_INFO_EVENTFD, u32::from(vectors)),
                _ => (0, 0),
            };
            IrqInfo {
                index,
                flags,
                count,
            }
        })
        .collect()
}

/// The thread's end of the channels.
struct Backend {
    requests: Sender<Request>,
    replies: Receiver<Reply>,
    bell: Arc<OwnedFd>,
}

fn ring(bell: &OwnedFd) {
    // It can only fail when it has rung 2⁶⁴ − 1 times.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

impl Backend {
    fn ring(&self) {
        ring(&self.bell);
    }

    fn post(&self, request: Request) -> io::Result<()> {
        let sent = self.requests.send(request);
        self.ring();
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn ask(&self, request: Request) -> Reply {
        self.post(request)?;
        self.replies
            .recv()
            .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

/// The region that a client means, if the access is inside of it.
fn region(index: u32, offset: u64, len: usize) -> io::Result<(Region, u32)> {
    let (region, size) = match index {
        VFIO_PCI_BAR0_REGION_INDEX => (Region::Bar0, u64::from(BAR0_LEN)),
        VFIO_PCI_CONFIG_REGION_INDEX => (Region::Config, CONFIG_LEN),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok((region, offset as u32)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

impl ServerBackend for Backend {
    fn region_read(&mut self, index: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let len = data.len();
        let (region, offset) = region(index, offset, len)?;
        let bytes = self.ask(Request::Read {
            region,
            offset,
            len,
        })?;
        data.copy_from_slice(&bytes);
        Ok(())
    }

    fn region_write(&mut self, index: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let (region, offset) = region(index, offset, data.len())?;
        let request = Request::Write {
            region,
            offset,
            data: data.to_vec(),
        };
        match region {
            Region::Bar0 => self.post(request),
            Region::Config => self.ask(request).map(drop),
        }
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        let read = flags.contains(DmaMapFlags::READ);
        let permission = match (read, flags.contains(DmaMapFlags::WRITE)) {
            (true, true) => Some(Permission::ReadWrite),
            (true, false) => Some(Permission::Read),
            (false, true) => Some(Permission::Write),
            (false, false) => None,
        };
        self.ask(Request::Map {
            iova: address,
            len: size,
            file: fd,
            offset,
            permission,
        })
        .map(drop)
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        let (iova, len) = match flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            true => (0, u64::MAX),
            false => (address, size),
        };
        self.ask(Request::Unmap { iova, len }).map(drop)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.ask(Request::Reset).map(drop)
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        self.ask(Request::SetIrqs {
            index,
            flags,
            start,
            count,
            fds,
        })
        .map(drop)
    }
}
