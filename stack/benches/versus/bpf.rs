//! As much of `bpf(2)` as it takes to have the kernel receive frames at full speed: `BPF_PROG_TEST_RUN` of an XDP program with live frames.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_TEST_RUN: i32 = 10;
const BPF_LINK_CREATE: i32 = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_XDP: u32 = 37;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 2;

/// An instruction: opcode, destination and source register, offset, immediate.
pub fn insn(op: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    u64::from(op)
        | u64::from(dst | src << 4) << 8
        | u64::from(off as u16) << 16
        | u64::from(imm as u32) << 32
}

/// `bpf(2)`; `attr` is the command's part of `union bpf_attr`.
fn bpf<T>(command: i32, attr: &mut T) -> io::Result<i32> {
    let (attr, size) = (std::ptr::from_mut(attr), size_of::<T>());
    // SAFETY: the kernel reads and writes `size` bytes of `attr`, and memory that its pointers name, which the callers below keep alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size) };
    match result {
        0.. => Ok(result as i32),
        _ => Err(io::Error::last_os_error()),
    }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just made it, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// An array of 32-bit numbers.
pub struct Array(pub OwnedFd);

impl Array {
    /// Filled with `values`.
    pub fn new(values: &[u32]) -> io::Result<Self> {
        let mut attr = [BPF_MAP_TYPE_ARRAY, 4, 4, values.len() as u32, 0];
        let map = Self(owned(bpf(BPF_MAP_CREATE, &mut attr)?));
        for (key, value) in values.iter().enumerate() {
            let key = key as u32;
            let (key, value) = (std::ptr::from_ref(&key), std::ptr::from_ref(value));
            let mut attr = [map.0.as_raw_fd() as u64, key as u64, value as u64, 0];
            bpf(BPF_MAP_UPDATE_ELEM, &mut attr)?;
        }
        Ok(map)
    }
}

/// A loaded XDP program.
pub struct Program(OwnedFd);

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

impl Program {
    pub fn load(insns: &[u64]) -> io::Result<Self> {
        let mut attr = Load {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: insns.len() as u32,
            insns: insns.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            ..Load::default()
        };
        Ok(Self(owned(bpf(BPF_PROG_LOAD, &mut attr)?)))
    }

    /// Puts the program on a device, as long as the result lives.
    pub fn attach(&self, ifindex: u32) -> io::Result<OwnedFd> {
        let mut attr = [self.0.as_raw_fd() as u32, ifindex, BPF_XDP, 0];
        Ok(owned(bpf(BPF_LINK_CREATE, &mut attr)?))
    }

    /// Runs it `repeat` times over `frame`; returns the mean time of one run in ns, and the last verdict.
    pub fn run(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
        let mut attr = TestRun {
            prog_fd: self.0.as_raw_fd() as u32,
            data_size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            ..TestRun::default()
        };
        bpf(BPF_PROG_TEST_RUN, &mut attr)?;
        Ok((attr.duration, attr.retval))
    }

    /// The same, and what passes is received by device `ifindex`, `batch` frames at a time. Returns the mean time in ns until the kernel is
    /// done with a frame.
    pub fn receive(&self, frame: &[u8], ifindex: u32, repeat: u32, batch: u32) -> io::Result<u32> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context = [0, frame.len() as u32, 0, ifindex, 0, 0];
        let mut attr = TestRun {
            prog_fd: self.0.as_raw_fd() as u32,
            data_size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            ctx_size_in: size_of_val(&context) as u32,
            ctx_in: context.as_ptr() as u64,
            flags: BPF_F_TEST_XDP_LIVE_FRAMES,
            batch_size: batch,
            ..TestRun::default()
        };
        bpf(BPF_PROG_TEST_RUN, &mut attr)?;
        Ok(attr.duration)
    }
}
