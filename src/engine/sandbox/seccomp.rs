//! Docker's default system call filter, as a BPF program.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::syscalls::{ALLOWED, CONDITIONAL};

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
    let equal = |value: u64| SeccompRule::new(vec![SeccompCondition::new(0, Len::Dword, Op::Eq, value)?]);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    rules.insert(CONDITIONAL.clone3, Vec::new());
    let plain = SeccompCondition::new(0, Len::Qword, Op::MaskedEq(CLONE_NAMESPACES), 0)?;
    rules.insert(CONDITIONAL.clone, vec![SeccompRule::new(vec![plain])?]);
    rules.insert(CONDITIONAL.personality, PERSONALITIES.into_iter().map(equal).collect::<Result<_, _>>()?);
    let families = FAMILIES.into_iter().chain(MORE_FAMILIES);
    rules.insert(CONDITIONAL.socket, families.map(equal).collect::<Result<_, _>>()?);
    let refuse = SeccompAction::Errno(1);
    let main = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
    let rules = BTreeMap::from([(CONDITIONAL.clone3, Vec::new())]);
    let clone3 = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(38), arch)?.try_into()?;
    Ok([clone3, main])
}
