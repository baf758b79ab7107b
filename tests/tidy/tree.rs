//! The sources as text: what is written, what of it is code, and what of that is not a test.
//! Never judges: the other files of this folder do.

use std::path::{Path, PathBuf};

/// One file of the package.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its path below the package, with `/`.
    pub(crate) path: String,
    /// Everything.
    pub(crate) text: String,
    /// Without comments and without the content of literals: blanks stand for them, so that
    /// lines keep their numbers. Empty for files that are not Rust.
    pub(crate) code: String,
    /// The code without what is compiled for tests only.
    pub(crate) live: String,
}

/// The files of the package that people write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// In order of path.
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// The package that this test belongs to.
    #[track_caller]
    pub(crate) fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<PathBuf> = Vec::new();
        for folder in ["src", "tests", "docs", "manifests", "plugins", "schemas", "examples"] {
            collect(&root.join(folder), &mut paths);
        }
        let top = std::fs::read_dir(root).unwrap_or_else(|error| panic!("{root:?}: {error}"));
        let top = top.filter_map(|entry| Some(entry.ok()?.path()));
        paths.extend(top.filter(|path| path.is_file()));
        paths.push(root.join(".ci/run"));
        let mut files: Vec<File> = paths.iter().filter_map(|path| read(root, path)).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(files.len() > 50, "only {} files below {root:?}", files.len());
        Self { files }
    }

    /// A tree of made-up files: the offenders that checks are tested with.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new(path, text)).collect();
        Self { files }
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The Rust files of the product.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &File> {
        self.rust().filter(|file| file.path.starts_with("src/"))
    }

    /// One file.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

/// A file that is not text is nobody's prose.
fn read(root: &Path, path: &Path) -> Option<File> {
    let text = std::fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root).ok()?.to_str()?.replace('\\', "/");
    Some(File::new(&path, &text))
}

impl File {
    /// A file and its views.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let is_rust = path.ends_with(".rs");
        let code = if is_rust { without_prose(text) } else { String::new() };
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs");
        let live = if is_test { blank(&code) } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, live }
    }

    /// The path of its module below `src`: `["domain", "state", "order"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let is_root = |name: &&str| !matches!(*name, "mod" | "lib" | "main");
        path.split('/').filter(is_root).collect()
    }
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Blanks out comments, strings and characters.
fn without_prose(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = chars.get(at..).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied();
        let prose = prose_at(rest, before).clamp(0, rest.len());
        if prose == 0 {
            code.extend(rest.first());
            at += 1;
        } else {
            let gone: String = rest.iter().take(prose).collect();
            code.push_str(&blank(&gone));
            at += prose;
        }
    }
    code
}

/// The length of the comment or literal that begins here; 0 if none does.
fn prose_at(rest: &[char], before: Option<char>) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        ['r', '"' | '#', ..] if !before.is_some_and(|c| is_word(c) && c != 'b') => raw(rest),
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0usize);
    loop {
        match rest.get(at..).unwrap_or_default() {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth.saturating_sub(1), at + 2),
            [] => return at,
            _ => at += 1,
        }
    }
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while let Some(c) = rest.get(at) {
        match c {
            '\\' => at += 2,
            c if *c == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn raw(rest: &[char]) -> usize {
    let hashes = rest.iter().skip(1).take_while(|c| **c == '#').count();
    if rest.get(hashes + 1) != Some(&'"') {
        return 0; // a raw identifier
    }
    let mut end = vec!['"'];
    end.resize(hashes + 1, '#');
    let body = rest.get(hashes + 2..).unwrap_or_default();
    let close = body.windows(end.len()).position(|window| window == end);
    close.map_or(rest.len(), |close| hashes + 2 + close + end.len())
}

/// Blanks out what is compiled for tests only.
fn without_tests(code: &str) -> String {
    let mut live = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, from) = rest.split_at(at);
        let (item, after) = from.split_at(item_end(from));
        live.push_str(before);
        live.push_str(&blank(item));
        rest = after;
    }
    live + rest
}

/// Where the item that begins here ends: at its semicolon, or at the end of its braces.
pub(crate) fn item_end(code: &str) -> usize {
    let mut open = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if open == 0 => return at + 1,
            '{' => open += 1,
            '}' if open <= 1 => return at + 1,
            '}' => open -= 1,
            _ => {}
        }
    }
    code.len()
}

/// One word or sign of code, and the line where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// Where it begins, in bytes.
    pub(crate) at: usize,
}

/// Words, `::`, and every other sign for itself.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut line, mut at) = (Vec::new(), 1, 0);
    while let Some(first) = code.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = code.get(at..).unwrap_or_default();
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let text = rest.get(..length).unwrap_or_default();
        if !first.is_whitespace() {
            tokens.push(Token { text, line, at });
        }
        line += usize::from(first == '\n');
        at += length;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let file = File::new("src/x.rs", text);
        assert_eq!(file.live.lines().count(), text.lines().count(), "lines keep their numbers");
        let words: Vec<&str> = tokens(&file.live).iter().map(|token| token.text).collect();
        assert_eq!(words.join(" "), expect);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        check("a // b\n/* c /* d */ e */ f", "a f");
        check(r#"a("b \" c", 'd', '\'', "//") e"#, "a ( , , , ) e");
        check("a(r#\"b \" c\"#, br\"d\") e", "a ( , b ) e");
        check("fn a<'b>(c: &'b str) {}", "fn a < ' b > ( c : & ' b str ) { }");
    }

    #[test]
    fn tests_are_not_live() {
        check("a\n#[cfg(test)]\nmod tests {\n  fn b() { c }\n}\nd", "a d");
        check("#[cfg(test)]\nmod tests;\nd", "d");
        assert_eq!(File::new("tests/it/x.rs", "a").live.trim(), "");
    }

    #[test]
    fn a_file_knows_its_module() {
        assert_eq!(File::new("src/a/mod.rs", "").module(), ["a"]);
        assert_eq!(File::new("src/a/b/c.rs", "").module(), ["a", "b", "c"]);
        assert!(File::new("src/lib.rs", "").module().is_empty());
    }
}
