//! Instructions (RFC 9669), decoded once, and what is checked before a program may run at all.

use super::BpfError;
use super::helpers::Helper;

/// Instruction classes, `opcode & 7`.
pub(super) mod class {
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const JMP: u8 = 5;
    pub const JMP32: u8 = 6;
    pub const ALU64: u8 = 7;
}

/// `opcode & 0xf0` of arithmetic.
pub(super) mod alu {
    pub const ADD: u8 = 0x00;
    pub const SUB: u8 = 0x10;
    pub const MUL: u8 = 0x20;
    pub const DIV: u8 = 0x30;
    pub const OR: u8 = 0x40;
    pub const AND: u8 = 0x50;
    pub const LSH: u8 = 0x60;
    pub const RSH: u8 = 0x70;
    pub const NEG: u8 = 0x80;
    pub const MOD: u8 = 0x90;
    pub const XOR: u8 = 0xa0;
    pub const MOV: u8 = 0xb0;
    pub const ARSH: u8 = 0xc0;
    pub const END: u8 = 0xd0;
}

/// `opcode & 0xf0` of jumps.
pub(super) mod jmp {
    pub const JA: u8 = 0x00;
    pub const JEQ: u8 = 0x10;
    pub const JGT: u8 = 0x20;
    pub const JGE: u8 = 0x30;
    pub const JSET: u8 = 0x40;
    pub const JNE: u8 = 0x50;
    pub const JSGT: u8 = 0x60;
    pub const JSGE: u8 = 0x70;
    pub const CALL: u8 = 0x80;
    pub const EXIT: u8 = 0x90;
    pub const JLT: u8 = 0xa0;
    pub const JLE: u8 = 0xb0;
    pub const JSLT: u8 = 0xc0;
}

/// `opcode & 0xe0` of loads and stores.
pub(super) mod mode {
    pub const MEM: u8 = 0x60;
    pub const MEMSX: u8 = 0x80;
    pub const ATOMIC: u8 = 0xc0;
}

/// The operand is a register (`BPF_X`).
pub(super) const SRC_REG: u8 = 0x08;
/// 64-bit immediate in two slots.
pub(super) const LD_IMM64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub(super) const CALL: u8 = 0x85;
/// Source register of a call within the program.
pub(super) const PSEUDO_CALL: u8 = 1;
/// The instruction behind a 64-bit immediate, which is its second half: nothing jumps here.
const SECOND_HALF: u8 = 0x00;

/// Bytes of one slot.
pub(super) const INSN_SIZE: usize = 8;
/// Slots of one program (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub(super) const MAX_INSNS: usize = 1_000_000;
/// The read-only frame pointer.
const R10: u8 = 10;

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    pub opcode: u8,
    pub dst: u8,
    pub src: u8,
    pub off: i16,
    /// Sign extended; the whole constant of a 64-bit immediate.
    pub imm: i64,
}

impl Insn {
    /// Reads one slot.
    pub fn decode(bytes: &[u8; INSN_SIZE]) -> Self {
        let [opcode, regs, o0, o1, i0, i1, i2, i3] = *bytes;
        Self {
            opcode,
            dst: regs & 0x0f,
            src: regs >> 4,
            off: i16::from_le_bytes([o0, o1]),
            imm: i64::from(i32::from_le_bytes([i0, i1, i2, i3])),
        }
    }

    /// Bytes that a load or store moves.
    pub fn size(&self) -> usize {
        match self.opcode & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 8,
        }
    }

    /// Slots from this one to the target of the jump, minus one.
    fn jump(&self) -> i64 {
        // JMP32 | JA has its distance in the immediate (gotol).
        if self.opcode == class::JMP32 | jmp::JA {
            self.imm
        } else {
            i64::from(self.off)
        }
    }
}

/// Joins the halves of 64-bit immediates and checks the program (`check_subprogs()`, `resolve_pseudo_ldimm64()`, `check_cfg()` as far as
/// one instruction at a time tells): known instructions and functions, registers that exist, jumps that land on instructions, an end
/// that is not run over, a beginning. What it does at run time is checked at run time.
pub(super) fn check(insns: &mut [Insn], entry: usize) -> Result<(), BpfError> {
    let len = insns.len();
    if len == 0 || len > MAX_INSNS {
        return Err(BpfError::Size(len));
    }
    let bad = |at: usize, problem| Err(BpfError::Insn { at, problem });
    let mut second_half = vec![false; len];
    let mut at = 0;
    while at < len {
        let insn = insns[at];
        if insn.opcode == LD_IMM64 {
            let Some(next) = insns.get_mut(at + 1) else {
                return bad(at, "half of a 64-bit constant");
            };
            if next.opcode != SECOND_HALF || next.dst != 0 || next.src != 0 || next.off != 0 {
                return bad(at + 1, "not the second half of a 64-bit constant");
            }
            let low = insn.imm as u32;
            let imm = (next.imm as u64) << 32 | u64::from(low);
            insns[at].imm = imm as i64;
            second_half[at + 1] = true;
            at += 1;
        }
        at += 1;
    }
    if second_half.get(entry) != Some(&false) {
        return bad(entry, "no place to begin");
    }
    for at in 0..len {
        if second_half[at] {
            continue;
        }
        let insn = insns[at];
        if insn.dst > R10 || (insn.src > R10) {
            return bad(at, "no such register");
        }
        if let Some(problem) = check_one(&insn) {
            return bad(at, problem);
        }
        let kind = insn.opcode & 7;
        let is_jump = matches!(kind, class::JMP | class::JMP32);
        let operation = insn.opcode & 0xf0;
        let lands = |distance: i64| {
            let to = at as i64 + 1 + distance;
            usize::try_from(to).is_ok_and(|to| second_half.get(to) == Some(&false))
        };
        let calls = insn.opcode == CALL;
        if calls && insn.src == PSEUDO_CALL && !lands(insn.imm) {
            return bad(at, "call to nowhere");
        }
        let is_exit = is_jump && operation == jmp::EXIT;
        if is_jump && !calls && !is_exit && !lands(insn.jump()) {
            return bad(at, "jump to nowhere");
        }
        let goes_on = !(is_exit || is_jump && operation == jmp::JA);
        let next = if insn.opcode == LD_IMM64 {
            at + 2
        } else {
            at + 1
        };
        if goes_on && next >= len {
            return bad(at, "the last instruction is not an exit");
        }
    }
    Ok(())
}

/// What is wrong with an instruction by itself.
fn check_one(insn: &Insn) -> Option<&'static str> {
    const UNKNOWN: Option<&str> = Some("unknown instruction");
    let operation = insn.opcode & 0xf0;
    let by_register = insn.opcode & SRC_REG != 0;
    match insn.opcode & 7 {
        class::LD if insn.opcode == LD_IMM64 => match insn.dst {
            R10 => Some("the frame pointer is read only"),
            _ => None,
        },
        class::LDX => match insn.opcode & 0xe0 {
            mode::MEM => (insn.dst == R10).then_some("the frame pointer is read only"),
            mode::MEMSX if insn.size() < 8 => {
                (insn.dst == R10).then_some("the frame pointer is read only")
            }
            _ => UNKNOWN,
        },
        class::ST if insn.opcode & 0xe0 == mode::MEM => None,
        class::STX => match insn.opcode & 0xe0 {
            mode::MEM => None,
            mode::ATOMIC if insn.size() >= 4 => match insn.imm {
                0x00 | 0x40 | 0x50 | 0xa0 => None,
                // These write the source register.
                0x01 | 0x41 | 0x51 | 0xa1 | 0xe1 if insn.src != R10 => None,
                0xf1 => None,
                _ => UNKNOWN,
            },
            _ => UNKNOWN,
        },
        kind @ (class::ALU | class::ALU64) => {
            let width = if kind == class::ALU { 32 } else { 64 };
            if insn.dst == R10 {
                return Some("the frame pointer is read only");
            }
            match operation {
                alu::END => {
                    let swap = kind == class::ALU64 && by_register;
                    (swap || !matches!(insn.imm, 16 | 32 | 64)).then_some("unknown instruction")
                }
                alu::DIV | alu::MOD if !matches!(insn.off, 0 | 1) => UNKNOWN,
                alu::DIV | alu::MOD if !by_register && insn.imm == 0 => Some("division by zero"),
                alu::LSH | alu::RSH | alu::ARSH if !by_register => {
                    (!(0..width).contains(&insn.imm) || insn.off != 0)
                        .then_some("shift by more than the width")
                }
                alu::MOV if by_register => match (insn.off, kind) {
                    (0 | 8 | 16, _) | (32, class::ALU64) => None,
                    _ => UNKNOWN,
                },
                // The offset is reserved where it says nothing.
                0x00..=0xc0 if insn.off == 0 || matches!(operation, alu::DIV | alu::MOD) => None,
                _ => UNKNOWN,
            }
        }
        class::JMP => match operation {
            jmp::JA if by_register => UNKNOWN,
            jmp::CALL if insn.opcode != CALL => UNKNOWN,
            jmp::CALL if insn.src == PSEUDO_CALL => None,
            jmp::CALL if insn.src != 0 => Some("unknown kind of call"),
            jmp::CALL => match Helper::from_id(insn.imm) {
                Some(_) => None,
                None => Some("unknown function"),
            },
            jmp::EXIT if by_register => UNKNOWN,
            0x00..=0xd0 => None,
            _ => UNKNOWN,
        },
        class::JMP32 => match operation {
            jmp::JA if by_register => UNKNOWN,
            jmp::CALL | jmp::EXIT => UNKNOWN,
            0x00..=0xd0 => None,
            _ => UNKNOWN,
        },
        _ => UNKNOWN,
    }
}
