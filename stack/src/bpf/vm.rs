//! The machine: runs checked instructions over the program's memory, for a bounded time.

use super::helpers::Helper;
use super::insn::{CALL, Insn, LD_IMM64, PSEUDO_CALL, SRC_REG, alu, class, jmp, mode};
use super::memory::{
    BadAccess, CTX_BASE, MAX_CALL_FRAMES, Memory, PACKET_BASE, STACK_BASE, STACK_SIZE,
};
use crate::Ps;

/// Instructions of one run; a kernel's verifier follows at most as many.
pub(super) const BUDGET: u32 = 1_000_000;

/// Why a run ended early. The packet is lost then (`XDP_ABORTED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An access outside of the program's memory, or a write to what is read only.
    Access { at: usize, addr: u64, len: usize },
    /// More instructions than [`BUDGET`].
    Budget,
    /// Somebody is looking at the maps.
    MapsInUse,
    /// Calls nested deeper than [`MAX_CALL_FRAMES`].
    CallDepth { at: usize },
}

/// Where a program sent the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// To a device; `ingress`: as if it had been received there.
    Device { ifindex: u32, ingress: bool },
    /// To an AF_XDP socket.
    Xsk(u32),
}

/// What a run knows of the world.
pub(crate) struct Env<'a> {
    /// Simulated time.
    pub now: Ps,
    /// State of the generator behind `bpf_get_prandom_u32()`.
    pub rng: &'a mut u64,
    /// The program classifies for tc; else it is an XDP program.
    pub tc: bool,
    /// The packet's checksum is left to a device.
    pub csum_partial: bool,
}

impl Env<'_> {
    /// Next number of the seeded generator (splitmix64).
    pub fn random(&mut self) -> u32 {
        *self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }
}

/// One run of a program.
pub(super) struct Run<'a> {
    pub insns: &'a [Insn],
    pub memory: Memory<'a>,
    pub env: Env<'a>,
    pub redirect: Option<Redirect>,
    /// Memory for keys and values on their way.
    pub scratch: &'a mut Vec<u8>,
    /// Where the context has the packet's addresses: data, data_end, data_meta.
    pub ctx_packet: [usize; 3],
}

/// What a call comes back to.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// r6 to r9.
    saved: [u64; 4],
    at: usize,
}

impl Run<'_> {
    /// Puts the packet's addresses into the context.
    pub fn show_packet(&mut self) {
        let packet = &self.memory.packet;
        let places = [packet.start, packet.end, packet.meta];
        for (at, place) in self.ctx_packet.into_iter().zip(places) {
            let addr = (PACKET_BASE + place as u64) as u32;
            if let Some(field) = self.memory.ctx.get_mut(at..at + 4) {
                field.copy_from_slice(&addr.to_le_bytes());
            }
        }
    }

    /// Runs from instruction `entry` on; r0 at the end.
    pub fn run(&mut self, entry: usize) -> Result<u64, Fault> {
        let mut frames = [Frame::default(); MAX_CALL_FRAMES];
        let mut depth = 0;
        // 16, so that 4 bits are always an index.
        let mut regs = [0u64; 16];
        regs[1] = CTX_BASE;
        regs[10] = STACK_BASE + STACK_SIZE as u64;
        let mut at = entry;
        for _ in 0..BUDGET {
            // Checked: nothing runs over the end.
            let Some(&insn) = self.insns.get(at) else {
                break;
            };
            let (dst, src) = (usize::from(insn.dst & 15), usize::from(insn.src & 15));
            let here = at;
            at += 1;
            let access = |bad: BadAccess| Fault::Access {
                at: here,
                addr: bad.addr,
                len: bad.len,
            };
            match insn.opcode & 7 {
                class::ALU64 => regs[dst] = alu64(&insn, regs[dst], operand(&insn, &regs)),
                class::ALU => {
                    let result = alu32(&insn, regs[dst], operand(&insn, &regs));
                    regs[dst] = result;
                }
                class::LDX => {
                    let addr = regs[src].wrapping_add(insn.off as u64);
                    let value = read(self.memory.read(addr, insn.size()).map_err(access)?);
                    regs[dst] = match insn.opcode & 0xe0 {
                        mode::MEMSX => sign_extend(value, insn.size() * 8),
                        _ => value,
                    };
                }
                class::ST => {
                    let addr = regs[dst].wrapping_add(insn.off as u64);
                    let to = self.memory.write(addr, insn.size()).map_err(access)?;
                    write(to, insn.imm as u64);
                }
                class::STX if insn.opcode & 0xe0 == mode::ATOMIC => {
                    let addr = regs[dst].wrapping_add(insn.off as u64);
                    let to = self.memory.write(addr, insn.size()).map_err(access)?;
                    atomic(&insn, to, &mut regs);
                }
                class::STX => {
                    let addr = regs[dst].wrapping_add(insn.off as u64);
                    let to = self.memory.write(addr, insn.size()).map_err(access)?;
                    write(to, regs[src]);
                }
                class::LD => {
                    debug_assert_eq!(insn.opcode, LD_IMM64);
                    regs[dst] = insn.imm as u64;
                    at += 1;
                }
                _ if insn.opcode == CALL && insn.src == PSEUDO_CALL => {
                    if depth + 1 >= MAX_CALL_FRAMES {
                        return Err(Fault::CallDepth { at: here });
                    }
                    let [_, _, _, _, _, _, r6, r7, r8, r9, ..] = regs;
                    frames[depth] = Frame {
                        saved: [r6, r7, r8, r9],
                        at,
                    };
                    depth += 1;
                    regs[10] += STACK_SIZE as u64;
                    at = target(here, insn.imm);
                }
                _ if insn.opcode == CALL => {
                    let [_, a, b, c, d, e, ..] = regs;
                    if let Some(helper) = Helper::from_id(insn.imm) {
                        regs[0] = self.call(helper, [a, b, c, d, e]).map_err(access)?;
                    }
                    // Arguments do not survive a call.
                    regs[1..6].fill(0);
                }
                kind => {
                    let operation = insn.opcode & 0xf0;
                    if operation == jmp::EXIT {
                        let Some(outer) = depth.checked_sub(1) else {
                            return Ok(regs[0]);
                        };
                        depth = outer;
                        regs[10] -= STACK_SIZE as u64;
                        regs[6..10].copy_from_slice(&frames[depth].saved);
                        at = frames[depth].at;
                        continue;
                    }
                    let narrow = kind == class::JMP32;
                    let (a, b) = (regs[dst], operand(&insn, &regs));
                    let taken = match narrow {
                        // Extended by their sign, numbers keep their order, that of unsigned ones too.
                        true => compare(operation, sign_extend(a, 32), sign_extend(b, 32)),
                        false => compare(operation, a, b),
                    };
                    if taken {
                        let far = narrow && operation == jmp::JA;
                        let distance = if far { insn.imm } else { i64::from(insn.off) };
                        at = target(here, distance);
                    }
                }
            }
        }
        Err(Fault::Budget)
    }
}

/// Where a jump lands; checked when the program was loaded.
fn target(here: usize, distance: i64) -> usize {
    (here as i64 + 1).wrapping_add(distance) as usize
}

/// The second operand: a register or the constant.
#[inline]
fn operand(insn: &Insn, regs: &[u64; 16]) -> u64 {
    if insn.opcode & SRC_REG != 0 {
        regs[usize::from(insn.src & 15)]
    } else {
        insn.imm as u64
    }
}

fn sign_extend(value: u64, bits: usize) -> u64 {
    let unused = 64 - bits as u32;
    ((value << unused) as i64 >> unused) as u64
}

/// A number of 1, 2, 4 or 8 bytes, little endian.
#[inline]
fn read(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

#[inline]
fn write(to: &mut [u8], value: u64) {
    let bytes = value.to_le_bytes();
    let len = to.len().min(8);
    to[..len].copy_from_slice(&bytes[..len]);
}

fn compare(operation: u8, a: u64, b: u64) -> bool {
    let (sa, sb) = (a as i64, b as i64);
    match operation {
        jmp::JA => true,
        jmp::JEQ => a == b,
        jmp::JGT => a > b,
        jmp::JGE => a >= b,
        jmp::JSET => a & b != 0,
        jmp::JNE => a != b,
        jmp::JSGT => sa > sb,
        jmp::JSGE => sa >= sb,
        jmp::JLT => a < b,
        jmp::JLE => a <= b,
        jmp::JSLT => sa < sb,
        _ => sa <= sb,
    }
}

fn alu64(insn: &Insn, a: u64, b: u64) -> u64 {
    let signed = insn.off == 1;
    match insn.opcode & 0xf0 {
        alu::ADD => a.wrapping_add(b),
        alu::SUB => a.wrapping_sub(b),
        alu::MUL => a.wrapping_mul(b),
        // Division by zero is 0, modulo zero changes nothing (RFC 9669 4.1).
        alu::DIV if signed => match b {
            0 => 0,
            _ => (a as i64).wrapping_div(b as i64) as u64,
        },
        alu::DIV => a.checked_div(b).unwrap_or(0),
        alu::MOD if signed => match b {
            0 => a,
            _ => (a as i64).wrapping_rem(b as i64) as u64,
        },
        alu::MOD => a.checked_rem(b).unwrap_or(a),
        alu::OR => a | b,
        alu::AND => a & b,
        alu::XOR => a ^ b,
        alu::LSH => a.wrapping_shl(b as u32),
        alu::RSH => a.wrapping_shr(b as u32),
        alu::ARSH => (a as i64).wrapping_shr(b as u32) as u64,
        alu::NEG => a.wrapping_neg(),
        alu::END => match insn.imm {
            16 => u64::from((a as u16).swap_bytes()),
            32 => u64::from((a as u32).swap_bytes()),
            _ => a.swap_bytes(),
        },
        // MOV, with or without sign extension.
        _ => match insn.off {
            0 => b,
            bits => sign_extend(b, bits as usize),
        },
    }
}

fn alu32(insn: &Insn, whole: u64, b: u64) -> u64 {
    let (a, b) = (whole as u32, b as u32);
    let signed = insn.off == 1;
    let result = match insn.opcode & 0xf0 {
        alu::ADD => a.wrapping_add(b),
        alu::SUB => a.wrapping_sub(b),
        alu::MUL => a.wrapping_mul(b),
        alu::DIV if signed => match b {
            0 => 0,
            _ => (a as i32).wrapping_div(b as i32) as u32,
        },
        alu::DIV => a.checked_div(b).unwrap_or(0),
        alu::MOD if signed => match b {
            0 => a,
            _ => (a as i32).wrapping_rem(b as i32) as u32,
        },
        alu::MOD => a.checked_rem(b).unwrap_or(a),
        alu::OR => a | b,
        alu::AND => a & b,
        alu::XOR => a ^ b,
        alu::LSH => a.wrapping_shl(b),
        alu::RSH => a.wrapping_shr(b),
        alu::ARSH => (a as i32).wrapping_shr(b) as u32,
        alu::NEG => a.wrapping_neg(),
        // To big endian with the register bit, to little endian (which it is) without.
        alu::END => {
            let swap = insn.opcode & SRC_REG != 0;
            return match (insn.imm, swap) {
                (16, true) => u64::from((whole as u16).swap_bytes()),
                (32, true) => u64::from(a.swap_bytes()),
                (_, true) => whole.swap_bytes(),
                (16, false) => u64::from(whole as u16),
                (32, false) => u64::from(a),
                (_, false) => whole,
            };
        }
        _ => match insn.off {
            0 => b,
            bits => sign_extend(u64::from(b), bits as usize) as u32,
        },
    };
    u64::from(result)
}

/// Read, modify, write. There is one CPU, so every instruction is atomic.
fn atomic(insn: &Insn, to: &mut [u8], regs: &mut [u64; 16]) {
    let (old, operand) = (read(to), regs[usize::from(insn.src & 15)]);
    let narrow = |value: u64| match insn.size() {
        4 => u64::from(value as u32),
        _ => value,
    };
    let fetch = insn.imm & 1 != 0;
    let new = match insn.imm {
        0xf1 => {
            let expected = narrow(regs[0]);
            regs[0] = old;
            if old == expected { operand } else { old }
        }
        0xe1 => operand,
        operation => match (operation & 0xf0) as u8 {
            alu::ADD => old.wrapping_add(operand),
            alu::OR => old | operand,
            alu::AND => old & operand,
            _ => old ^ operand,
        },
    };
    write(to, new);
    if fetch && insn.imm != 0xf1 {
        regs[usize::from(insn.src & 15)] = old;
    }
}
