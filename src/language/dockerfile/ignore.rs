//! placeholder until the language branch lands
pub fn go_match(pattern: &str, name: &str) -> Result<bool, ()> {
    fn m(p: &[char], n: &[char]) -> bool {
        match p.first() {
            None => n.is_empty(),
            Some('*') => (0..=n.len()).any(|i| m(&p[1..], &n[i..])),
            Some('?') => !n.is_empty() && m(&p[1..], &n[1..]),
            Some(c) => n.first() == Some(c) && m(&p[1..], &n[1..]),
        }
    }
    Ok(m(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>()))
}
