//! Sizes and times as people read them.

use humansize::{DECIMAL, FormatSizeOptions};

/// Bytes in decimal units: `74 MB`, `4.1 kB`, `812 B`; one decimal below ten, none above.
pub fn size(bytes: u64) -> String {
    let mut scaled = bytes;
    while scaled >= 1000 {
        scaled /= 1000;
    }
    let decimals = usize::from(scaled < 10 && bytes >= 1000);
    humansize::format_size(bytes, FormatSizeOptions::from(DECIMAL).decimal_places(decimals).decimal_zeroes(decimals))
}

/// Microseconds: `0.8s`, `41.2s`, `1m 04s`, `2h 05m`.
pub fn seconds(micros: u64) -> String {
    let tenths = micros.saturating_add(50_000) / 100_000;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let whole = micros.saturating_add(500_000) / 1_000_000;
    match whole {
        0..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(seconds(800_000), "0.8s");
        assert_eq!(seconds(41_230_000), "41.2s");
        assert_eq!(seconds(59_960_000), "1m 00s");
        assert_eq!(seconds(64_000_000), "1m 04s");
        assert!(!seconds(u64::MAX).is_empty());
        assert_eq!(size(74_000_000), "74 MB");
        assert_eq!(size(4_100), "4.1 kB");
        assert_eq!(size(0), "0 B");
    }
}
