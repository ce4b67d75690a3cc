//! What a step used, in words and as a part of the document.

use serde::Serialize;

use crate::engine::event::Usage;
use crate::front::text;

/// What a process used, for scripts.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct UsageDocument {
    /// Processor time.
    pub cpu_seconds: f64,
    /// Most memory of a single process.
    pub peak_memory_bytes: u64,
    /// Most memory of all processes together, file cache included; where a control group measured it.
    pub peak_together_bytes: Option<u64>,
    /// From disks.
    pub read_bytes: u64,
    /// To disks.
    pub written_bytes: u64,
}

impl From<Usage> for UsageDocument {
    fn from(usage: Usage) -> Self {
        Self {
            cpu_seconds: usage.cpu_micros as f64 / 1e6,
            peak_memory_bytes: usage.peak_memory,
            peak_together_bytes: usage.peak_together,
            read_bytes: usage.read,
            written_bytes: usage.written,
        }
    }
}

/// `1.2s of CPU, 34 MB of memory`.
pub fn short(usage: &Usage) -> String {
    format!("{} of CPU, {} of memory", text::seconds(usage.cpu_micros), text::size(usage.peak_memory))
}

/// All of it.
pub fn long(usage: &Usage) -> String {
    let together = usage.peak_together.map(|bytes| format!(" ({} in all, with cached files)", text::size(bytes)));
    let (read, written) = (text::size(usage.read), text::size(usage.written));
    format!("{} at most{}, {read} read, {written} written", short(usage), together.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_not_said() {
        let usage = Usage { cpu_micros: 1_200_000, peak_memory: 34_000_000, ..Usage::default() };
        assert_eq!(long(&usage), "1.2s of CPU, 34 MB of memory at most, 0 B read, 0 B written");
        let usage = Usage { peak_together: Some(50_000_000), ..usage };
        assert!(long(&usage).contains("(50 MB in all, with cached files)"), "{}", long(&usage));
    }
}
