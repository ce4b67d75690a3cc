# escape=\
ARG BASE=busybox:local
ARG GLOBAL=global
FROM ${BASE} AS base
# feature 1: ENV of several forms, expanded in later ones
ENV ONE=1 TWO="two words" THREE=${GIVEN:-none}
ENV OLD old form with blanks
# feature 2: ARG with a default, from the command line, and from above FROM
ARG DEFAULT=default
ARG GIVEN
ARG GLOBAL
RUN mkdir /out && echo "$ONE|$TWO|$THREE|$OLD|$DEFAULT|$GIVEN|$GLOBAL" > /out/env
# feature 3: WORKDIR absolute, relative, with variables
WORKDIR /work/$ONE
WORKDIR sub
RUN pwd > /out/pwd
# feature 4: USER by number and by name; what it writes is its own
RUN chmod 1777 /out
USER 1234:4321
RUN id -u > /out/by-number && id -g >> /out/by-number
USER daemon
RUN id -un > /out/by-name
WORKDIR /of/daemon
USER root
# feature 5: exec form
RUN ["/bin/sh", "-c", "echo exec \"$0\" > /out/exec", "zero"]
# feature 6: SHELL
SHELL ["/bin/sh", "-e", "-c"]
RUN case $- in *e*) echo strict > /out/shell ;; esac
SHELL ["/bin/sh", "-c"]

FROM base AS runs
# feature 7: a line that goes on, with comments inside
RUN echo one \
# a comment
      two \
  three > /out/lines
# feature 8: a heredoc as the script
RUN <<EOF
echo heredoc $ONE > /out/heredoc
umask 077
echo hidden > /out/hidden
EOF
# feature 9: a heredoc with an interpreter
RUN <<EOF
#!/bin/sh -e
echo "$0" | sed 's/.*\///' > /out/shebang
EOF
# feature 10: heredocs as input of a command
RUN cat <<A - <<-"B" > /out/both
first $ONE
A
	second $ONE
	B
# feature 11: links, hard links, holes in names, removed and emptied folders
RUN mkdir -p /tree/a /tree/b && echo x > /tree/a/file && ln /tree/a/file /tree/b/hard && ln -s ../a /tree/b/soft \
 && echo y > "/tree/name with blank" && mkdir /tree/empty && mkfifo /tree/pipe && mknod /tree/null c 1 3
RUN rm -r /tree/empty && mkdir /tree/empty && rm /tree/a/file && echo z > /tree/a/new
# feature 12: modes and owners
RUN chmod 4750 /tree/a/new && chown 55:66 /tree/a/new && chown -h 77:88 /tree/b/soft && chmod 2771 /tree/b && chown 9 /tree/b
# feature 13: a file of a lower layer becomes a folder, and a folder a file
RUN rm /tree/a/new && mkdir -p /tree/a/new/inner && rm -r /tree/empty && echo file > /tree/empty
# feature 14: times that a step sets stay
RUN touch -d '2001-02-03 04:05:06' /tree/pipe /tree/a/new && touch -h -d '2001-02-03 04:05:06' /tree/b/soft || true

FROM base AS mounts
# feature 15: bind of the context
RUN --mount=type=bind,target=/mnt/context cat /mnt/context/a.txt > /out/bind
# feature 16: bind of one file
RUN --mount=type=bind,source=src/main.c,target=/mnt/main.c cat /mnt/main.c > /out/bind-file
# feature 17: bind of another stage
RUN --mount=type=bind,from=runs,source=/tree,target=/mnt/tree ls /mnt/tree > /out/bind-stage
# feature 18: a bind that may be written to, and keeps nothing
RUN --mount=type=bind,source=src,target=/mnt/src,rw echo lost > /mnt/src/lost && cat /mnt/src/lost > /out/bind-rw
# feature 19: a bind that may not be written to
RUN --mount=type=bind,source=src,target=/mnt/src if echo x > /mnt/src/x; then exit 1; fi 2> /dev/null; echo refused > /out/bind-ro
# feature 20: a cache, with owner and mode
RUN --mount=type=cache,id=peers-forty,target=/mnt/cache,uid=12,gid=34,mode=0710 stat -c '%u %g %a' /mnt/cache > /out/cache
# feature 21: a cache with contents from a stage
RUN --mount=type=cache,id=peers-forty-seed,from=base,source=/out,target=/mnt/seed,sharing=locked cat /mnt/seed/pwd > /out/seed
# feature 22: a private cache
RUN --mount=type=cache,id=peers-forty-private,sharing=private,target=/mnt/private touch /mnt/private/x && ls /mnt/private > /out/private
# feature 23: memory, with a size
RUN --mount=type=tmpfs,target=/mnt/memory,size=1m df -k /mnt/memory | tail -n 1 | awk '{print $2}' > /out/tmpfs
# feature 24: a secret at its usual place, and at another with owner and mode
RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /out/secret
RUN --mount=type=secret,id=token,target=/mnt/token,uid=5,gid=6,mode=0440 stat -c '%u %g %a' /mnt/token > /out/secret-mode
# feature 25: a secret that is not there and need not be
RUN --mount=type=secret,id=absent ls /run/secrets 2> /dev/null | wc -l > /out/secret-absent
# feature 26: several mounts, one inside of another
RUN --mount=type=tmpfs,target=/mnt/outer --mount=type=bind,source=src,target=/mnt/outer/inner ls /mnt/outer/inner > /out/nested
# feature 27: no network
RUN --network=none ip link 2> /dev/null | grep -c UP > /out/network || true
# feature 28: hosts, shared memory and limits of the command line
RUN grep somewhere /etc/hosts | awk '{print $1}' > /out/host; df -k /dev/shm | tail -n 1 | awk '{print $2}' > /out/shm; ulimit -n > /out/limit
# feature 29: a mount point that the build makes, and what is left of it
RUN --mount=type=tmpfs,target=/made/for/mount touch /made/for/mount/x
RUN if [ -e /made ]; then find /made; else echo gone; fi > /out/made

FROM base AS copies
# feature 30: COPY of files, of wildcards, of names with blanks
COPY a.txt /c/renamed
COPY *.txt keep.lo[g] /c/wild/
COPY ["c d.txt", "/c/json form/"]
# feature 31: COPY of a folder gives what is in it, with links, modes and times
COPY src /c/src/
# feature 32: COPY of a link gives what it points to
COPY link /c/followed
# feature 33: COPY below WORKDIR, into a folder that is there, over what is there
WORKDIR /c/here
COPY b.txt .
COPY a.txt ./b.txt
# feature 34: --chown by number, by name, of the user only
COPY --chown=11:22 src /c/owned/
COPY --chown=daemon a.txt /c/owned/by-name
COPY --chown=33 b.txt /c/owned/by-number
COPY --chown=nobody-here:nor-here a.txt /c/owned/unknown
COPY --chown=34:nor-here a.txt /c/owned/unknown-group
COPY --chown=nobody-here:35 a.txt /c/owned/unknown-user
COPY --chown=36: a.txt /c/owned/empty-group
ADD --chown=nobody-here archive.tar /c/owned/archive/
# feature 35: --chmod in numbers and in letters
COPY --chmod=0604 src /c/mode/
COPY --chmod=u=rwX,go=rX src /c/letters/
# feature 36: --exclude
COPY --exclude=*.o --exclude=lib src /c/without/
# feature 38: --from a stage, by name and by number, with hard links and special files
COPY --from=runs /tree /c/tree
COPY --from=1 /tree/b/hard /c/one-of-two
# feature 39: --from a named context
COPY --from=extra named.txt /c/
# feature 40: COPY of heredocs
COPY <<one.txt <<"two.txt" /c/texts/
one $ONE
one.txt
two $ONE
two.txt
COPY --chmod=700 --chown=1:2 <<EOF /c/script
#!/bin/sh
EOF
# feature 41: --link, onto nothing, then under a step that sees both
COPY --link a.txt /linked/a.txt
COPY --link --chown=44:55 src/lib /linked/lib/
RUN cat /linked/a.txt > /out/linked
# feature 42: setuid bits and narrow modes stay
COPY plain bin/tool /c/kept/
# feature 43: ADD of archives, plain and gzip, with owners, hard links, pipes
ADD archive.tar /add/plain/
ADD archive.tar.gz /add/gzip/
ADD --chown=66:77 archive.tar /add/owned/
# feature 44: ADD of what is no archive, and of an archive that stays one
ADD a.txt /add/a
COPY archive.tar /add/copied.tar
# feature 45: COPY through a link of the destination
RUN ln -s /c/src /through
COPY b.txt /through/deep/

FROM copies AS trigger
# feature 46: ONBUILD, run by the next stage
ONBUILD RUN echo triggered > /out/triggered
ONBUILD COPY a.txt /out/triggered.txt

FROM trigger
# feature 47: everything together, from other stages
COPY --from=runs /out /all/runs
COPY --from=mounts /out /all/mounts
COPY --from=runs /tree /all/tree
# feature 48: a file with a capability, from an archive and through a copy
COPY --from=copies /add/plain/t /all/archive
# feature 49: the configuration
LABEL one=1 "two words"="2 words" three='$ONE' four="$ONE"
EXPOSE 80 443/tcp 53/udp 8000-8002
VOLUME /data /more
VOLUME ["/json", "/other"]
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=1m --start-period=10s --retries=4 CMD test -e /out || exit 1
MAINTAINER somebody
ENTRYPOINT ["/bin/sh", "-c"]
CMD echo $ONE
USER 1234
