//! The same inputs in two stores, with SOURCE_DATE_EPOCH and rewritten timestamps, give the same digest.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use super::lab::{Ours, Running, image, write};

const DOCKERFILE: &str = "FROM busybox:local AS tools\nRUN mkdir -p /t/sub && echo tool > /t/sub/tool && ln /t/sub/tool /t/hard && ln -s sub /t/link
FROM busybox:local AS data\nRUN i=0; while [ $i -lt 40 ]; do echo $i > /f$i; i=$((i+1)); done
FROM busybox:local\nWORKDIR /w\nCOPY --from=tools /t /t\nCOPY --from=data /f* /data/\nCOPY --chown=1:2 . .\nRUN date > /dev/null; echo done > done; rm /t/hard\nLABEL a=1\n";

#[test]
fn reproducible() {
    let test = Running::start("reproducible");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let mut digests = Vec::new();
    for (mask, jobs, pause) in [(0o022, "1", 0), (0o077, "7", 1100)] {
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let ours = Ours::with_image(&layout, &["busybox:local"]);
        let context = ours.folder("context");
        write(&context, "Dockerfile", DOCKERFILE);
        write(&context, "a/b/c", "c\n");
        write(&context, "run.sh", "#!/bin/sh\n");
        std::fs::set_permissions(context.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        for format in ["oci", "docker"] {
            let out = format!("type={format},dest={}/{format}.tar,rewrite-timestamp=true", ours.folder("out").display());
            let mut command =
                ours.command(&["build", "--json", "--build-arg=SOURCE_DATE_EPOCH=1700000000", "--jobs", jobs, "-o", &out]);
            // Safe: only a system call between fork and exec.
            unsafe {
                command.pre_exec(move || {
                    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
                    Ok(())
                });
            }
            let done = command.arg(&context).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let document: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
            digests.push((format, document["digest"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(digests[0], digests[2]);
    assert_eq!(digests[1], digests[3]);
    test.pass("two stores, another umask, jobs and time: equal OCI and docker manifests");
}
