//! Programs for tc: what `cls_bpf` runs (net/core/filter.c, `tc_cls_act_*`).

use crate::bpf::{Maps, Packet, Program, ProgramEnv, ProgramType, Redirect};
use crate::error::StackError;
use crate::sched::{BpfVerdict, TcProgram};
use crate::skb::{CsumState, IfIndex, PktType, SkBuff};
use crate::stack::Stack;
use crate::{Ps, bpf::BpfError};

/// Bytes of `struct __sk_buff`.
const SK_BUFF: usize = 192;
/// Offsets of data, data_end and data_meta there.
const PACKET: [usize; 3] = [76, 80, 140];
/// What a program may write (`tc_cls_act_is_valid_access()`): mark, priority, tc_index, cb, tc_classid, tstamp.
const WRITABLE: &[(usize, usize)] = &[(8, 12), (32, 36), (44, 68), (72, 76), (152, 160)];

/// A program that tc filters run.
#[derive(Debug)]
pub struct TcBpf {
    program: Program,
}

impl Stack {
    /// Makes the program in section `section` of the object file `elf` known to `tc filter … bpf object-file FILE section SECTION`.
    pub fn tc_add_object(
        &mut self,
        file: &str,
        elf: &[u8],
        section: &str,
    ) -> Result<(), StackError> {
        let program = TcBpf::load(elf, section, self.random())?;
        self.tc_add_program(&format!("{file}:{section}"), Box::new(program));
        Ok(())
    }
}

/// `TC_ACT_UNSPEC`: as if the filter had not matched.
const TC_ACT_UNSPEC: i32 = -1;
/// `TC_ACT_SHOT`
const TC_ACT_SHOT: i32 = 2;

impl TcBpf {
    /// Loads the program in section `section` (or the function of that name) of an object file. `seed`: for what it draws at random.
    ///
    /// # Errors
    /// The file is damaged, refers to what does not exist, or has instructions that no program may have.
    pub fn load(elf: &[u8], section: &str, seed: u64) -> Result<Self, BpfError> {
        let mut program = Program::load(elf, section, ProgramType::SchedCls)?;
        program.seed(seed);
        Ok(Self { program })
    }

    /// A program that was loaded already.
    ///
    /// # Errors
    /// It is not of type [`ProgramType::SchedCls`].
    pub fn new(program: Program) -> Result<Self, StackError> {
        match program.kind() {
            ProgramType::SchedCls => Ok(Self { program }),
            ProgramType::Xdp => Err(StackError::WrongProgram),
        }
    }

    /// The maps of its object.
    pub fn maps(&self) -> Maps {
        self.program.maps()
    }
}

impl TcProgram for TcBpf {
    /// Runs it over the packet from its Ethernet header on, wherever data starts (`bpf_compute_data_pointers()`). A program that is stopped
    /// because it left its memory or its time loses the packet.
    fn run(&mut self, skb: &mut SkBuff, now: Ps) -> BpfVerdict {
        // As in the kernel, the program pulls what is not linear (`bpf_skb_pull_data()`); there is no telling how much, so all of it is.
        skb.skb_linearize();
        let pushed = (-skb.mac_offset()).max(0) as usize;
        if skb.push(pushed).is_none() {
            return BpfVerdict {
                code: TC_ACT_UNSPEC,
                redirect: None,
            };
        }
        let mut ctx = context(skb);
        let env = ProgramEnv {
            now,
            csum_partial: matches!(skb.csum, CsumState::Partial { .. }),
        };
        let (buf, start, end) = skb.linear_buffer();
        let mut packet = Packet {
            buf,
            start,
            end,
            meta: start,
            written: false,
        };
        let result = self
            .program
            .run(&mut ctx, WRITABLE, PACKET, &mut packet, env);
        if packet.written {
            skb.forget_csum_complete();
        }
        // It was pushed just now.
        let _ = skb.pull(pushed);
        let field = |at: usize| {
            ctx.get(at..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |b| u32::from_le_bytes(*b))
        };
        skb.mark = field(8);
        skb.priority = field(32);
        match result {
            Ok((code, redirect)) => BpfVerdict {
                code: code as u32 as i32,
                redirect: redirect.and_then(|to| match to {
                    Redirect::Device { ifindex, ingress } => Some((IfIndex(ifindex), ingress)),
                    Redirect::Xsk(_) => None,
                }),
            },
            Err(_) => BpfVerdict {
                code: TC_ACT_SHOT,
                redirect: None,
            },
        }
    }
}

/// `struct __sk_buff`, without the packet's addresses.
fn context(skb: &SkBuff) -> [u8; SK_BUFF] {
    let mut ctx = [0; SK_BUFF];
    let mut put = |at: usize, value: u32| {
        if let Some(field) = ctx.get_mut(at..at + 4) {
            field.copy_from_slice(&value.to_le_bytes());
        }
    };
    put(0, skb.len() as u32);
    put(
        4,
        match skb.pkt_type {
            PktType::Host => 0,
            PktType::Broadcast => 1,
            PktType::Multicast => 2,
            PktType::OtherHost => 3,
            PktType::Outgoing => 4,
        },
    );
    put(8, skb.mark);
    // Network byte order, as in the frame.
    put(16, u32::from(skb.protocol.to_be()));
    if let Some(vlan) = skb.vlan {
        put(20, 1);
        put(24, u32::from(vlan.tci));
        put(28, u32::from(vlan.proto.to_be()));
    }
    put(32, skb.priority);
    put(36, skb.iif.0);
    put(40, skb.dev.0);
    put(68, skb.hash);
    // tstamp, ns
    let tstamp = skb.tstamp / 1000;
    put(152, tstamp as u32);
    put(156, (tstamp >> 32) as u32);
    put(160, skb.len() as u32);
    put(164, u32::from(skb.gso.segs));
    put(176, u32::from(skb.gso.size));
    ctx
}
