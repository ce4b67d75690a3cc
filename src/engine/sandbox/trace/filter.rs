//! The BPF program that has calls wait for an answer.

use seccompiler::sock_filter;

use super::calls::{ARCH, CALLS, Call, Only, Row};

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

const NOTIFY: u32 = 0x7fc0_0000;
const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000;
const ENOSYS: u32 = 38;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const KIND: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The program. It stands beside docker's filter: of two answers to one call the stricter counts, so what that one refuses is
/// never seen here. `handover` is the descriptor by which its listener is handed over.
pub fn program(handover: u32) -> Vec<sock_filter> {
    let mut out = vec![op(LOAD, KIND)];
    #[cfg(target_arch = "x86_64")]
    {
        use super::calls::CALLS_32;
        // `AUDIT_ARCH_I386`; its block is skipped by one jump, which has room for 255 instructions.
        let block: Vec<sock_filter> = CALLS_32.iter().flat_map(|number| [equal(*number), op(RETURN, NOTIFY)]).collect();
        let length = u8::try_from(block.len() + 2).unwrap_or(u8::MAX);
        out.push(sock_filter { code: JUMP_EQUAL, jt: 0, jf: length, k: 0x4000_0003 });
        out.push(op(LOAD, NUMBER));
        out.extend(block);
        out.push(op(RETURN, ALLOW));
    }
    out.push(op(LOAD, KIND));
    out.push(sock_filter { code: JUMP_EQUAL, jt: 1, jf: 0, k: ARCH });
    out.push(op(RETURN, ALLOW));
    out.push(op(LOAD, NUMBER));
    CALLS.iter().for_each(|row| rule(row, handover, &mut out));
    out.push(op(RETURN, ALLOW));
    out
}

/// One number: on to the next rule, or a verdict.
fn rule((number, only, call): &Row, handover: u32, out: &mut Vec<sock_filter>) {
    let argument = |at: usize| ARGUMENTS + 8 * u32::try_from(at).unwrap_or(0);
    let verdict = if *call == Call::Ring { REFUSE | ENOSYS } else { NOTIFY };
    let body = match *only {
        Only::Always => vec![op(RETURN, verdict)],
        Only::NotOnHandover => vec![
            op(LOAD, argument(0)),
            sock_filter { code: JUMP_EQUAL, jt: 1, jf: 0, k: handover },
            op(RETURN, verdict),
            op(RETURN, ALLOW),
        ],
        Only::With(at, bits) => {
            vec![op(LOAD, argument(at)), jump_set(bits, 0, 1), op(RETURN, verdict), op(RETURN, ALLOW)]
        }
        Only::NotNull(at) => vec![
            op(LOAD, argument(at)),
            sock_filter { code: JUMP_EQUAL, jt: 0, jf: 2, k: 0 },
            op(LOAD, argument(at) + 4),
            sock_filter { code: JUMP_EQUAL, jt: 1, jf: 0, k: 0 },
            op(RETURN, verdict),
            op(RETURN, ALLOW),
        ],
    };
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    out.push(sock_filter { code: JUMP_EQUAL, jt: 0, jf: length, k: *number });
    out.extend(body);
}

fn op(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// On to the next instruction when equal, over it when not.
#[cfg(target_arch = "x86_64")]
fn equal(k: u32) -> sock_filter {
    sock_filter { code: JUMP_EQUAL, jt: 0, jf: 1, k }
}

fn jump_set(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: JUMP_SET, jt, jf, k }
}
