//! What was measured, as a table.

use std::time::Duration;

/// One line of the table.
pub struct Row {
    pub work: String,
    pub ours: Duration,
    pub limit: Duration,
    pub limit_name: &'static str,
    pub buildkit: Option<Duration>,
    pub memory: u64,
}

/// Prints it, with ratios.
pub fn print_table(rows: &[Row]) {
    let shown = |time: Duration| match time.as_secs_f64() {
        long if long >= 1.0 => format!("{long:.2} s"),
        short => format!("{:.1} ms", short * 1000.0),
    };
    println!("| work | ours | limit | ours / limit | BuildKit | BuildKit / ours | peak memory |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let ratio = row.ours.as_secs_f64() / row.limit.as_secs_f64();
        let (theirs, gain) = match row.buildkit {
            Some(time) => (shown(time), format!("{:.1}x", time.as_secs_f64() / row.ours.as_secs_f64())),
            None => ("not measured".to_owned(), "-".to_owned()),
        };
        let (work, ours, limit, name) = (&row.work, shown(row.ours), shown(row.limit), row.limit_name);
        let memory = row.memory >> 20;
        println!("| {work} | {ours} | {limit} ({name}) | {ratio:.1}x | {theirs} | {gain} | {memory} MiB |");
    }
}
