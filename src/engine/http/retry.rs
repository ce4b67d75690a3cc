//! When a request is made again, and how long after.

use std::time::{Duration, SystemTime};

/// How patient a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// Tries in all.
    pub tries: u32,
    /// Before the second try; doubled before each further one.
    pub first: Duration,
    /// The longest single wait, also when the server asks for more.
    pub longest: Duration,
    /// All waits of one request together.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { tries: 6, first: Duration::from_millis(400), longest: seconds(30), total: seconds(60) }
    }
}

/// Whether a status may change by itself.
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Seconds or a date, as `Retry-After` gives them; none when it is neither.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    http_date(value).map(|at| at.duration_since(now).unwrap_or_default())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7); the older notations are not read.
pub fn http_date(value: &str) -> Option<SystemTime> {
    let rest = value.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? + 1;
    let day: u8 = day.parse().ok()?;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day:02}T{time}Z")).ok()
}

/// The waits of one request.
#[derive(Debug)]
pub struct Waits<'a> {
    patience: &'a Patience,
    tried: u32,
    waited: Duration,
}

impl<'a> Waits<'a> {
    /// Before the first try.
    pub fn new(patience: &'a Patience) -> Self {
        Self { patience, tried: 1, waited: Duration::ZERO }
    }

    /// How long to wait before the next try, or none when patience has ended or the server asks for more than it allows.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.tried >= self.patience.tries {
            return None;
        }
        let doubled = self.patience.first.saturating_mul(1 << (self.tried - 1).min(16));
        // Many builds that failed together do not come back together.
        let jitter = doubled.mul_f64(f64::from(std::process::id() % 32) / 128.0);
        let wait = asked.unwrap_or((doubled + jitter).min(self.patience.longest));
        if wait > self.patience.longest || self.waited + wait > self.patience.total {
            return None;
        }
        self.tried += 1;
        self.waited += wait;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_asks_for_is_read_and_capped() {
        let now = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        assert_eq!(retry_after("1", now), Some(Duration::from_secs(1)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:40 GMT", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::from_secs(u64::MAX)));
        for junk in ["", "-1", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "\u{1b}[32m"] {
            assert_eq!(retry_after(junk, now), None, "{junk:?}");
        }
        let patience = Patience::default();
        assert_eq!(Waits::new(&patience).next(Some(Duration::from_secs(99_999))), None);
        let mut waits = Waits::new(&patience);
        let all: Vec<Duration> = std::iter::from_fn(|| waits.next(None)).collect();
        assert_eq!(all.len(), 5);
        assert!(all.iter().sum::<Duration>() < patience.total && all[0] < all[4]);
    }
}
