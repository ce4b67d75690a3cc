//! Which commands surely need nothing of the sources, and which surely do: two short lists. A command on neither may need the
//! sources and may also provide what an install uses, so its place is not certain.

use crate::language::shell::{Install, Joint, ShellCommand, is_local_package};

/// Whether a command needs nothing that a COPY of the sources brings.
pub(super) fn is_harmless(command: &ShellCommand) -> bool {
    if command.compound || !command.redirections.iter().all(|place| place.starts_with(['/', '&'])) {
        return false;
    }
    let arguments: Vec<&str> = command.arguments().collect();
    // A path of its own as the command's name is a script, perhaps one of the sources.
    let path = command.words.first().map_or("", |word| word.text.as_str());
    if path.contains('/') && !["/bin/", "/usr/bin/", "/usr/local/bin/"].iter().any(|folder| path.starts_with(folder)) {
        return false;
    }
    match command.name() {
        "" | "set" | "echo" | "true" | ":" | "export" | "mkdir" | "corepack" | "sleep" | "umask" => true,
        "groupadd" | "useradd" | "addgroup" | "adduser" | "usermod" | "groupmod" => true,
        "apt-get" | "apt" | "apk" | "yum" | "dnf" | "microdnf" | "zypper" | "pacman" => {
            !arguments.iter().any(|a| is_local_file(a))
        }
        "curl" | "wget" => !arguments.iter().any(|argument| argument.starts_with('@') || is_local_file(argument)),
        "rm" => arguments.iter().all(|argument| argument.starts_with(['-', '/'])),
        "npm" => is_harmless_npm(&arguments),
        "yarn" => matches!(arguments.first(), Some(&("cache" | "config" | "global" | "--version" | "set"))),
        "pip" | "pip3" => is_harmless_pip(&arguments, command),
        "python" | "python3" => match arguments.as_slice() {
            ["-m", "pip", rest @ ..] => is_harmless_pip(rest, command),
            ["-m", "venv", ..] | ["--version"] => true,
            _ => false,
        },
        "node" => matches!(arguments.as_slice(), ["--version" | "-v"]),
        _ => false,
    }
}

/// Whether a command works on the sources, so that nothing an install uses comes from it.
pub(super) fn works_on_sources(command: &ShellCommand) -> bool {
    let arguments: Vec<&str> = command.arguments().collect();
    let path = command.words.first().map_or("", |word| word.text.as_str());
    let is_script = |argument: &&str| [".js", ".ts", ".py", ".sh", ".mjs", ".cjs"].iter().any(|end| argument.ends_with(end));
    let is_relative = |argument: &&&str| !argument.starts_with(['-', '/', '$']) && !argument.contains("://");
    match command.name() {
        "make" | "cmake" | "ninja" | "cargo" | "go" | "mvn" | "gradle" | "tsc" | "ng" | "npx" | "vite" | "webpack"
        | "ls" => true,
        "npm" | "yarn" | "pnpm" => matches!(arguments.first(), Some(&("run" | "test" | "build" | "run-script" | "prune"))),
        "chown" | "chmod" | "cp" | "mv" | "sed" | "rm" => arguments.last().is_some_and(|argument| is_relative(&argument)),
        "node" | "sh" | "bash" | "ash" => arguments.iter().filter(is_relative).any(is_script),
        name if name.starts_with("python") => arguments.iter().filter(is_relative).any(is_script),
        _ => path.starts_with("./"),
    }
}

/// `curl ... | sh`: an interpreter that reads its program out of a pipe whose beginning is harmless.
pub(super) fn is_piped_interpreter(command: &ShellCommand, before: Option<&ShellCommand>) -> bool {
    let reads_pipe = command.arguments().all(|argument| argument.starts_with('-')) && !command.compound;
    let name = command.name();
    let interpreter = matches!(name, "sh" | "bash" | "ash" | "node") || name.starts_with("python");
    command.joint == Joint::Pipe
        && reads_pipe
        && interpreter
        && before.is_some_and(|before| is_harmless(before) && before.name() != "echo")
}

fn is_local_file(argument: &str) -> bool {
    argument.starts_with("./") || argument.starts_with("../") || argument.ends_with(".deb") || argument.ends_with(".rpm")
}

fn is_harmless_npm(arguments: &[&str]) -> bool {
    match arguments.first() {
        Some(&("cache" | "config" | "set" | "--version" | "-v")) => true,
        Some(&("install" | "i")) => {
            let global = arguments.iter().any(|argument| matches!(*argument, "-g" | "--global" | "--location=global"));
            let packages = arguments[1..].iter().filter(|argument| !argument.starts_with('-'));
            let mut packages = packages.peekable();
            global && packages.peek().is_some() && packages.all(|package| !package.starts_with(['.', '/']))
        }
        _ => false,
    }
}

fn is_harmless_pip(arguments: &[&str], command: &ShellCommand) -> bool {
    match arguments.first() {
        Some(&("cache" | "config" | "--version")) => true,
        Some(&"install") => {
            let named = !arguments
                .iter()
                .any(|argument| matches!(*argument, "-e" | "--editable" | "-f" | "--find-links" | "-c" | "--constraint"));
            let local = arguments[1..].iter().any(|argument| !argument.starts_with('-') && is_local_package(argument));
            named && !local && Install::of(command).is_none()
        }
        _ => false,
    }
}
