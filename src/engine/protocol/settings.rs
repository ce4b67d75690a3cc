//! What the command line says about every RUN.

use serde::{Deserialize, Serialize};

/// `--add-host`, `--shm-size` and `--ulimit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// `--add-host`: name and address, in order. Only the names are part of the key.
    pub hosts: Vec<(String, String)>,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`, in order.
    pub ulimits: Vec<Ulimit>,
}

/// A resource limit of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Docker's name of the resource.
    pub name: String,
    /// -1 for none.
    pub soft: i64,
    /// -1 for none.
    pub hard: i64,
}

/// The resources that docker knows by name.
///
/// Source: `github.com/docker/go-units`, `ulimit.go`.
pub const RESOURCES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Ulimit {
    /// Reads `NAME=SOFT[:HARD]`. Errors: the message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` {why}", text.escape_debug());
        let (name, limits) = text.split_once('=').ok_or_else(|| wrong("is not NAME=SOFT[:HARD]"))?;
        if !RESOURCES.contains(&name) {
            return Err(wrong(&format!("names no limit; there is {}", RESOURCES.join(", "))));
        }
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= -1).ok_or_else(|| wrong("has no number"));
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let limit = Self { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? };
        if limit.hard >= 0 && (limit.soft > limit.hard || limit.soft < 0) {
            return Err(wrong("has a soft limit above the hard one"));
        }
        Ok(limit)
    }
}

impl std::fmt::Display for Ulimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}:{}", self.name, self.soft, self.hard)
    }
}

/// Reads `NAME:ADDRESS` or `NAME=ADDRESS` of `--add-host`; an IPv6 address may stand in brackets. Errors: the message.
pub fn parse_host(text: &str) -> Result<(String, String), String> {
    let wrong = |why: &str| format!("`{}` {why}", text.escape_debug());
    let at = text.find(['=', ':']).ok_or_else(|| wrong("is not NAME:ADDRESS"))?;
    let (name, address) = (&text[..at], text[at + 1..].trim_start_matches('[').trim_end_matches(']'));
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(wrong("has no usable name"));
    }
    if address == "host-gateway" {
        return Err(wrong("asks for host-gateway, which is not acted on yet: give the address"));
    }
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong("has no IP address"))?;
    Ok((name.to_owned(), address.to_string()))
}

/// Reads a size as docker does: a number with `b`, `k`, `m`, `g` or `t`, of 1024. Errors: the message.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => Some(1u64),
        "k" => Some(1 << 10),
        "m" => Some(1 << 20),
        "g" => Some(1 << 30),
        "t" => Some(1 << 40),
        _ => None,
    };
    let size = digits.trim().parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    size.ok_or_else(|| format!("`{}` is no size such as 64m", text.escape_debug()))
}

/// `--memory`, `--memory-swap`, `--cpu-*`, `--cpuset-*`: what a step may use. They say nothing about its result, so they are not
/// part of its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; -1 for no limit.
    pub memory_swap: Option<i64>,
    /// Microseconds of processor time in each period; -1 for no limit.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Weight against others, 1024 being usual.
    pub cpu_shares: Option<u64>,
    /// `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    pub cpuset_mems: Option<String>,
}

/// The least memory that docker lets a step have.
const LEAST_MEMORY: u64 = 6 << 20;

impl Limits {
    /// Whether they make sense together. Errors: the message.
    ///
    /// Source: moby `daemon/daemon_unix.go`, `verifyPlatformContainerResources`.
    pub fn check(&self) -> Result<(), String> {
        if self.memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
            return Err("--memory is less than 6m, with which nothing runs".into());
        }
        match (self.memory, self.memory_swap) {
            (None, Some(total)) if total > 0 => return Err("--memory-swap needs --memory".into()),
            (Some(bytes), Some(total)) if total >= 0 && u64::try_from(total).unwrap_or(0) < bytes => {
                return Err("--memory-swap is the sum of memory and swap, so it cannot be less than --memory".into());
            }
            _ => {}
        }
        if self.cpu_period.is_some_and(|period| !(1000..=1_000_000).contains(&period)) {
            return Err("--cpu-period is not between 1000 and 1000000 microseconds".into());
        }
        // Docker's word for no quota is -1 or 0.
        if self.cpu_quota.is_some_and(|quota| quota < -1 || (quota > 0 && quota < 1000)) {
            return Err("--cpu-quota is less than 1000 microseconds".into());
        }
        for (flag, given) in [("--cpuset-cpus", &self.cpuset_cpus), ("--cpuset-mems", &self.cpuset_mems)] {
            if given.as_ref().is_some_and(|text| !is_list(text)) {
                return Err(format!("{flag} is no list such as 0-2,4"));
            }
        }
        Ok(())
    }

    /// `--cpus`: a number of processors, as a quota. Errors: the message.
    pub fn cpus(&mut self, text: &str) -> Result<(), String> {
        let cpus = text.parse::<f64>().ok().filter(|cpus| cpus.is_finite() && (0.01..=1e6).contains(cpus));
        let cpus = cpus.ok_or_else(|| format!("--cpus `{}` is no number such as 1.5", text.escape_debug()))?;
        self.cpu_period = Some(100_000);
        // At most 10^11.
        self.cpu_quota = Some((cpus * 100_000.0).round() as i64);
        Ok(())
    }
}

/// `0-2,4`.
fn is_list(text: &str) -> bool {
    text.split(',').all(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if first <= last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let memory = |memory, memory_swap| Limits { memory, memory_swap, ..Limits::default() };
        assert!(memory(Some(6 << 20), Some(-1)).check().is_ok() && memory(None, Some(-1)).check().is_ok());
        for bad in [memory(Some(1 << 20), None), memory(None, Some(1)), memory(Some(8 << 20), Some(7 << 20))] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        for list in ["0; rm", "3-1", "", "1,", "-"] {
            assert!(Limits { cpuset_cpus: Some(list.into()), ..Limits::default() }.check().is_err(), "{list}");
        }
        assert!(Limits { cpuset_mems: Some("0-2,4".into()), ..Limits::default() }.check().is_ok());
        let mut limits = Limits::default();
        limits.cpus("1.5").unwrap();
        assert_eq!((limits.cpu_quota, limits.cpu_period), (Some(150_000), Some(100_000)));
        assert!(["", "x", "-1", "0", "inf", "NaN"].iter().all(|text| limits.cpus(text).is_err()));
    }

    #[test]
    fn values_are_read_as_docker_reads_them() {
        let limit = |text: &str| Ulimit::parse(text).map(|l| l.to_string());
        assert_eq!(limit("nofile=10"), Ok("nofile=10:10".into()));
        assert_eq!(limit("nproc=1:-1"), Ok("nproc=1:-1".into()));
        for bad in ["nofile", "files=1", "nofile=x", "nofile=3:2", "nofile=-2"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_host("a:1.2.3.4"), Ok(("a".into(), "1.2.3.4".into())));
        assert_eq!(parse_host("a=[::1]"), Ok(("a".into(), "::1".into())));
        for bad in ["a", ":1.2.3.4", "a:host-gateway", "a:b", "a b:1.2.3.4", "a\n:1.2.3.4"] {
            assert!(parse_host(bad).is_err(), "{bad}");
        }
        let sizes = ["5", "5b", "64m", "1g", "2KiB", "1Tb"].map(|text| parse_size(text).unwrap_or(0));
        assert_eq!(sizes, [5, 5, 64 << 20, 1 << 30, 2048, 1 << 40]);
        assert!(["", "m", "5x", "1.5g", "99999999999t"].iter().all(|text| parse_size(text).is_err()));
    }
}
