//! The Dockerfiles of the matrix. All of them have the same files, and the same hooks that a change takes hold of: a text
//! `step-one`, `ENV E=1`, `ARG V=1`, a stage `own` whose file has an owner, a directory, a copy of `src` and one of everything.

use super::changes::Play;

/// `@N@` is a word that no other build has seen; `@BASE@` an image of which there are two versions.
pub struct Project {
    pub name: &'static str,
    pub dockerfile: &'static str,
    /// Flags of every build.
    pub flags: &'static [&'static str],
    /// Triggers of the base.
    pub on_build: &'static str,
    /// What becomes what in the Dockerfile, for USER, SHELL or WORKDIR (M13).
    pub setting: (&'static str, &'static str),
    /// For flags and destinations of COPY and ADD (M21).
    pub copy: (&'static str, &'static str),
    /// The stage of `--no-cache-filter`; everything where there is none (M23).
    pub filter: Option<&'static str>,
}

const PLAIN: Project =
    Project { name: "", dockerfile: "", flags: &[], on_build: "", setting: ("", ""), copy: ("", ""), filter: None };

/// What every context holds.
pub const FILES: &[(&str, &str)] = &[
    (".dockerignore", "Dockerfile\n.dockerignore\nhidden.txt\n"),
    (".git/HEAD", "one @N@\n"),
    ("docs/read.md", "read @N@\n"),
    ("hidden.txt", "hidden\n"),
    ("package.json", "{\"name\":\"@N@\"}\n"),
    ("requirements.txt", "one==1 # @N@\n"),
    ("src/a.txt", "a @N@\n"),
    ("src/b.txt", "b @N@\n"),
    ("src/sub/c.txt", "c\n"),
];

pub const PROJECTS: &[Project] = &[
    Project {
        name: "node",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@ AS deps
WORKDIR /w1/@N@
ENV E=1
COPY package.json ./
RUN mkdir -p modules && cp package.json modules/
FROM deps AS build
ARG V=1
COPY src ./src
RUN : step-one && cat src/a.txt > built
FROM @BASE@
WORKDIR /app/@N@
COPY --from=build /w1/@N@/built ./
COPY --from=own --chown=5:5 /own ./
COPY . all/
CMD [\"x\"]
",
        setting: ("WORKDIR /app/@N@", "WORKDIR /app2/@N@"),
        copy: ("chown=5:5", "chown=6:6"),
        filter: Some("build"),
        ..PLAIN
    },
    Project {
        name: "python",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@
ENV E=1 PYTHONUNBUFFERED=1
WORKDIR /srv/@N@
COPY requirements.txt /tmp/
ARG V=1
RUN : step-one && wc -l /tmp/requirements.txt > installed
COPY src/ src/
RUN ls > list
USER 1000
COPY --from=own /own /own
COPY . .
RUN id -u
EXPOSE 8000
",
        setting: ("USER 1000", "USER 1001"),
        copy: ("src/ src/", "src/ lib/"),
        ..PLAIN
    },
    Project {
        name: "heredocs",
        dockerfile: "\
FROM @BASE@ AS own
RUN <<EOF
echo own @N@ > /own
chown 1:1 /own
EOF
FROM @BASE@
COPY <<one <<two /texts/@N@/
first
one
second
two
ENV E=1
ARG V=1
RUN <<EOF
#!/bin/sh -e
: step-one
ls /texts
EOF
WORKDIR /w1
COPY src /src
RUN <<A cat - <<B
one
A
two
B
COPY --from=own /own .
COPY . /all
",
        setting: ("WORKDIR /w1", "WORKDIR /w2"),
        copy: ("first", "other"),
        ..PLAIN
    },
    Project {
        name: "archive",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@ AS unpack
ADD archive.tar /un/@N@/
WORKDIR /un
RUN ls -R /un
FROM unpack
ARG V=1
ENV E=1
ADD --chown=3:4 src /src/
RUN : step-one
SHELL [\"/bin/sh\", \"-e\", \"-c\"]
RUN ls /src
ADD . /all/
COPY --from=unpack /un /copied
COPY --from=own /own /own
",
        setting: ("\"-e\", ", ""),
        copy: ("chown=3:4", "chown=3:5"),
        filter: Some("unpack"),
        ..PLAIN
    },
    Project {
        name: "variables",
        dockerfile: "\
ARG WHERE=place
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@ AS vars
ARG WHERE
ARG TARGETARCH
ARG V=1
ENV A=a E=1 B=${V:-none}
ENV C=\"$A $B\" D=${UNSET:+x}
RUN echo $A $B $C @N@
ARG LATE=late
RUN : step-one $LATE
WORKDIR /$WHERE/$TARGETARCH
COPY src $WHERE/
FROM vars
RUN echo \"$C\"
USER 7
COPY --chmod=640 . /all/
RUN true
COPY --from=own /own /own
",
        setting: ("USER 7", "USER 8"),
        copy: ("640", "644"),
        filter: Some("vars"),
        ..PLAIN
    },
    Project {
        name: "link",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@
WORKDIR /w1/@N@
ENV E=1
COPY --link src /src/
RUN : step-one && ls /src
ARG V=1
COPY --link --chown=5:6 docs /docs/
COPY --link --from=own /own /own
RUN cat /own
COPY --link . /all/
",
        setting: ("WORKDIR /w1/@N@", "WORKDIR /w2/@N@"),
        copy: ("chown=5:6", "chown=6:5"),
        ..PLAIN
    },
    Project {
        name: "exclude",
        dockerfile: "\
FROM @BASE@ AS own
RUN mkdir /o && echo own @N@ > /o/own && chown 1:1 /o/own
FROM @BASE@
RUN echo @N@
WORKDIR /w1
COPY --exclude=b.txt src/*.txt src/sub /kept/
ENV E=1
RUN : step-one
COPY --exclude=*.md --exclude=sub src /src/
ARG V=1
RUN ls /src /kept
COPY --from=own --exclude=none /o /own/
COPY --exclude=docs . /all/
USER 5
RUN id
",
        setting: ("USER 5", "USER 6"),
        copy: ("--exclude=*.md", "--exclude=*.mdx"),
        ..PLAIN
    },
    Project {
        name: "mounts",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@
WORKDIR /w1/@N@
ENV E=1
RUN --mount=type=cache,target=/cache,id=matrix-@N@ touch /cache/x
RUN --mount=type=tmpfs,target=/memory : step-one
RUN --mount=type=secret,id=absent,target=/secret true
RUN --mount=type=bind,source=src,target=/src ls /src
ARG V=1
RUN --mount=type=bind,from=own,source=/own,target=/own cat /own
RUN --mount=type=bind,target=/all ls /all
RUN --mount=type=bind,source=src,target=/rw,rw touch /rw/x
COPY docs /docs
",
        setting: ("WORKDIR /w1/@N@", "WORKDIR /w2/@N@"),
        copy: ("docs /docs", "--chmod=600 docs /docs"),
        ..PLAIN
    },
    Project {
        name: "onbuild",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@
WORKDIR /w1
ENV E=1
ARG V=1
RUN : step-one && ls /triggered
COPY src ./
COPY --from=own /own ./
RUN ls
SHELL [\"/bin/sh\", \"-c\"]
RUN echo @N@
",
        on_build: "ONBUILD COPY . /triggered/\nONBUILD RUN ls /triggered\n",
        setting: ("\"-c\"", "\"-e\", \"-c\""),
        copy: ("/own ./", "/own ./other"),
        ..PLAIN
    },
    Project {
        name: "named-context",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@
RUN echo @N@
COPY --from=extra src /extra/
ENV E=1
RUN --mount=type=bind,from=extra,target=/extra-all ls /extra-all
WORKDIR /w1
ARG V=1
RUN : step-one
COPY --from=extra . /all/
COPY src /src/
COPY --from=own /own /own
USER 3
RUN ls
",
        flags: &["--build-context=extra=@CONTEXT@"],
        setting: ("USER 3", "USER 4"),
        copy: ("src /extra/", "src /extra2/"),
        ..PLAIN
    },
    Project {
        name: "target",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@ AS first
ENV E=1
RUN echo @N@
COPY src /src/
FROM first AS middle
ARG V=1
WORKDIR /w1
RUN : step-one
COPY --from=own /own /own
COPY . /all/
RUN ls /all
FROM middle AS last
RUN false
",
        flags: &["--target=middle"],
        setting: ("WORKDIR /w1", "WORKDIR /w2"),
        copy: ("src /src/", "--chown=1 src /src/"),
        filter: Some("middle"),
        ..PLAIN
    },
    Project {
        name: "settings",
        dockerfile: "\
FROM @BASE@ AS own
RUN echo own @N@ > /own && chown 1:1 /own
FROM @BASE@
WORKDIR /w1/@N@
WORKDIR sub
RUN chmod 777 . && pwd
USER 11:12
WORKDIR /by/user
SHELL [\"/bin/sh\", \"-eu\", \"-c\"]
ENV E=1
RUN : step-one
COPY src .
USER root
ARG V=1
RUN [\"/bin/sh\", \"-c\", \"ls\"]
COPY --from=own /own ./
WORKDIR /last
COPY . .
RUN ls
",
        setting: ("USER 11:12", "USER 11:13"),
        copy: ("/own ./", "/own ./x/"),
        ..PLAIN
    },
    Project {
        name: "wildcards",
        dockerfile: "\
FROM @BASE@ AS own
RUN mkdir /o && echo own @N@ > /o/own && chown 1:1 /o/own
FROM @BASE@
RUN echo @N@
COPY src/*.txt package*.json /wild/
ENV E=1
RUN : step-one
COPY s[r]c/?.txt /one/
COPY src/s* /sub/
ARG V=1
WORKDIR /w1
RUN ls /wild
COPY --from=own /o/* /own/
COPY * /flat/
COPY . /all/
SHELL [\"/bin/sh\", \"-e\", \"-c\"]
RUN true
",
        setting: ("\"-e\"", "\"-u\""),
        copy: ("package*.json", "pack*.json"),
        ..PLAIN
    },
];

/// The base of a project, in one of its versions.
pub fn base(play: &Play, project: &Project, version: u32) {
    play.base(&format!("RUN echo {version} @N@ > /base\n{}", project.on_build));
}
