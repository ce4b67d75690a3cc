//! A control group for each step, where this process may make one: limits, and measures that the kernel keeps for all processes
//! of the step together. Every controller is looked for by itself, because a machine may have some in the old hierarchies, some
//! in the unified one, and some nowhere; what is missing is said, and never fails a step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::protocol::Failure;
use crate::engine::protocol::settings::Limits;
use crate::engine::snapshot::failure::environment;
use crate::ground::fs::error::describe;

/// What our groups are called: this, the process id of their worker, a number.
const PREFIX: &str = "rbuild-tui-";
/// Processes and threads of a step: a fork bomb ends here, a parallel compiler does not.
const MOST_PROCESSES: u64 = 16384;
/// Device nodes that a step may open, whoever made them. Docker's list.
const DEVICES: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// Controllers of the unified hierarchy that are made use of.
const UNIFIED: [&str; 4] = ["memory", "cpu", "cpuset", "pids"];

/// A place where groups can be made.
#[derive(Debug, Clone)]
struct Place {
    /// In the old hierarchies one, in the unified one all of them.
    controllers: Vec<String>,
    folder: PathBuf,
    unified: bool,
}

/// The control groups of this machine, as far as this process may use them.
#[derive(Debug)]
pub struct Cgroups {
    places: Vec<Place>,
    next: AtomicU64,
}

impl Cgroups {
    /// Looks for controllers, and removes what dead workers left.
    pub fn detect() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let places: Vec<Place> = candidates(&own, &mounts).into_iter().filter_map(usable).collect();
        places.iter().for_each(sweep);
        Self { places, next: AtomicU64::new(0) }
    }

    fn has(&self, controller: &str) -> bool {
        self.places.iter().any(|place| place.controllers.iter().any(|c| c == controller))
    }

    /// What of `limits` cannot be kept here, in words.
    pub fn missing(&self, limits: &Limits) -> Vec<String> {
        let wanted = [
            ("memory", limits.memory.is_some(), "--memory"),
            ("cpu", limits.cpu_quota.is_some() || limits.cpu_shares.is_some(), "--cpus, --cpu-quota and --cpu-shares"),
            ("cpuset", limits.cpuset_cpus.is_some() || limits.cpuset_mems.is_some(), "--cpuset-cpus and --cpuset-mems"),
        ];
        let lacks = |(controller, _, flags): &(&str, bool, &str)| {
            format!(
                "{flags} cannot be kept: this process may make no control group for `{controller}`; steps run without that limit"
            )
        };
        wanted.iter().filter(|(controller, asked, _)| *asked && !self.has(controller)).map(lacks).collect()
    }

    /// A group for a step. Errors: a limit that the kernel does not accept.
    pub fn group(&self, limits: &Limits, devices: Devices) -> Result<Group, Failure> {
        let name = format!("{PREFIX}{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed));
        let mut group = Group::default();
        for place in &self.places {
            let folder = place.folder.join(&name);
            if place.unified || needed(&place.controllers[0], limits, devices) {
                match fs::create_dir(&folder) {
                    Ok(()) => group.folders.push((place.clone(), folder)),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(_) => continue,
                }
            }
        }
        group.limit(limits)?;
        group.guards_devices = devices == Devices::Guarded && group.guard_devices();
        Ok(group)
    }
}

/// Which devices a step may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// Those of docker's list.
    Guarded,
    /// All (`--security=insecure`).
    All,
}

/// Whether an old hierarchy's controller is worth a group of its own for this step.
fn needed(controller: &str, limits: &Limits, devices: Devices) -> bool {
    match controller {
        "memory" | "pids" | "cpuacct" => true,
        "devices" => devices == Devices::Guarded,
        "cpu" => limits.cpu_quota.is_some() || limits.cpu_shares.is_some(),
        "cpuset" => limits.cpuset_cpus.is_some() || limits.cpuset_mems.is_some(),
        _ => false,
    }
}

/// Where each hierarchy that this process is in is mounted, from `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn candidates(own: &str, mounts: &str) -> Vec<Place> {
    let mut out = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let unified = controllers.is_empty();
        for controller in controllers.split(',') {
            if controller.starts_with("name=") {
                continue;
            }
            let Some(folder) = mounted(mounts, controller, path) else { continue };
            let controllers = if unified { Vec::new() } else { vec![controller.to_owned()] };
            out.push(Place { controllers, folder, unified });
        }
    }
    out
}

/// The folder of the group `path` in the hierarchy of `controller` (empty: the unified one).
fn mounted(mounts: &str, controller: &str, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let wanted = match controller {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        let below = if root == "/" { path } else { path.strip_prefix(root)? };
        wanted.then(|| Path::new(point).join(below.trim_start_matches('/')))
    })
}

/// The place with what can be used there; none when nothing can. In the unified hierarchy a group with processes in it cannot
/// share its controllers out, so the group above is better, if it is ours.
fn usable(place: Place) -> Option<Place> {
    let probe = |folder: &Path| {
        let path = folder.join(format!("{PREFIX}{}-probe", std::process::id()));
        let made = fs::create_dir(&path);
        let controllers = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        let may_enter = !place.unified || fs::File::options().write(true).open(path.join("cgroup.procs")).is_ok();
        let _ = fs::remove_dir(&path);
        let ours = controllers.split_whitespace().filter(|name| UNIFIED.contains(name));
        (made.is_ok() && may_enter).then(|| ours.map(str::to_owned).collect::<Vec<_>>())
    };
    if !place.unified {
        return probe(&place.folder).map(|_| place.clone());
    }
    let above = place.folder.parent().filter(|above| above.join("cgroup.procs").exists());
    for folder in [Some(place.folder.as_path()), above].into_iter().flatten() {
        for controller in UNIFIED {
            // Refused where it is not ours or has processes: then the group simply has no such controller.
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        if let Some(controllers) = probe(folder).filter(|controllers| !controllers.is_empty()) {
            return Some(Place { controllers, folder: folder.to_owned(), unified: true });
        }
    }
    None
}

/// Removes empty groups of workers that are gone.
fn sweep(place: &Place) {
    for entry in fs::read_dir(&place.folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let worker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if worker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Only an empty one can be removed.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// What a group measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// CPU time of all processes, in microseconds.
    pub cpu_micros: Option<u64>,
    /// Most memory at one time, file cache included, in bytes.
    pub peak_memory: Option<u64>,
    /// A process was killed because the memory limit was reached.
    pub out_of_memory: bool,
}

/// The group of one step; removed on drop, when its processes are gone.
#[derive(Debug, Default)]
pub struct Group {
    folders: Vec<(Place, PathBuf)>,
    /// No device but those of the list can be opened in it.
    pub guards_devices: bool,
}

impl Group {
    fn folder(&self, controller: &str) -> Option<(&Path, bool)> {
        let found = self.folders.iter().find(|(place, _)| place.controllers.iter().any(|c| c == controller));
        found.map(|(place, folder)| (folder.as_path(), place.unified))
    }

    /// Puts a process in, which takes its children along.
    pub fn add(&self, pid: u32) {
        for (_, folder) in &self.folders {
            // A realtime process is refused by the cpu controller. Its step runs on, unlimited.
            let _ = fs::write(folder.join("cgroup.procs"), pid.to_string());
        }
    }

    fn limit(&self, limits: &Limits) -> Result<(), Failure> {
        if let Some((folder, _)) = self.folder("pids") {
            let _ = fs::write(folder.join("pids.max"), MOST_PROCESSES.to_string());
        }
        if let Some((folder, unified)) = self.folder("memory") {
            memory(folder, unified, limits)?;
        }
        if let Some((folder, unified)) = self.folder("cpu") {
            cpu(folder, unified, limits)?;
        }
        if let Some((folder, unified)) = self.folder("cpuset") {
            cpuset(folder, unified, limits)?;
        }
        Ok(())
    }

    fn guard_devices(&self) -> bool {
        let Some((folder, false)) = self.folder("devices") else { return false };
        let allow = |rule: &str| fs::write(folder.join("devices.allow"), rule).is_ok();
        let guarded = fs::write(folder.join("devices.deny"), "a").is_ok() && DEVICES.iter().all(|rule| allow(rule));
        if !guarded {
            // Half a list would keep a step from `/dev/null`: back to what the group above allows, and the root is closed.
            let _ = allow("a");
        }
        guarded
    }

    /// What was used. After the last process has ended.
    pub fn measured(&self) -> Measured {
        let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let number = |text: String| text.trim().parse::<u64>().ok();
        let field =
            |text: &str, name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let mut out = Measured::default();
        if let Some((folder, unified)) = self.folder("memory") {
            let (peak, events) =
                if unified { ("memory.peak", "memory.events") } else { ("memory.max_usage_in_bytes", "memory.oom_control") };
            out.peak_memory = number(read(folder, peak));
            out.out_of_memory = field(&read(folder, events), "oom_kill ").is_some_and(|killed| killed > 0);
        }
        if let Some((folder, false)) = self.folder("cpuacct") {
            out.cpu_micros = number(read(folder, "cpuacct.usage")).map(|nanoseconds| nanoseconds / 1000);
        } else if let Some((folder, true)) = self.folder("cpu") {
            out.cpu_micros = field(&read(folder, "cpu.stat"), "usage_usec ");
        }
        out
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (_, folder) in &self.folders {
            for _ in 0..50 {
                match fs::remove_dir(folder) {
                    // A process that has just ended is still counted for a moment.
                    Err(error) if error.raw_os_error() == Some(16) => {
                        std::thread::sleep(std::time::Duration::from_millis(2))
                    }
                    _ => break,
                }
            }
        }
    }
}

fn set(folder: &Path, name: &str, value: &str, what: &str) -> Result<(), Failure> {
    fs::write(folder.join(name), value).map_err(|error| {
        let hint = "give another value, or leave the limit out";
        environment(format!("cannot limit the {what} of the step to {value}: {}", describe(&error)), hint)
    })
}

fn memory(folder: &Path, unified: bool, limits: &Limits) -> Result<(), Failure> {
    let Some(bytes) = limits.memory else { return Ok(()) };
    // Docker's rule: the sum of memory and swap is twice the memory, if it is not said.
    let total = limits.memory_swap.unwrap_or_else(|| i64::try_from(bytes.saturating_mul(2)).unwrap_or(-1));
    if unified {
        set(folder, "memory.max", &bytes.to_string(), "memory")?;
        let swap = u64::try_from(total).map_or_else(|_| "max".to_owned(), |total| total.saturating_sub(bytes).to_string());
        // A kernel without swap accounting has no such file.
        let _ = fs::write(folder.join("memory.swap.max"), swap);
        return Ok(());
    }
    set(folder, "memory.limit_in_bytes", &bytes.to_string(), "memory")?;
    let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), total.to_string());
    Ok(())
}

fn cpu(folder: &Path, unified: bool, limits: &Limits) -> Result<(), Failure> {
    let period = limits.cpu_period.unwrap_or(100_000);
    if let Some(quota) = limits.cpu_quota {
        if unified {
            let quota = u64::try_from(quota).map_or_else(|_| "max".to_owned(), |quota| quota.to_string());
            set(folder, "cpu.max", &format!("{quota} {period}"), "cpu time")?;
        } else {
            set(folder, "cpu.cfs_period_us", &period.to_string(), "cpu period")?;
            set(folder, "cpu.cfs_quota_us", &quota.to_string(), "cpu time")?;
        }
    }
    if let Some(shares) = limits.cpu_shares {
        if unified {
            // Source: the table of the OCI runtime specification, "cpu.shares" to "cpu.weight".
            let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
            set(folder, "cpu.weight", &weight.to_string(), "cpu weight")?;
        } else {
            set(folder, "cpu.shares", &shares.to_string(), "cpu shares")?;
        }
    }
    Ok(())
}

fn cpuset(folder: &Path, unified: bool, limits: &Limits) -> Result<(), Failure> {
    let lists = [
        ("cpuset.cpus", &limits.cpuset_cpus, "processors (--cpuset-cpus)"),
        ("cpuset.mems", &limits.cpuset_mems, "memory nodes (--cpuset-mems)"),
    ];
    for (name, wanted, shown) in lists {
        match wanted {
            Some(list) => set(folder, name, list, shown)?,
            // An old group starts empty, and nothing can enter it before it has both.
            None if !unified => {
                let above = folder.parent().map(|parent| parent.join(name));
                let inherited = above.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
                let _ = fs::write(folder.join(name), inherited.trim());
            }
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
