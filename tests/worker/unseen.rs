//! Steps that cannot be watched as others are: with few descriptors, without a filter, with calls that are not looked at.

use rbuild_tui::engine::protocol::*;
use rbuild_tui::engine::reads::Incomplete;

use super::lab::{Tar, is_root, lab};
use super::reads::{APP, names, project, reads, run_tool, tool};

#[test]
fn a_step_with_few_descriptors_is_watched_and_has_no_more() {
    let Some(lab) = lab("a_step_with_few_descriptors_is_watched_and_has_no_more") else { return };
    project(&lab);
    let source = r#"
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main() {
    struct sockaddr_in to = {AF_INET, htons(9), {inet_addr("192.0.2.1")}};
    struct iovec part = {"x", 1};
    struct msghdr message = {&to, sizeof to, &part, 1};
    int count = 0, s, last;
    close(0);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    for (int n; (n = dup(s)) >= 0; count++) last = n;
    sendmsg(count ? last : s, &message, 0);                         /* through the highest number that there is */
    close(s);
    printf("%d %d", count, open("/app/config", O_RDONLY) >= 0);
    return 0;
}"#;
    if !tool(&lab, "few", source, &[]) {
        return;
    }
    for (most, insecure) in [(3, false), (5, false), (10, false), (3, true)] {
        let name = format!("few-{most}-{insecure}");
        let (code, text, set) = lab.traced_with(&name, &["base", "app", "few"], Some(TraceBudget::default()), |p| {
            (p.args, p.insecure, p.network) = (vec!["/app/tool".into()], insecure, Network::Host);
            // The last one counts.
            p.ulimits = [2, most].map(|most| Ulimit { name: "nofile".into(), soft: most, hard: most }).into();
        });
        let set = set.unwrap();
        assert_eq!((code, text), (0, format!("{} 1", most - 3)), "{most} {set:?}");
        assert!(insecure || set.is_complete() && set.network && set.read.contains("app/config"), "{most} {set:?}");
    }
}

/// Where no call waits, the machine's root still hears of what is opened.
#[test]
fn what_is_opened_is_known_where_nothing_is_filtered() {
    let Some(lab) = lab("what_is_opened_is_known_where_nothing_is_filtered") else { return };
    project(&lab);
    let command = "cd /app; cat link.c; ls lib; test -e config; test -e none; ./run.sh; \
                   echo 1 > new; cat new; mkfifo pipe; cat new > pipe & cat pipe; cat src/other.c; rm src/other.c; \
                   cat 'odd (deleted)'";
    let insecure = |name: &str, budget: TraceBudget, command: &str| {
        let (code, text, set) = lab.traced_with(name, &APP, Some(budget), |p| {
            (p.args, p.insecure) = (vec!["/bin/sh".into(), "-c".into(), command.into()], true);
        });
        assert_eq!(code, 0, "{text}");
        set.unwrap()
    };
    let set = insecure("opens", TraceBudget::default(), command);
    if !is_root() {
        assert_eq!(set.incomplete, [Incomplete::Insecure].into());
        return;
    }
    assert_eq!(set.incomplete, [Incomplete::Insecure, Incomplete::OpensOnly].into());
    assert_eq!(names(&set.read), ["app/config", "app/odd (deleted)", "app/run.sh", "app/src/main.c", "app/src/other.c"]);
    assert_eq!((names(&set.listed), names(&set.executed)), (vec!["app/lib"], vec!["app/run.sh"]));
    assert_eq!((names(&set.added), names(&set.missing)), (vec!["app/new", "app/pipe"], vec![]));
    assert!(set.executed.contains("bin/sh") && set.events > 10 && set.micros > 0, "{set:?}");
    let set = insecure("few", TraceBudget { events: 3, ..TraceBudget::default() }, "cat /app/config");
    assert!(set.incomplete.contains(&Incomplete::Budget) && set.events == 3, "{set:?}");
    // Another step is not heard of, and a step without the rights is watched as ever.
    assert_eq!(names(&reads(&lab, "after", "cat /app/config").read), ["app/config"]);
}

#[test]
fn what_cannot_be_seen_is_said() {
    let Some(lab) = lab("what_cannot_be_seen_is_said") else { return };
    project(&lab);
    let listener = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    struct sock_filter f[] = {{6, 0, 0, 0x7fff0000}};
    struct sock_fprog p = {1, f};
    long r = syscall(SYS_seccomp, 1, 8, &p);
    printf("%ld %d", r, errno == EBUSY);
    return 0;
}"#;
    if tool(&lab, "listener", listener, &[]) {
        let (_, text, set) = run_tool(&lab, "listener");
        assert_eq!(text, "-1 1");
        assert_eq!(set.incomplete, [Incomplete::SecondListener].into());
    }
    // A filter of its own without a listener is its own affair.
    let own = listener.replace("SYS_seccomp, 1, 8, &p", "SYS_seccomp, 1, 0, &p");
    if tool(&lab, "own", &own, &[]) {
        let (_, text, set) = run_tool(&lab, "own");
        assert_eq!((text.as_str(), set.is_complete()), ("0 0", true), "{set:?}");
    }
    // A 32-bit call, by its number, without a 32-bit compiler: openat, chdir, connect.
    #[cfg(target_arch = "x86_64")]
    {
        let narrow = r#"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
int main() {
    char *low = mmap((void *)0x10000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    strcpy(low, "/app/config");
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(295), "b"(-100), "c"((int)(long)low), "d"(0), "S"(0) : "memory");
    printf("%d", result >= 0);
    return 0;
}"#;
        for (number, found) in [("295", "1"), ("12", "0"), ("362", "0")] {
            let name = format!("narrow{number}");
            if tool(&lab, &name, &narrow.replace("295", number), &[]) {
                let (_, text, set) = run_tool(&lab, &name);
                assert_eq!(text, found, "this kernel runs 32-bit calls");
                assert_eq!(set.incomplete, [Incomplete::ForeignArchitecture].into(), "{number}");
            }
        }
        if tool(&lab, "m32", "int main() { return 0; }", &["-m32"]) {
            assert!(run_tool(&lab, "m32").2.is_complete(), "it opened nothing");
        }
    }
}

/// A call that waits is ended by a signal until it has been received; what a program makes of that must not stay.
#[test]
fn signals_change_nothing() {
    let Some(lab) = lab("signals_change_nothing") else { return };
    project(&lab);
    let shell = "i=0; while [ $i -lt 300 ]; do true & [ -e /app/config ] || echo $i >> /bad; i=$((i+1)); done; wait; \
                 cat /app/config";
    let (code, text, set) = lab.traced("children", &APP, shell);
    let made = lab.names(&["children"]);
    assert!(code == 0 && !made.iter().any(|name| name.contains("bad")), "{text} {made:?}");
    let set = set.unwrap();
    assert!(set.read.contains("app/config") != set.incomplete.contains(&Incomplete::Interrupted), "{set:?}");
    let source = r#"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
static void tick(int s) {}
int main() {
    struct sigaction act = {0}; act.sa_handler = tick; sigaction(SIGALRM, &act, 0);
    struct itimerval often = {{0, 700}, {0, 700}}; setitimer(ITIMER_REAL, &often, 0);
    struct stat s; int bad = 0;
    for (int i = 0; i < 20000; i++) bad += stat("/app/config", &s) != 0;
    if (bad) rename("/app/config", "/app/bad");
    return 0;
}"#;
    if tool(&lab, "alarm", source, &[]) {
        let (_, _, set) = run_tool(&lab, "alarm");
        assert!(set.changed.is_empty(), "{set:?}");
        assert!(!lab.names(&["alarm-run"]).iter().any(|name| name.contains("bad")));
    }
}

/// What only the order of two threads' calls decides, or a directory that is gone.
#[test]
fn nothing_is_known_while_paths_change() {
    let Some(lab) = lab("nothing_is_known_while_paths_change") else { return };
    project(&lab);
    let (_, _, set) = lab.traced("gone", &APP, "mkdir /app/v; cd /app/v; rmdir /app/v; cat ../config");
    let set = set.unwrap();
    assert!(set.read.contains("app/config") || !set.is_complete(), "{set:?}");
    let source = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static char name[64], to[64]; static volatile int go;
static void *poller(void *x) {
    int f;
    while ((f = open(name, O_RDONLY)) < 0) ;
    close(f); usleep(2000); close(open(name, O_RDONLY));
    return 0;
}
int main() {
    for (int i = 0; i < 60; i++) {
        pthread_t t; FILE *f;
        sprintf(name, "/app/l%d", i); sprintf(to, "/many/f%d", i);
        pthread_create(&t, 0, poller, 0); usleep(500);
        symlink(to, name); pthread_join(t, 0);
    }
    int place = open("/many/linked", O_PATH);
    if (!linkat(place, "", AT_FDCWD, "/app/new", AT_EMPTY_PATH)) close(open("/app/new", O_RDONLY));
    return 0;
}"#;
    if !tool(&lab, "races", source, &[]) {
        return;
    }
    let tar = (0..60).fold(Tar::default().dir("many", 0o755), |tar, n| tar.file(&format!("many/f{n}"), 0o644, b"x"));
    lab.unpack("many", &["base", "app", "races"], &tar.file("many/linked", 0o644, b"y")).unwrap();
    let (code, text, set) =
        lab.traced_with("races-run", &["base", "app", "races", "many"], Some(TraceBudget::default()), |p| {
            p.args = vec!["/app/tool".into()];
        });
    let set = set.unwrap();
    assert_eq!(code, 0, "{text}");
    let lost: Vec<String> = (0..60).map(|n| format!("many/f{n}")).filter(|path| !set.read.contains(path)).collect();
    assert!(!set.is_complete() || lost.is_empty(), "{lost:?}");
    assert!(!set.is_complete() || !set.added.contains("app/new") || set.read.contains("many/linked"), "{set:?}");
}
