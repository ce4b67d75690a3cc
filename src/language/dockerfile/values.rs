//! Values that are checked while parsing: durations and counts of HEALTHCHECK.

use super::ast::Flag;
use super::diagnostic::Diagnostic;

const NANOSECONDS_OF_A_MILLISECOND: i128 = 1_000_000;

/// A duration as Go's `time.ParseDuration` reads it (`1h2m3.5s`, `-1us`), in nanoseconds; `None` when it is malformed.
pub fn parse_duration(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, below) = rest.split_at(number_end);
        let unit_end = below.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(below.len());
        let (unit, below) = below.split_at(unit_end);
        total = total.checked_add(nanoseconds(number, unit_nanoseconds(unit)?)?)?;
        rest = below;
    }
    let limit = i128::from(i64::MAX);
    (total <= limit).then_some(if negative { -total } else { total })
}

fn nanoseconds(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits: String = fraction.chars().take(18).collect();
    let part = if digits.is_empty() {
        0
    } else {
        digits.parse::<i128>().ok()?.checked_mul(unit)? / 10_i128.pow(u32::try_from(digits.len()).ok()?)
    };
    whole.checked_mul(unit)?.checked_add(part)
}

fn unit_nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => NANOSECONDS_OF_A_MILLISECOND,
        "s" => 1_000 * NANOSECONDS_OF_A_MILLISECOND,
        "m" => 60_000 * NANOSECONDS_OF_A_MILLISECOND,
        "h" => 3_600_000 * NANOSECONDS_OF_A_MILLISECOND,
        _ => return None,
    })
}

/// Checks the flags of HEALTHCHECK.
///
/// Source of the rule: `parseHealthcheck` of BuildKit's instructions.
pub(super) fn check_healthcheck_flags(flags: &[Flag], diagnostics: &mut Vec<Diagnostic>) {
    for flag in flags {
        let value = flag.value.as_deref().unwrap_or("");
        if value.is_empty() {
            continue;
        }
        let problem = match flag.name.as_str() {
            "retries" => match value.parse::<i32>() {
                Ok(count) if count >= 0 => None,
                Ok(_) => Some("`--retries` cannot be negative".to_owned()),
                Err(_) => Some(format!("`--retries` must be a whole number, not `{value}`")),
            },
            "interval" | "timeout" | "start-period" | "start-interval" => match parse_duration(value) {
                None => Some(format!("invalid duration `{value}` of `--{}`", flag.name)),
                Some(0) => None,
                Some(nanoseconds) if nanoseconds < NANOSECONDS_OF_A_MILLISECOND => {
                    Some(format!("`--{}` cannot be less than 1ms", flag.name))
                }
                Some(_) => None,
            },
            _ => None,
        };
        if let Some(message) = problem {
            diagnostics.push(Diagnostic::error(flag.span, message));
        }
    }
}
