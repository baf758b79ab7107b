//! From text to a formula: a reader of words, and one function for each line of the grammar.
//! Never panics, whatever the text, and never builds what is deeper or larger than its bounds.

use super::{Expr, FUNCTIONS, KEYWORDS, Op};

/// Bytes of a formula as a person writes it.
pub(super) const BYTES_MAX: usize = 1024;
/// Bytes of a canonical text: blanks and brackets are added, and `1e15` is written out.
pub(super) const CANONICAL_BYTES_MAX: usize = 16 * BYTES_MAX;
/// How deep a formula may nest, in nodes and in brackets.
const DEPTH_MAX: usize = 32;

/// Why a text is no formula, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Bytes of the text before the place.
    pub at: usize,
    /// What is wrong: one sentence without a full stop.
    pub message: String,
    /// What to do about it; empty if there is nothing to say.
    pub hint: String,
}

/// A word of the text.
#[derive(Clone, PartialEq, Debug)]
enum Word<'a> {
    Number(&'a str),
    Text(String),
    Bare(&'a str),
    Quoted(String),
    Sign(&'static str),
    End,
}

/// The signs, the longer before those that they begin with.
const SIGNS: &[&str] =
    &["==", "!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ","];
const TESTS: &[(&str, Op)] = &[
    ("=", Op::Eq),
    ("==", Op::Eq),
    ("!=", Op::Ne),
    ("<>", Op::Ne),
    ("<", Op::Lt),
    ("<=", Op::Le),
    (">", Op::Gt),
    (">=", Op::Ge),
];
const SUMS: &[(&str, Op)] = &[("+", Op::Add), ("-", Op::Sub)];
const PRODUCTS: &[(&str, Op)] = &[("*", Op::Mul), ("/", Op::Div), ("%", Op::Rem)];

/// The formula that all of a text describes.
pub(super) fn formula(text: &str, bytes_max: usize) -> Result<Expr, Unreadable> {
    if text.len() > bytes_max {
        let message = format!("a formula has at most {bytes_max} bytes");
        return Err(unreadable(0, message, "derive parts of it as columns first"));
    }
    let mut parser = Parser { text, at: 0, start: 0, word: Word::End, nested: 0 };
    parser.advance()?;
    let node = parser.or()?;
    match &parser.word {
        Word::End => Ok(node.expr),
        _ => Err(parser.unexpected("the formula could end here")),
    }
}

fn unreadable(at: usize, message: impl Into<String>, hint: impl Into<String>) -> Unreadable {
    Unreadable { at, message: message.into(), hint: hint.into() }
}

/// A node and how deep it is.
struct Node {
    expr: Expr,
    depth: usize,
}

impl Node {
    const fn leaf(expr: Expr) -> Self {
        Self { expr, depth: 1 }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Where the next word is looked for.
    at: usize,
    /// Where the present word begins.
    start: usize,
    word: Word<'a>,
    nested: usize,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Node, Unreadable> {
        self.chain("or", Op::Or, Self::and)
    }

    fn and(&mut self) -> Result<Node, Unreadable> {
        self.chain("and", Op::And, Self::not)
    }

    /// `a and b and c` is one node of three.
    fn chain(
        &mut self,
        word: &str,
        op: Op,
        operand: fn(&mut Self) -> Result<Node, Unreadable>,
    ) -> Result<Node, Unreadable> {
        let first = operand(self)?;
        if !self.is_keyword(word) {
            return Ok(first);
        }
        let mut nodes = vec![first];
        while self.is_keyword(word) {
            self.advance()?;
            nodes.push(operand(self)?);
        }
        self.apply(op, nodes)
    }

    fn not(&mut self) -> Result<Node, Unreadable> {
        if !self.is_keyword("not") {
            return self.test();
        }
        let operand = self.nest(|parser| {
            parser.advance()?;
            parser.not()
        })?;
        self.apply(Op::Not, vec![operand])
    }

    fn test(&mut self) -> Result<Node, Unreadable> {
        let left = self.sum()?;
        if let Some(op) = self.one_of(TESTS)? {
            let right = self.sum()?;
            if self.sign_of(TESTS).is_some() {
                let hint = "such as `a < b and b < c`";
                return Err(unreadable(self.start, "comparisons do not chain", hint));
            }
            return self.apply(op, vec![left, right]);
        }
        if self.is_keyword("is") {
            self.advance()?;
            let negated = self.skip_keyword("not")?;
            if !self.skip_keyword("null")? {
                return Err(self.unexpected("after `is` stands `null` or `not null`"));
            }
            let test = self.apply(Op::IsNull, vec![left])?;
            return if negated { self.apply(Op::Not, vec![test]) } else { Ok(test) };
        }
        let negated = self.skip_keyword("not")?;
        if !self.is_keyword("in") {
            return if negated { Err(self.unexpected("`in` follows here")) } else { Ok(left) };
        }
        self.advance()?;
        let mut nodes = vec![left];
        nodes.extend(self.list()?);
        let test = self.apply(Op::In, nodes)?;
        if negated { self.apply(Op::Not, vec![test]) } else { Ok(test) }
    }

    fn sum(&mut self) -> Result<Node, Unreadable> {
        let mut left = self.product()?;
        while let Some(op) = self.one_of(SUMS)? {
            let right = self.product()?;
            left = self.apply(op, vec![left, right])?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, Unreadable> {
        let mut left = self.sign()?;
        while let Some(op) = self.one_of(PRODUCTS)? {
            let right = self.sign()?;
            left = self.apply(op, vec![left, right])?;
        }
        Ok(left)
    }

    fn sign(&mut self) -> Result<Node, Unreadable> {
        if self.word != Word::Sign("-") {
            return self.atom();
        }
        self.advance()?;
        // The smallest integer has no positive twin: a sign belongs to the number after it.
        if let Word::Number(digits) = self.word {
            let number = self.number(&format!("-{digits}"))?;
            self.advance()?;
            return Ok(Node::leaf(number));
        }
        let operand = self.nest(Self::sign)?;
        match operand.expr {
            Expr::Integer(value) if value != i64::MIN => {
                Ok(Node::leaf(Expr::Integer(value.wrapping_neg())))
            }
            Expr::Real(value) => {
                Ok(Node::leaf(Expr::Real(f64::from_bits(value.to_bits() ^ (1 << 63)))))
            }
            _ => self.apply(Op::Neg, vec![operand]),
        }
    }

    fn atom(&mut self) -> Result<Node, Unreadable> {
        let start = self.start;
        let word = self.word.clone();
        let leaf = match word {
            Word::Number(digits) => self.number(digits)?,
            Word::Text(text) => Expr::Text(text),
            Word::Quoted(name) => Expr::Column(name),
            Word::Sign("(") => {
                self.advance()?;
                let node = self.nest(Self::or)?;
                self.close()?;
                return Ok(node);
            }
            Word::Bare(name) => match KEYWORDS.iter().find(|k| k.eq_ignore_ascii_case(name)) {
                Some(&"null") => Expr::Null,
                Some(&"true") => Expr::Truth(true),
                Some(&"false") => Expr::Truth(false),
                Some(_) => return Err(self.unexpected("a value is expected here")),
                None => {
                    self.advance()?;
                    return if self.word == Word::Sign("(") {
                        self.call(name, start)
                    } else {
                        Ok(Node::leaf(Expr::Column(name.to_owned())))
                    };
                }
            },
            Word::Sign(_) | Word::End => {
                return Err(self.unexpected("a value is expected here"));
            }
        };
        self.advance()?;
        Ok(Node::leaf(leaf))
    }

    fn call(&mut self, name: &str, start: usize) -> Result<Node, Unreadable> {
        let find = |f: &&(&str, Op, usize, usize)| f.0.eq_ignore_ascii_case(name);
        let Some((name, op, least, most)) = FUNCTIONS.iter().find(find) else {
            let names: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            let shown: String = name.chars().take(40).collect();
            let hint = format!("there are {}", names.join(", "));
            return Err(unreadable(start, format!("there is no function `{shown}`"), hint));
        };
        let nodes = self.list()?;
        if nodes.len() < *least || nodes.len() > *most {
            let count = match (least, most) {
                (1, 1) => "one argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, _) => format!("at least {least} arguments"),
            };
            let message = format!("`{name}` takes {count}, not {}", nodes.len());
            return Err(unreadable(start, message, ""));
        }
        self.apply(*op, nodes)
    }

    /// `(a, b)`
    fn list(&mut self) -> Result<Vec<Node>, Unreadable> {
        if self.word != Word::Sign("(") {
            return Err(self.unexpected("`(` is expected here"));
        }
        let mut nodes = Vec::new();
        loop {
            self.advance()?;
            nodes.push(self.nest(Self::or)?);
            if self.word != Word::Sign(",") {
                break;
            }
        }
        self.close()?;
        Ok(nodes)
    }

    fn close(&mut self) -> Result<(), Unreadable> {
        if self.word != Word::Sign(")") {
            return Err(self.unexpected("`)` is expected here"));
        }
        self.advance()
    }

    fn number(&self, digits: &str) -> Result<Expr, Unreadable> {
        if let Ok(value) = digits.parse() {
            return Ok(Expr::Integer(value));
        }
        match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Expr::Real(value)),
            _ => Err(unreadable(self.start, "the number is beyond the range of reals", "")),
        }
    }

    fn apply(&self, op: Op, nodes: Vec<Node>) -> Result<Node, Unreadable> {
        let depth = 1 + nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let args = nodes.into_iter().map(|node| node.expr).collect();
        Ok(Node { expr: Expr::Apply(op, args), depth })
    }

    /// Goes one bracket or sign deeper: the depth of calls is bounded as that of nodes is.
    fn nest<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        if self.nested == DEPTH_MAX {
            return Err(self.too_deep());
        }
        self.nested += 1;
        let result = inner(self);
        self.nested -= 1;
        result
    }

    fn too_deep(&self) -> Unreadable {
        let hint = "derive parts of it as columns first";
        unreadable(self.start, format!("a formula nests at most {DEPTH_MAX} deep"), hint)
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.word, Word::Bare(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn skip_keyword(&mut self, keyword: &str) -> Result<bool, Unreadable> {
        let found = self.is_keyword(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn sign_of(&self, table: &[(&str, Op)]) -> Option<Op> {
        let Word::Sign(sign) = self.word else { return None };
        table.iter().find(|(each, _)| *each == sign).map(|(_, op)| *op)
    }

    fn one_of(&mut self, table: &[(&str, Op)]) -> Result<Option<Op>, Unreadable> {
        let found = self.sign_of(table);
        if found.is_some() {
            self.advance()?;
        }
        Ok(found)
    }

    fn unexpected(&self, hint: &str) -> Unreadable {
        if self.word == Word::End {
            return unreadable(self.start, "the formula ends too early", hint);
        }
        let found = self.text.get(self.start..self.at).unwrap_or_default();
        let shown: String = found.trim().chars().take(40).collect();
        unreadable(self.start, format!("`{shown}` does not belong here"), hint)
    }

    /// Reads the next word.
    fn advance(&mut self) -> Result<(), Unreadable> {
        let left = self.text.get(self.at..).unwrap_or_default();
        let rest = left.trim_start();
        self.start = self.at + left.len() - rest.len();
        self.at = self.start;
        let Some(first) = rest.chars().next() else {
            self.word = Word::End;
            return Ok(());
        };
        let while_ = |is: fn(char) -> bool| rest.find(|c| !is(c)).unwrap_or(rest.len());
        let (word, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = while_(|c| c.is_ascii_alphanumeric() || c == '_');
                (Word::Bare(rest.get(..length).unwrap_or_default()), length)
            }
            '0'..='9' => {
                let length = number_length(rest);
                (Word::Number(rest.get(..length).unwrap_or_default()), length)
            }
            '\'' | '`' => {
                let (text, length) = quoted(rest, first).ok_or_else(|| {
                    let hint = format!("end it with {first}; two of them stand for one");
                    unreadable(self.start, format!("{first} is opened but not closed"), hint)
                })?;
                (if first == '\'' { Word::Text(text) } else { Word::Quoted(text) }, length)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Word::Sign(sign), sign.len()),
                None => return Err(self.stray(first)),
            },
        };
        if word == Word::Quoted(String::new()) {
            return Err(unreadable(self.start, "a column has a name", ""));
        }
        self.at += length;
        self.word = word;
        Ok(())
    }

    fn stray(&self, c: char) -> Unreadable {
        let hint = match c {
            '"' => "text stands in single quotes, a column in backticks",
            '.' => "a number begins with a digit: 0.5",
            '&' => "write `and`",
            '|' => "write `or`",
            '!' => "write `not`",
            _ if c.is_alphanumeric() => "write the column in backticks",
            _ => "",
        };
        unreadable(self.start, format!("`{}` means nothing here", c.escape_debug()), hint)
    }
}

/// The length of a number: digits, perhaps a fraction, perhaps an exponent.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let has = |at: usize, signs: &[u8]| text.as_bytes().get(at).is_some_and(|b| signs.contains(b));
    let mut end = digits(0);
    if has(end, b".") && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if has(end, b"eE") {
        let from = end + 1 + usize::from(has(end + 1, b"+-"));
        end = if digits(from) > from { digits(from) } else { end };
    }
    end
}

/// What stands between two quotes, and the length with them; a quote is written as two.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            inside.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            inside.push(quote);
        } else {
            return Some((inside, at + 1));
        }
    }
    None
}
