//! Docker's default system call filter, as a BPF program.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::syscalls::{ALLOWED, CONDITIONAL, Conditional};

/// Namespace flags of `clone`: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// Address families that docker lets a container open; AF_ALG, AF_VSOCK and others are not among them.
const FAMILIES: [u64; 31] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36];
const MORE_FAMILIES: [u64; 6] = [39, 41, 42, 43, 44, 45];
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Both programs, to be applied in this order. Their results combine to the stricter one; two are needed because refused calls
/// answer EPERM, but `clone3` ENOSYS, so that C libraries fall back to `clone`, whose flags can be looked at.
pub fn programs() -> Result<[BpfProgram; 2], BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let native = pair(arch, ALLOWED, &CONDITIONAL)?;
    #[cfg(target_arch = "x86_64")]
    let native = {
        use super::syscalls::{ALLOWED_32, CONDITIONAL_32};
        // Numbers and arguments of both kinds are looked at in the same way; only the check of the kind is exchanged.
        let narrow = pair(arch, ALLOWED_32, &CONDITIONAL_32)?;
        let [clone3, main] = native;
        let [clone3_32, main_32] = narrow;
        [of_two_kinds(clone3, clone3_32), of_two_kinds(main, main_32)]
    };
    Ok(native)
}

/// What the kernel calls the system calls of 32-bit programs.
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH_I386: u32 = 0x4000_0003;

/// A program for 64-bit calls with one for 32-bit calls before it. Each begins by loading the kind of the call (1), comparing it
/// (2) and ending the process if it is another (3); of the 32-bit one these three are replaced.
#[cfg(target_arch = "x86_64")]
fn of_two_kinds(wide: BpfProgram, narrow: BpfProgram) -> BpfProgram {
    use seccompiler::sock_filter;
    // `BPF_JMP | BPF_JEQ | BPF_K`, and `BPF_JMP | BPF_JA`.
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP: u16 = 0x05;
    const CHECKS: usize = 3;
    let mut out: BpfProgram = narrow[..1].to_vec();
    out.push(sock_filter { code: JUMP_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCH_I386 });
    let length = u32::try_from(narrow.len() - CHECKS).unwrap_or(u32::MAX);
    out.push(sock_filter { code: JUMP, jt: 0, jf: 0, k: length });
    out.extend_from_slice(&narrow[CHECKS..]);
    out.extend(wide);
    out
}

fn pair(arch: TargetArch, allowed: &[i64], conditional: &Conditional) -> Result<[BpfProgram; 2], BackendError> {
    let equal = |value: u64| SeccompRule::new(vec![SeccompCondition::new(0, Len::Dword, Op::Eq, value)?]);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = allowed.iter().map(|number| (*number, Vec::new())).collect();
    rules.insert(conditional.clone3, Vec::new());
    let plain = SeccompCondition::new(0, Len::Qword, Op::MaskedEq(CLONE_NAMESPACES), 0)?;
    rules.insert(conditional.clone, vec![SeccompRule::new(vec![plain])?]);
    rules.insert(conditional.personality, PERSONALITIES.into_iter().map(equal).collect::<Result<_, _>>()?);
    let families = FAMILIES.into_iter().chain(MORE_FAMILIES);
    rules.insert(conditional.socket, families.map(equal).collect::<Result<_, _>>()?);
    let refuse = SeccompAction::Errno(1);
    let main = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
    let rules = BTreeMap::from([(conditional.clone3, Vec::new())]);
    let clone3 = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(38), arch)?.try_into()?;
    Ok([clone3, main])
}
