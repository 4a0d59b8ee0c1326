//! eBPF programs: object files as `clang -target bpf` writes them, checked, and run over memory that is theirs.
//!
//! | file | concept |
//! | --- | --- |
//! | `elf`, `btf` | the object file: programs, maps, relocations |
//! | `insn` | instructions, and the checks before a program may run |
//! | `vm` | the machine |
//! | `memory` | what a program can reach |
//! | `maps`, `helpers` | what it can call for |
//!
//! **Safety.** A kernel proves before the first run that a program stays in its memory. Here every access is looked up in the program's
//! regions (stack, context, packet, map values) when it happens, and a run has a budget of instructions; a program that leaves its memory or
//! its time is stopped, and the packet is lost (`XDP_ABORTED`). So programs run here that a verifier refuses, but none that does harm. No
//! address in a program is one of the process: addresses are numbers that only this module understands. `tests/data/bpf/bounds.c` has a program
//! for each way out; `tests/live_xdp.rs` shows that the kernel's verifier refuses each of them, and that both give the same verdicts and frames
//! for programs that it takes.
//!
//! **Why a machine of its own.** The crate `rbpf` runs instructions over memory of the process: its registers hold addresses, it has no
//! maps, and what a program may reach is fixed before the run, while here a packet moves in its buffer (`bpf_xdp_adjust_head()`) and map values come
//! and go. It also differs from RFC 9669 in places that the tests name. So it is the other machine of the property test (`tests`): the same
//! random programs in both, with the same results. Objects are read with the crate `object`; what there is on top (BTF map declarations,
//! relocations of maps, data sections and functions) is little, and refuses what it does not understand.

mod btf;
mod elf;
mod helpers;
mod insn;
mod maps;
mod memory;
#[cfg(test)]
mod tests;
mod vm;

pub use maps::{Map, MapError, MapKind, MapSpec};
pub(crate) use memory::Packet;
pub(crate) use vm::{Env, Fault, Redirect};

use helpers::Helper;
use insn::{CALL, Insn, PSEUDO_CALL};
use memory::{MAX_CALL_FRAMES, Memory, STACK_SIZE};
use std::cell::RefCell;
use std::rc::Rc;
use vm::Run;

/// Why a program cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BpfError {
    /// The file is not a BPF object, or it is damaged.
    #[error("not a BPF object: {0}")]
    Elf(String),
    /// There is no program in a section of this name, and no function of this name.
    #[error("no program {0:?}")]
    NoProgram(String),
    /// The code refers to something that is not in the object.
    #[error("unknown symbol {0:?}")]
    Symbol(String),
    /// A map cannot be made as it is declared.
    #[error("map {name:?}: {problem}")]
    Map {
        /// The map's name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The program has no instructions, or too many.
    #[error("{0} instructions")]
    Size(usize),
    /// An instruction that no program may have.
    #[error("instruction {at}: {problem}")]
    Insn {
        /// Its number, from 0 on.
        at: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramType {
    /// `BPF_PROG_TYPE_XDP`: sees a frame before the stack does.
    Xdp,
    /// `BPF_PROG_TYPE_SCHED_CLS`: classifies packets for tc.
    SchedCls,
}

/// The maps of an object; its programs share them.
pub type Maps = Rc<RefCell<Vec<Map>>>;

/// A program that may run.
pub struct Program {
    name: String,
    kind: ProgramType,
    insns: Vec<Insn>,
    entry: usize,
    maps: Maps,
    stack: Box<[u8]>,
    scratch: Vec<u8>,
    /// State of the generator behind `bpf_get_prandom_u32()`.
    rng: u64,
    adjusts_head: bool,
}

impl Program {
    /// Loads the program in section `section` of the object file `elf`, or the function of that name.
    ///
    /// # Errors
    /// The file is damaged, refers to what does not exist, or has instructions that no program may have.
    pub fn load(elf: &[u8], section: &str, kind: ProgramType) -> Result<Self, BpfError> {
        let loaded = elf::load(elf, section)?;
        let mut program = Self::new(loaded.insns, loaded.entry, kind)?;
        program.name = loaded.name;
        program.maps = Rc::new(RefCell::new(loaded.maps));
        Ok(program)
    }

    fn new(mut insns: Vec<Insn>, entry: usize, kind: ProgramType) -> Result<Self, BpfError> {
        insn::check(&mut insns, entry)?;
        let tc = kind == ProgramType::SchedCls;
        let mut adjusts_head = false;
        for (at, insn) in insns.iter().enumerate() {
            if insn.opcode != CALL || insn.src == PSEUDO_CALL {
                continue;
            }
            let Some(helper) = Helper::from_id(insn.imm).filter(|helper| helper.fits(tc)) else {
                return Err(BpfError::Insn {
                    at,
                    problem: "unknown function",
                });
            };
            adjusts_head |= matches!(helper, Helper::XdpAdjustHead | Helper::XdpAdjustMeta);
        }
        // Without calls of functions of its own it has one frame.
        let calls = insns
            .iter()
            .any(|i| i.opcode == CALL && i.src == PSEUDO_CALL);
        let frames = if calls { MAX_CALL_FRAMES } else { 1 };
        Ok(Self {
            name: String::new(),
            kind,
            insns,
            entry,
            maps: Rc::default(),
            stack: vec![0; STACK_SIZE * frames].into_boxed_slice(),
            scratch: Vec::new(),
            rng: 0,
            adjusts_head,
        })
    }

    /// Name of its function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn kind(&self) -> ProgramType {
        self.kind
    }

    /// The maps of its object: to be filled before it runs, and read after that. They must not be borrowed while it runs.
    pub fn maps(&self) -> Maps {
        Rc::clone(&self.maps)
    }

    /// Start of what `bpf_get_prandom_u32()` draws; 0 without a call.
    pub fn seed(&mut self, seed: u64) {
        self.rng = seed;
    }

    /// Whether it moves the start of the packet, and so needs room before it.
    pub(crate) fn adjusts_head(&self) -> bool {
        self.adjusts_head
    }

    /// Runs the program. `ctx`: the context as the program sees it, without the packet's addresses, which go to the offsets `ctx_packet`
    /// (data, data_end, data_meta; outside of the context: nowhere). `ctx_writable`: what it may change of it. Returns r0 and where it
    /// redirected the packet; the packet as it is now is left in `packet`.
    pub(crate) fn run(
        &mut self,
        ctx: &mut [u8],
        ctx_writable: &'static [(usize, usize)],
        ctx_packet: [usize; 3],
        packet: &mut Packet<'_>,
        env: ProgramEnv,
    ) -> Result<(u64, Option<Redirect>), Fault> {
        let Ok(mut maps) = self.maps.try_borrow_mut() else {
            return Err(Fault::MapsInUse);
        };
        self.stack.fill(0);
        let mut run = Run {
            insns: &self.insns,
            memory: Memory {
                ctx,
                ctx_writable,
                stack: &mut self.stack,
                packet: Packet {
                    buf: &mut *packet.buf,
                    ..*packet
                },
                maps: maps.as_mut_slice(),
            },
            env: Env {
                now: env.now,
                rng: &mut self.rng,
                tc: self.kind == ProgramType::SchedCls,
                csum_partial: env.csum_partial,
            },
            redirect: None,
            scratch: &mut self.scratch,
            ctx_packet,
        };
        run.show_packet();
        let result = run.run(self.entry);
        let redirect = run.redirect;
        let after = &run.memory.packet;
        let (start, end, meta, written) = (after.start, after.end, after.meta, after.written);
        (packet.start, packet.end, packet.meta, packet.written) = (start, end, meta, written);
        Ok((result?, redirect))
    }
}

/// What a run is told of the world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProgramEnv {
    /// Simulated time.
    pub now: crate::Ps,
    /// The packet's checksum is left to a device.
    pub csum_partial: bool,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("instructions", &self.insns.len())
            .finish_non_exhaustive()
    }
}
