//! The image that every base name stands for: the lab's busybox with what the cases take for granted of one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A result of the lab holds as long as this is the same.
pub const DOCKERFILE: &str = r##"FROM busybox
RUN printf 'adm:x:4:\nnobody:x:99:\n' >> /etc/group && echo 3.20.0 > /etc/alpine-release \
 && echo NAME=busybox > /etc/os-release && ln -s adduser /bin/useradd && ln -s addgroup /bin/groupadd
COPY --chmod=755 <<"EOF" /bin/adduser
#!/bin/sh
# adduser [-D] [-S] [-H] [-u UID] [-h HOME] [-s SHELL] [-g GECOS] [-G GROUP] NAME
# useradd [-m] [-c COMMENT] [-u UID] [-d HOME] [-s SHELL] [-g GROUP] [-G GROUP] NAME
shell=/bin/sh
while getopts DSHmu:h:d:s:g:G:c: option; do
  case $option in
    u) uid=$OPTARG ;; h | d) home=$OPTARG ;; s) shell=$OPTARG ;; G) group=$OPTARG ;;
    g) [ "${0##*/}" = adduser ] || group=$OPTARG ;;
  esac
done
shift $((OPTIND - 1))
[ -n "$uid" ] || uid=$(awk -F: '$3 >= 1000 && $3 < 60000 && $3 > m { m = $3 } END { print (m ? m + 1 : 1000) }' /etc/passwd)
gid=$uid
if [ -n "$group" ]; then gid=$(awk -F: -v g="$group" '$1 == g || $3 == g { print $3; exit }' /etc/group); else echo "$1:x:$gid:" >> /etc/group; fi
echo "$1:x:$uid:$gid::${home:=/home/$1}:$shell" >> /etc/passwd
mkdir -p "$home" && chown "$uid:$gid" "$home"
EOF
COPY --chmod=755 <<"EOF" /bin/addgroup
#!/bin/sh
# addgroup [-S] [-g GID] NAME
while getopts Sg: option; do case $option in g) gid=$OPTARG ;; esac; done
shift $((OPTIND - 1))
[ -n "$gid" ] || gid=$(awk -F: '$3 >= 1000 && $3 < 60000 && $3 > m { m = $3 } END { print (m ? m + 1 : 1000) }' /etc/group)
echo "$1:x:$gid:" >> /etc/group
EOF
"##;

/// Builds it once, by the lab's BuildKit; of tests that ask at once one waits for the other. Errors: what is missing, or why it
/// cannot be built.
pub fn make(script: &Path, busybox: &Path, layout: &Path) -> Result<(), String> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if layout.join("index.json").is_file() {
        return Ok(());
    }
    if !busybox.is_dir() {
        return Err(format!("there is no {} (make-images)", busybox.display()));
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    std::fs::write(folder.path().join("Dockerfile"), DOCKERFILE).map_err(|e| e.to_string())?;
    let mut command = Command::new(script);
    command.args(["buildx", "build", "--provenance=false", "--network=host", "--build-context"]);
    command.arg(format!("busybox=oci-layout://{}:local", busybox.display()));
    command.arg("-o").arg(format!("type=oci,tar=false,dest={}", layout.display())).arg(folder.path());
    let done = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(format!("the base image: {}", String::from_utf8_lossy(&done.stderr))) }
}
