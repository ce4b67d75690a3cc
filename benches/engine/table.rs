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

/// Its head.
pub fn print_head() {
    println!("| work | ours | limit | ours / limit | BuildKit | BuildKit / ours | peak memory |");
    println!("|---|---|---|---|---|---|---|");
}

impl Row {
    /// Prints it, with ratios.
    pub fn print(&self) {
        let ratio = self.ours.as_secs_f64() / self.limit.as_secs_f64();
        let (theirs, gain) = match self.buildkit {
            Some(time) => (shown(time), format!("{:.1}x", time.as_secs_f64() / self.ours.as_secs_f64())),
            None => ("not measured".to_owned(), "-".to_owned()),
        };
        let (work, ours, limit, name) = (&self.work, shown(self.ours), shown(self.limit), self.limit_name);
        let memory = self.memory >> 20;
        println!("| {work} | {ours} | {limit} ({name}) | {ratio:.1}x | {theirs} | {gain} | {memory} MiB |");
    }
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        long if long >= 1.0 => format!("{long:.2} s"),
        short => format!("{:.1} ms", short * 1000.0),
    }
}
