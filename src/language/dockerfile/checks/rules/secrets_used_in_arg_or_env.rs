//! SecretsUsedInArgOrEnv: Sensitive data should not be used in the ARG or ENV commands.

use crate::language::dockerfile::Keyword;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `validateNoSecretKey` of BuildKit.
pub struct SecretsUsedInArgOrEnv;

static RULE: Rule = Rule {
    name: "SecretsUsedInArgOrEnv",
    description: "Sensitive data should not be used in the ARG or ENV commands",
    url: Some("https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/"),
    experimental: false,
    why: "Values of ARG and ENV stay in the image: in its configuration and its history. A secret mount (`RUN --mount=type=secret`) gives a value to one command and leaves no trace.",
    bad: "FROM scratch\nARG AWS_SECRET_ACCESS_KEY\n",
    good: "FROM alpine\nRUN --mount=type=secret,id=aws_key aws-command\n",
};

impl Check for SecretsUsedInArgOrEnv {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (_, step) in facts.steps() {
            let instruction = match step.instruction.keyword {
                Keyword::Arg => "ARG",
                Keyword::Env => "ENV",
                _ => continue,
            };
            for name in step.words.iter().filter(|name| is_secret(name)) {
                let message = format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
                found.push(Finding::at(step.place, step.place.span, message).with_options_of(step.at));
            }
        }
        found
    }
}

/// Words that make a name that of a secret.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
/// Words that say that it is none after all.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Whether one of the words between underscores is that of a secret and none is harmless, in any case.
pub fn is_secret(name: &str) -> bool {
    let has = |list: &[&str]| name.split('_').any(|word| list.iter().any(|known| word.eq_ignore_ascii_case(known)));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names_of_secrets() {
        for name in ["api_key", "DATABASE_PASSWORD", "secret_MESSAGE", "AUTH"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PUBLIC_KEY", "PASSWORD_FILE", "TOKEN_VERSION", "monkey", "AUTHOR", "API-KEY"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
