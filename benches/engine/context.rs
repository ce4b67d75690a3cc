//! Source trees of the shape that projects have: sizes far apart (log-normal), about twelve files a folder, up to eight deep.
//! The same numbers give the same tree.

use std::path::Path;

const WORDS: &str = "fn let mut return match impl struct enum self build layer cache digest context stage mount path write \
    read open import from const export default function async await if else for while class def None True False string";
const ENDS: [&str; 8] = ["rs", "go", "py", "js", "ts", "json", "md", "c"];

/// Writes `files` files of `bytes` in all and a Dockerfile.
pub fn write(folder: &Path, files: usize, bytes: usize, seed: u64, dockerfile: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let mut random = Random(seed);
    let text = text(&mut random, 4 << 20);
    let folders = folders(&mut random, files / 12);
    for name in &folders {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let sizes: Vec<f64> = (0..files).map(|_| random.log_normal()).collect();
    let scale = bytes as f64 / sizes.iter().sum::<f64>().max(1.0);
    for (at, size) in sizes.iter().enumerate() {
        let size = ((size * scale) as usize + 20).min(3 << 20);
        let start = random.below(text.len() - size);
        let end = ENDS[random.below(ENDS.len())];
        let path = folder.join(&folders[random.below(folders.len())]).join(format!("f{at:06}.{end}"));
        let mut content = format!("// {seed} {at}\n").into_bytes();
        content.extend_from_slice(&text[start..start + size]);
        std::fs::write(path, content).unwrap();
    }
}

/// Changes one file, differently for every number.
pub fn touch(folder: &Path, number: usize) {
    std::fs::write(folder.join("touched.txt"), format!("{number} {:?}\n", std::time::SystemTime::now())).unwrap();
}

fn folders(random: &mut Random, count: usize) -> Vec<String> {
    let mut out = vec![".".to_owned()];
    while out.len() < count {
        let parent = if random.below(10) < 6 { random.below(out.len()) } else { out.len() - 1 };
        if out[parent].matches('/').count() < 7 {
            out.push(format!("{}/dir{}", out[parent], out.len()));
        }
    }
    out
}

fn text(random: &mut Random, len: usize) -> Vec<u8> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut out = Vec::new();
    while out.len() < len {
        let line: Vec<&str> = (0..2 + random.below(9)).map(|_| words[random.below(words.len())]).collect();
        out.extend_from_slice(format!("    {} // {:08x}\n", line.join(" "), random.next() as u32).as_bytes());
    }
    out
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    /// Box and Muller's normal number, as an exponent.
    fn log_normal(&mut self) -> f64 {
        let (one, two) = (self.unit(), self.unit());
        (1.5 * (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()).exp()
    }
}
