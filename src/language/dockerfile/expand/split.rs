//! Words of an expansion.

/// Splits at blanks as characters come in.
#[derive(Default)]
pub(super) struct Words {
    word: String,
    words: Vec<String>,
}

impl Words {
    pub fn add(&mut self, character: char) {
        if !character.is_whitespace() {
            self.word.push(character);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    pub fn add_raw(&mut self, character: char) {
        self.word.push(character);
    }

    pub fn add_text(&mut self, text: &str) {
        text.chars().for_each(|character| self.add(character));
    }

    pub fn add_quoted(&mut self, text: &str) {
        self.word.push_str(text);
    }

    pub fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}
