//! What a RUN read: found without a gap, and nothing that it does to the watcher gets it anywhere.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rbuild_tui::engine::protocol::*;
use rbuild_tui::engine::reads::{Incomplete, ReadSet};
use rbuild_tui::engine::worker::Snapshots;

use super::lab::{Lab, Tar, id, lab, lab_of};

/// A root with tools and a small project on it.
pub(super) fn project(lab: &Lab) {
    lab.base("base");
    let tar = Tar::default()
        .dir("app", 0o755)
        .dir("app/src", 0o755)
        .dir("app/lib", 0o755)
        .file("app/src/main.c", 0o644, b"int main;")
        .file("app/src/other.c", 0o644, b"int other;")
        .file("app/lib/deep.txt", 0o644, b"deep")
        .file("app/src/same", 0o644, b"1")
        .file("app/lib/same", 0o644, b"2")
        .file("app/src/same", 0o644, b"1")
        .file("app/lib/same", 0o644, b"2")
        .file("app/odd (deleted)", 0o644, b"odd")
        .file("app/config", 0o600, b"x=1")
        .file("app/run.sh", 0o755, b"#!/bin/sh\ncat /app/config\n")
        .link("app/current", "src")
        .link("app/link.c", "/app/current/main.c");
    lab.unpack("app", &["base"], &tar).unwrap();
}

pub(super) const APP: [&str; 2] = ["base", "app"];

pub(super) fn names(set: &BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).filter(|path| path.starts_with("app") || path.starts_with("opt")).collect()
}

/// The project in a complete read set.
pub(super) fn reads(lab: &Lab, name: &str, command: &str) -> ReadSet {
    let (code, text, reads) = lab.traced(name, &APP, command);
    assert_eq!(code, 0, "{text}");
    let reads = reads.unwrap();
    assert!(reads.is_complete() && reads.events > 0, "{command}: {reads:?}");
    reads
}

#[test]
fn each_kind_of_use_is_found() {
    let Some(lab) = lab("each_kind_of_use_is_found") else { return };
    project(&lab);
    let set = reads(&lab, "read", "cat /app/src/main.c > /dev/null");
    assert_eq!(names(&set.read), ["app/src/main.c"]);
    assert!(set.read.contains("bin/cat") && set.executed.contains("bin/sh"), "{set:?}");
    assert!(set.read.iter().any(|path| path.contains("ld-linux") || path.contains("ld-musl")), "the interpreter {set:?}");
    assert!(set.read.iter().any(|path| path.contains("libc")), "a library {set:?}");

    let set = reads(&lab, "link", "cat /app/link.c > /dev/null");
    assert_eq!(names(&set.read), ["app/src/main.c"]);
    assert_eq!(set.links["app/link.c"], "/app/current/main.c");
    assert_eq!(set.links["app/current"], "src");

    let set = reads(&lab, "stat", "test -e /app/config; test -e /app/nothing; test -e /app/nowhere/x; test -L /app/current");
    assert_eq!(names(&set.read), [""; 0]);
    assert_eq!(names(&set.looked), ["app/config"]);
    assert_eq!(names(&set.missing), ["app/nothing", "app/nowhere/x"]);
    assert_eq!(set.links["app/current"], "src");

    let set = reads(&lab, "list", "cd /app && ls lib > /dev/null");
    assert_eq!(names(&set.listed), ["app/lib"]);
    assert!(!set.read.contains("app/lib/deep.txt"));

    let set = reads(&lab, "script", "cd app; ./run.sh");
    assert_eq!(names(&set.executed), ["app/run.sh"]);
    assert_eq!(names(&set.read), ["app/config", "app/run.sh"]);

    // A name that leads elsewhere the second time.
    let command = "cd /app; ln -s src turn; cat turn/same; rm turn; ln -s lib turn; cat turn/same";
    assert_eq!(names(&reads(&lab, "turn", command).read), ["app/lib/same", "app/src/same"]);
    let command = "cd /app; ln -s src turn; ln -s lib other; cat turn/same; mv -T other turn; cat turn/same";
    assert_eq!(names(&reads(&lab, "moved", command).read), ["app/lib/same", "app/src/same"]);

    let set = reads(
        &lab,
        "dots",
        "cd /app/lib; cat ../src/../lib/./deep.txt /proc/self/root/app/config; cd ..; cat <lib/deep.txt",
    );
    assert_eq!(names(&set.read), ["app/config", "app/lib/deep.txt"]);
}

/// What is read under its new name was read: on overlayfs `mv` copies a folder of the image, on plain trees it moves it.
#[test]
fn what_is_in_a_folder_that_is_moved_counts() {
    let Some(overlay) = lab("what_is_in_a_folder_that_is_moved_counts") else { return };
    for lab in [overlay, lab_of(Snapshots::Copied)] {
        project(&lab);
        let set = reads(&lab, "moved", "mv /app /opt; cat /opt/src/main.c");
        let all = ["app/config", "app/lib/deep.txt", "app/lib/same", "app/run.sh", "app/src/main.c", "app/src/other.c"];
        assert!(all.iter().all(|path| set.read.contains(*path)), "{set:?}");
        assert!(["app", "app/lib", "app/src"].iter().all(|path| set.listed.contains(*path)), "{set:?}");
        assert_eq!((set.links["app/current"].as_str(), names(&set.changed)), ("src", vec!["app"]));
        // What it made itself is moved without a trace.
        let set = reads(&lab, "own", "mkdir /own; echo 1 > /own/a; mv /own /other; cat /other/a");
        assert!(!set.read.iter().chain(&set.listed).any(|path| path.contains("own") || path.contains("other")), "{set:?}");
    }
}

#[test]
fn what_a_step_makes_itself_is_no_input() {
    let Some(lab) = lab("what_a_step_makes_itself_is_no_input") else { return };
    project(&lab);
    let command = "mkdir -p /app/out/a; echo 1 > /app/out/a/b; cat /app/out/a/b; ls /app/out; test -e /app/out/none; \
                   ln -s src /app/mine; cat /app/mine/main.c; rm /app/config; test -e /app/config; \
                   echo 2 > /app/src/other.c; mv /app/lib/deep.txt /app/moved; chmod 700 /app/run.sh";
    let set = reads(&lab, "make", command);
    assert_eq!(names(&set.added), ["app/mine", "app/moved", "app/out"]);
    assert_eq!(names(&set.changed), ["app/config", "app/lib/deep.txt", "app/run.sh", "app/src/other.c"]);
    assert_eq!(names(&set.missing), [""; 0]);
    assert!(set.read.contains("app/src/main.c"), "through a link of its own");
    assert!(set.read.contains("app/lib/deep.txt"), "moved: its content is in the layer");
    assert!(!set.read.contains("app/out/a/b") && !set.listed.contains("app/out") && !set.links.contains_key("app/mine"));
    assert!(!set.read.contains("app/src/other.c"), "it was emptied");
    assert!(set.looked.contains("app/config"));
    assert!(
        set.read.iter().all(|path| !path.starts_with("etc/hosts") && !path.starts_with("proc") && !path.starts_with("dev"))
    );
}

#[test]
fn mounts_count_as_they_enter_the_key() {
    let Some(lab) = lab("mounts_count_as_they_enter_the_key") else { return };
    project(&lab);
    lab.unpack("bound", &[], &Tar::default().file("in/x", 0o644, b"x").file("in/y", 0o644, b"y")).unwrap();
    let bind = MountContent::Layers { layers: vec![id("bound")], path: "in".into() };
    let cache = MountContent::Tmpfs { size: None };
    let (code, text, set) = lab.traced_with("mounted", &APP, Some(TraceBudget::default()), |p| {
        p.args =
            ["/bin/sh", "-c", "cat /opt/b/x; test -e /opt/b/z; echo 1 > /opt/c/f; cat /opt/c/f"].map(Into::into).to_vec();
        p.mounts = vec![
            MountSpec { target: "/opt/b".into(), read_only: true, content: bind },
            MountSpec { target: "/opt/c".into(), read_only: false, content: cache },
        ];
    });
    assert_eq!(code, 0, "{text}");
    let set = set.unwrap();
    assert_eq!((names(&set.read), names(&set.missing)), (vec!["opt/b/x"], vec!["opt/b/z"]), "{set:?}");
}

#[test]
fn without_a_wish_nothing_is_watched_and_failures_have_no_set() {
    let Some(lab) = lab("without_a_wish_nothing_is_watched_and_failures_have_no_set") else { return };
    project(&lab);
    let (code, _, set) = lab.traced_with("plain", &APP, None, |p| p.args = vec!["/bin/true".into()]);
    assert_eq!((code, set), (0, None));
    let (code, text, set) = lab.traced("failed", &APP, "cat /app/config; exit 3");
    assert_eq!((code, text.as_str(), set), (3, "x=1", None));
    let (code, text, _) =
        lab.traced_with("nowhere", &APP, Some(TraceBudget::default()), |p| p.args = vec!["nonesuch".into()]);
    assert_eq!((code, text.as_str()), (127, "cannot execute `nonesuch`: no such file, nor in PATH (ENOENT)\n"));
}

#[test]
fn a_budget_ends_the_looking_and_not_the_step() {
    let Some(lab) = lab("a_budget_ends_the_looking_and_not_the_step") else { return };
    project(&lab);
    let command = "cat /app/config; i=0; while [ $i -lt 200 ]; do test -e /app/$i; i=$((i+1)); done; cat /app/lib/deep.txt";
    for budget in [TraceBudget { events: 100, bytes: 1 << 20 }, TraceBudget { events: 1 << 20, bytes: 2000 }] {
        let name = format!("budget{}", budget.events);
        let (code, text, set) = lab.traced_with(&name, &APP, Some(budget), |p| {
            p.args = ["/bin/sh", "-c", command].map(Into::into).to_vec();
        });
        assert_eq!((code, text.as_str()), (0, "x=1deep"));
        let set = set.unwrap();
        assert_eq!(set.incomplete, [Incomplete::Budget].into(), "{set:?}");
        assert!(set.events <= 100 && !set.read.contains("app/lib/deep.txt"));
    }
}

#[test]
fn a_watched_step_is_cancelled_at_once() {
    let Some(lab) = lab("a_watched_step_is_cancelled_at_once") else { return };
    project(&lab);
    let began = Instant::now();
    let token = "endless".bytes().fold(0, |sum, b| sum * 31 % 1_000_003 + u64::from(b));
    std::thread::scope(|scope| {
        let run =
            scope.spawn(|| lab.traced("endless", &APP, "while :; do test -e /app/x; cat /app/config > /dev/null; done"));
        std::thread::sleep(Duration::from_millis(400));
        lab.call(Request::Cancel { token }).unwrap();
        let (_, _, set) = run.join().unwrap();
        assert_eq!(set, None);
    });
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// Compiles a program and lays it over the project as `/app/tool`.
pub(super) fn tool(lab: &Lab, name: &str, source: &str, flags: &[&str]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (from, to): (PathBuf, PathBuf) = (dir.path().join("tool.c"), dir.path().join("tool"));
    std::fs::write(&from, source).unwrap();
    let mut gcc = Command::new("gcc");
    let built = gcc.args(["-O1", "-w", "-pthread", "-static", "-o"]).arg(&to).arg(&from).args(flags).output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped a part of {name}: gcc {flags:?} cannot build it: {built:?}");
        return false;
    }
    lab.unpack(name, &APP, &Tar::default().file("app/tool", 0o755, &std::fs::read(&to).unwrap())).unwrap();
    true
}

pub(super) fn run_tool(lab: &Lab, name: &str) -> (i32, String, ReadSet) {
    let (code, text, set) =
        lab.traced_with(&format!("{name}-run"), &["base", "app", name], Some(TraceBudget::default()), |p| {
            p.args = vec!["/app/tool".into()];
            p.cwd = "/app".into();
        });
    assert_eq!(code, 0, "{text}");
    (code, text, set.unwrap())
}

#[test]
fn every_way_to_name_a_file_is_found() {
    let Some(lab) = lab("every_way_to_name_a_file_is_found") else { return };
    project(&lab);
    let source = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
static void *thread(void *x) { close(open("src/main.c", O_RDONLY)); return 0; }
int main() {
    struct stat s; char b[64]; pthread_t t;
    int dir = open("/app/lib", O_PATH | O_DIRECTORY);
    close(openat(dir, "deep.txt", O_RDONLY));                       /* relative to a descriptor */
    close(openat(dir, "../src/other.c", O_RDONLY));
    stat("/app/stat", &s); lstat("/app/lstat", &s); access("access", R_OK);
    syscall(SYS_access, "/app/access1", 0);
    faccessat(dir, "at", R_OK, AT_EACCESS);
    struct statx x; statx(dir, "statx", 0, STATX_BASIC_STATS, &x);
    statx(dir, "empty", AT_EMPTY_PATH, STATX_BASIC_STATS, &x);      /* a path, although it might be none */
    fstatat(AT_FDCWD, "empty", &s, AT_EMPTY_PATH);
    readlink("/app/readlink", b, 64);
    getxattr("/app/getxattr", "user.x", b, 64); lgetxattr("/app/lgetxattr", "user.x", b, 64);
    rename("/app/rename-from", "/app/rename-to"); link("/app/link-from", "/app/link-to"); unlink("/app/unlink");
    rmdir("/app/rmdir"); chdir("/app/chdir"); truncate("/app/truncate", 0); chmod("/app/chmod", 0600);
    syscall(SYS_openat2, AT_FDCWD, "openat2", (unsigned long[3]){0, 0, 0}, 24);
    execl("/app/execl", "x", NULL);
    DIR *d = opendir("src"); while (readdir(d)); closedir(d);
    pthread_create(&t, 0, thread, 0); pthread_join(t, 0);
    if (!fork()) { close(open("/app/fork", O_RDONLY)); _exit(0); }
    wait(0);
    char self[64]; int place = open("/app/run.sh", O_PATH);          /* a place, opened for good through /proc */
    sprintf(self, "/proc/self/fd/%d", place); close(open(self, O_RDONLY));
    close(place); place = open("/app/lib/same", O_PATH); close(open(self, O_RDONLY)); /* the same name for another file */
    mkdir("/tmp/gone", 0700); int gone = open("/tmp/gone", O_RDONLY); rmdir("/tmp/gone"); openat(gone, "x", O_RDONLY);
    open("/dev/stdin", O_RDONLY); open("/proc/self/fd/1", O_RDONLY);
    if (!fork()) { chdir("/app"); if (chroot("/app")) _exit(1); close(open("/config", O_RDONLY)); stat("/none", &s); _exit(0); }
    wait(0);
    long ring = syscall(SYS_io_uring_setup, 8, b);
    printf("ring %ld", ring);
    perror("");
    return 0;
}"#;
    if !tool(&lab, "ways", source, &[]) {
        return;
    }
    let (_, text, set) = run_tool(&lab, "ways");
    assert!(text.starts_with("ring -1") || text.contains("Function not implemented"), "{text}");
    assert!(set.is_complete(), "{set:?}");
    assert_eq!(
        names(&set.read),
        ["app/config", "app/lib/deep.txt", "app/lib/same", "app/run.sh", "app/src/main.c", "app/src/other.c", "app/tool"]
    );
    assert!(!set.missing.iter().any(|path| path.contains("deleted")), "{set:?}");
    assert_eq!(names(&set.listed), ["app/src"]);
    let missing = [
        "access",
        "access1",
        "chdir",
        "chmod",
        "empty",
        "execl",
        "fork",
        "getxattr",
        "lgetxattr",
        "lib/at",
        "lib/empty",
        "lib/statx",
        "link-from",
        "link-to",
        "lstat",
        "none",
        "openat2",
        "readlink",
        "rename-from",
        "rename-to",
        "rmdir",
        "stat",
        "truncate",
        "unlink",
    ];
    assert_eq!(names(&set.missing), missing.map(|name| format!("app/{name}")));
}

#[test]
fn hostile_programs_get_nowhere() {
    let Some(lab) = lab("hostile_programs_get_nowhere") else { return };
    project(&lab);
    let source = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>
static char path[4096]; static volatile int over;
static void *racer(void *x) { while (!over) { strcpy(path, "/app/config"); strcpy(path, "/../../../../etc/shadow"); } return 0; }
int main() {
    struct stat s; pthread_t t;
    char *big = malloc(1 << 20); memset(big, 'a', 1 << 20); big[0] = '/';
    open(big, O_RDONLY);                                            /* no end within PATH_MAX */
    big[5000] = 0; open(big, O_RDONLY);                             /* longer than PATH_MAX */
    for (int i = 0; i < 4000; i++) big[i] = i % 2 ? 'a' : '/'; big[4000] = 0; open(big, O_RDONLY);
    for (int i = 0; i < 4080; i += 3) memcpy(big + i, "../", 3); big[4080] = 0; open(big, O_RDONLY);
    char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    memset(page, 'b', 4096); open(page, O_RDONLY);                  /* runs into an unmapped page */
    strcpy(page + 4096 - 12, "/app/config"); close(open(page + 4096 - 12, O_RDONLY)); /* ends right before it */
    for (long a = -1; a < 16; a++) { open((char *)a, O_RDONLY); stat((char *)(a << 60), &s); }
    openat(12345, "x", O_RDONLY); openat(-7, "x", O_RDONLY); openat(0x7fffffff, "", O_RDONLY);
    syscall(SYS_getdents64, 999, page, 4096); syscall(SYS_openat2, -100, "x", (void *)1, 24);
    syscall(SYS_connect, 3, (void *)1, 1 << 30); syscall(SYS_execve, "/app/config", (void *)1, 0);
    mkfifo("/tmp/fifo", 0600); stat("/tmp/fifo", &s); access("/tmp/fifo", R_OK);
    mknod("/tmp/dev", S_IFCHR | 0600, 0x0500); stat("/tmp/dev", &s); execl("/tmp/fifo", "x", NULL); execl("/tmp/dev", "x", NULL);
    symlink("/proc/1/root/etc/passwd", "/tmp/p"); open("/tmp/p", O_RDONLY);
    symlink("/tmp/l2", "/tmp/l1"); symlink("/tmp/l1", "/tmp/l2"); open("/tmp/l1", O_RDONLY);
    open("/app/\xff\xfe", O_RDONLY);
    strcpy(path, "/app/config");
    pthread_create(&t, 0, racer, 0);
    for (int i = 0; i < 3000; i++) { int f = open(path, O_RDONLY); if (f >= 0) close(f); stat(path, &s); }
    over = 1; pthread_join(t, 0);
    for (int i = 0; i < 200; i++) { pid_t p = vfork(); if (!p) _exit(stat("/app/config", &s)); kill(p, SIGKILL); }
    for (int i = 0; i < 50; i++) { pid_t p = fork(); if (!p) for (;;) stat("/app/x", &s); kill(p, SIGKILL); }
    puts("done");
    return 0;
}"#;
    if !tool(&lab, "hostile", source, &[]) {
        return;
    }
    let began = Instant::now();
    let (_, text, set) = run_tool(&lab, "hostile");
    assert!(text.ends_with("done\n"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(20));
    // It kills processes whose calls wait; where one of those was not even received yet, it was run again without being watched.
    if set.incomplete != [Incomplete::Interrupted].into() {
        assert!(set.read.contains("app/config"));
        // A link into another process' folder, and a name that is no text; nothing else that it tried hides anything.
        assert_eq!(set.incomplete, [Incomplete::OtherProcess, Incomplete::NotText].into(), "{set:?}");
    }
    assert!(!set.read.iter().chain(&set.missing).any(|path| path.contains("..") || path.starts_with('/')), "{set:?}");
    // The worker has no descriptor of it left, and goes on working.
    let open = std::fs::read_dir(format!("/proc/{}/fd", lab.worker.id())).map(|dir| dir.count()).unwrap_or(0);
    assert!(open < 20, "{open} descriptors are open");
    reads(&lab, "after", "cat /app/config");
}

#[test]
fn a_message_to_another_machine_is_network() {
    let Some(lab) = lab("a_message_to_another_machine_is_network") else { return };
    project(&lab);
    let source = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int n, char **args) {
    struct sockaddr_in to = {AF_INET, htons(9), {inet_addr(args[2])}};
    struct iovec part = {"x", 1};
    struct mmsghdr all[2] = {{{0, 0, &part, 1}}, {{&to, sizeof to, &part, 1}}};
    int s = socket(AF_INET, SOCK_DGRAM, 0), pair[2];
    switch (args[1][0]) {
    case '1': sendmsg(s, &all[1].msg_hdr, 0); break;
    case '2': sendmmsg(s, all, 2, 0); break;
    case 't': sendto(s, "x", 1, 0, (void *)&to, sizeof to); break;
    case 'p': socketpair(AF_UNIX, SOCK_STREAM, 0, pair); sendmsg(pair[0], &all[0].msg_hdr, 0);
    }
    return 0;
}"#;
    if !tool(&lab, "sends", source, &[]) {
        return;
    }
    for (how, to, expected) in [
        ("1", "192.0.2.1", true),
        ("2", "192.0.2.1", true),
        ("to", "192.0.2.1", true),
        ("1", "127.0.0.1", false),
        ("pair", "192.0.2.1", false),
    ] {
        let name = format!("sends-{how}-{}", &to[..3]);
        let (code, text, set) = lab.traced_with(&name, &["base", "app", "sends"], Some(TraceBudget::default()), |p| {
            p.args = ["/app/tool", how, to].map(String::from).into();
            p.network = Network::Host;
        });
        let set = set.unwrap();
        assert_eq!((code, set.network, set.is_complete()), (0, expected, true), "{how} {to} {text} {set:?}");
    }
}
