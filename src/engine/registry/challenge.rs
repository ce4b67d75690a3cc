//! `WWW-Authenticate`: what a registry wants to see.

/// A way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token, which is fetched at the realm.
    Bearer {
        /// Who gives tokens.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what; the registry knows best.
        scope: Option<String>,
    },
}

/// Reads the header; a token is preferred where both are offered. None when neither is.
///
/// Source: RFC 9110 section 11.6.1.
pub fn parse(header: &str) -> Option<Challenge> {
    let mut basic = None;
    let mut rest = header.trim();
    while !rest.is_empty() {
        let (scheme, after) = rest.split_once([' ', ',']).unwrap_or((rest, ""));
        let (parameters, left) = parameters(after);
        let get = |name: &str| parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        if scheme.eq_ignore_ascii_case("bearer") {
            let realm = get("realm")?;
            return Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
        rest = left;
    }
    basic
}

/// `name=value` and `name="value"` pairs up to the next scheme.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let name_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        let Some(after) = rest[name_end..].strip_prefix('=').filter(|_| name_end > 0) else { return (out, rest) };
        let name = rest[..name_end].to_owned();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        out.push((name, value));
        rest = left;
    }
}

fn unquote(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, &text[at + 1..]),
            '\\' => out.extend(chars.next().map(|(_, c)| c)),
            c => out.push(c),
        }
    }
    (out, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_registries_and_junk() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into), scope: scope.map(Into::into) })
        };
        let one = r#"Bearer realm="https://a/token",service="r.example",scope="repository:x:pull,push""#;
        assert_eq!(parse(one), bearer("https://a/token", Some("r.example"), Some("repository:x:pull,push")));
        assert_eq!(parse(r#"Basic realm="x", Bearer realm="https://a/t""#), bearer("https://a/t", None, None));
        assert_eq!(parse(r#"bearer realm="a\"b" , service=s"#), bearer("a\"b", Some("s"), None));
        assert_eq!(parse("Basic"), Some(Challenge::Basic));
        assert_eq!(parse("Basic realm=x"), Some(Challenge::Basic));
        for junk in ["", "Digest realm=\"x\"", "Bearer", "Bearer service=\"x\"", "=,=\"", "\u{1b}[31m", "Bearer realm"] {
            assert_eq!(parse(junk), None, "{junk:?}");
        }
    }
}
