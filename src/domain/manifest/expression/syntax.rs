//! The syntax of expressions: from the text between `${{` and `}}` to a tree, and back to text.
//! Never knows what a name stands for, and computes nothing.

use std::fmt;

/// How deep an expression may nest: operators and parentheses that wait for their end.
const DEPTH_MAX: usize = 32;
/// Bytes of one expression.
const BYTES_MAX: usize = 1_024;

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::domain::manifest) enum Expr {
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written: digits, perhaps a fraction, perhaps an exponent.
    Number(String),
    /// Text in quotes.
    Text(String),
    /// `params.width`: words with dots between them.
    Name(Vec<String>),
    /// `!` or `-` before something.
    Unary(Unary, Box<Expr>),
    /// Two things and an operator between them.
    Binary(Box<Expr>, Binary, Box<Expr>),
    /// `min(…)` or `max(…)` of at least one.
    Call(Function, Vec<Expr>),
}

/// An operator before one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::domain::manifest) enum Unary {
    /// `!`
    Not,
    /// `-`
    Minus,
}

/// An operator between two things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::domain::manifest) enum Binary {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`
    Over,
    /// `%`
    Rest,
}

/// A function of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::domain::manifest) enum Function {
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// Binary operators as they are written; of two that begin alike the longer comes first.
const BINARY: [(&str, Binary); 13] = [
    ("||", Binary::Or),
    ("&&", Binary::And),
    ("==", Binary::Equal),
    ("!=", Binary::NotEqual),
    ("<=", Binary::LessOrEqual),
    (">=", Binary::GreaterOrEqual),
    ("<", Binary::Less),
    (">", Binary::Greater),
    ("+", Binary::Plus),
    ("-", Binary::Minus),
    ("*", Binary::Times),
    ("/", Binary::Over),
    ("%", Binary::Rest),
];

impl Binary {
    /// How tightly it binds: larger binds tighter, equal ones from the left.
    const fn level(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal | Self::NotEqual => 3,
            Self::LessOrEqual | Self::GreaterOrEqual | Self::Less | Self::Greater => 4,
            Self::Plus | Self::Minus => 5,
            Self::Times | Self::Over | Self::Rest => 6,
        }
    }

    /// As it is written.
    pub(in crate::domain::manifest) fn sign(self) -> &'static str {
        BINARY.iter().find(|(_, op)| *op == self).map_or("", |(sign, _)| sign)
    }
}

/// Reads one expression, or says in words what is wrong with it.
pub(in crate::domain::manifest) fn parse(text: &str) -> Result<Expr, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let mut reader = Reader { rest: text.trim(), depth: 0 };
    let expr = reader.binary(0)?;
    match reader.rest {
        "" => Ok(expr),
        rest => Err(format!("`{}` is left over", shown(rest))),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(16).collect()
}

/// What is left to be read; it never begins with a blank.
struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, sign: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(sign) else { return false };
        self.rest = rest.trim_start();
        true
    }

    /// The longest beginning of bytes that satisfy a rule.
    fn word(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|b| !belongs(b)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn binary(&mut self, level: u8) -> Result<Expr, String> {
        let mut left = self.unary()?;
        loop {
            let next = BINARY.iter().find(|(sign, _)| self.rest.starts_with(sign));
            let Some((sign, op)) = next.filter(|(_, op)| op.level() > level) else {
                return Ok(left);
            };
            self.take(sign);
            let right = self.deeper(|reader| reader.binary(op.level()))?;
            left = Expr::Binary(Box::new(left), *op, Box::new(right));
        }
    }

    /// One level deeper: nesting is bounded before the stack is.
    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it nests more than {DEPTH_MAX} deep"));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn unary(&mut self) -> Result<Expr, String> {
        for (sign, op) in [("!", Unary::Not), ("-", Unary::Minus)] {
            if self.take(sign) {
                let inner = self.deeper(Self::unary)?;
                return Ok(Expr::Unary(op, Box::new(inner)));
            }
        }
        self.one()
    }

    fn one(&mut self) -> Result<Expr, String> {
        let first = self.rest.chars().next().ok_or("something is missing at its end")?;
        if self.take("(") {
            let inner = self.deeper(|reader| reader.binary(0))?;
            return if self.take(")") { Ok(inner) } else { Err("a `)` is missing".to_owned()) };
        }
        match first {
            '\'' | '"' => self.quoted(first),
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => self.name(),
            _ => Err(format!("`{}` cannot stand there", shown(self.rest))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Expr, String> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let (text, rest) = inside.split_once(quote).ok_or("a quote is not closed")?;
        self.rest = rest.trim_start();
        Ok(Expr::Text(text.to_owned()))
    }

    fn number(&mut self) -> Result<Expr, String> {
        let start = self.rest;
        self.word(|b| b.is_ascii_digit());
        if self.rest.starts_with('.') {
            self.rest = self.rest.get(1..).unwrap_or_default();
            self.word(|b| b.is_ascii_digit());
        }
        if self.rest.starts_with(['e', 'E']) {
            self.rest = self.rest.get(1..).unwrap_or_default();
            let sign = usize::from(self.rest.starts_with(['+', '-']));
            self.rest = self.rest.get(sign..).unwrap_or_default();
            self.word(|b| b.is_ascii_digit());
        }
        let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        self.rest = self.rest.trim_start();
        let is_whole = text.ends_with(|c: char| c.is_ascii_digit());
        match is_whole && text.parse::<f64>().is_ok_and(f64::is_finite) {
            true => Ok(Expr::Number(text.to_owned())),
            false => Err(format!("`{}` is no number", shown(text))),
        }
    }

    /// Words with dots between them. A `-` belongs to a word if a letter or digit follows it, as
    /// the names of parameters may have one: a subtraction has blanks around it.
    fn name(&mut self) -> Result<Expr, String> {
        let mut words = Vec::new();
        loop {
            let mut word = String::new();
            loop {
                word += self.word(|b| b.is_ascii_alphanumeric() || b == b'_');
                let next = self.rest.strip_prefix('-').and_then(|rest| rest.bytes().next());
                if word.is_empty() || !next.is_some_and(|b| b.is_ascii_alphanumeric()) {
                    break;
                }
                word.push('-');
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
            if word.is_empty() {
                return Err("a name ends in a dot".to_owned());
            }
            words.push(word);
            match self.rest.strip_prefix('.') {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        self.rest = self.rest.trim_start();
        match words.as_slice() {
            [word] if word == "true" => Ok(Expr::Bool(true)),
            [word] if word == "false" => Ok(Expr::Bool(false)),
            [word] if self.rest.starts_with('(') => self.call(word),
            _ => Ok(Expr::Name(words)),
        }
    }

    fn call(&mut self, word: &str) -> Result<Expr, String> {
        let function = match word {
            "min" => Function::Min,
            "max" => Function::Max,
            _ => return Err(format!("there are `min` and `max`, but no `{}`", shown(word))),
        };
        self.take("(");
        let mut values = vec![self.deeper(|reader| reader.binary(0))?];
        while self.take(",") {
            values.push(self.deeper(|reader| reader.binary(0))?);
        }
        if self.take(")") {
            Ok(Expr::Call(function, values))
        } else {
            Err("a `)` is missing".to_owned())
        }
    }
}

impl fmt::Display for Expr {
    /// With parentheses around whatever is inside something else: it reads back as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |expr: &Self| match expr {
            Self::Unary(..) | Self::Binary(..) => format!("({expr})"),
            _ => expr.to_string(),
        };
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) => f.write_str(text),
            Self::Text(text) if text.contains('\'') => write!(f, "\"{text}\""),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Name(words) => f.write_str(&words.join(".")),
            Self::Unary(Unary::Not, of) => write!(f, "!{}", inner(of)),
            Self::Unary(Unary::Minus, of) => write!(f, "-{}", inner(of)),
            Self::Binary(a, op, b) => write!(f, "{} {} {}", inner(a), op.sign(), inner(b)),
            Self::Call(function, values) => {
                let name = if *function == Function::Min { "min" } else { "max" };
                let values: Vec<String> = values.iter().map(Self::to_string).collect();
                write!(f, "{name}({})", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let read = parse(text).map_or_else(|error| error, |expr| expr.to_string());
        assert_eq!(read, expect, "{text}");
    }

    #[test]
    fn operators_bind_as_everywhere() {
        check("1+2*3", "1 + (2 * 3)");
        check("10 - 3 - 2", "(10 - 3) - 2");
        check("-2 * 3", "(-2) * 3");
        check("a.b > 1 && !c.d || true", "((a.b > 1) && (!c.d)) || true");
        check("1 < 2 == true", "(1 < 2) == true");
        check("min(1, max(2, 3)) % 2", "min(1, max(2, 3)) % 2");
        check("(1 + 2) * 3", "(1 + 2) * 3");
    }

    #[test]
    fn names_may_have_a_dash_and_texts_either_quote() {
        check("params.learning-rate", "params.learning-rate");
        check("params.a - 1", "params.a - 1");
        check("params.a-1", "params.a-1");
        check("\"it's\" == 'it'", "\"it's\" == 'it'");
        check("1e-3+0.5", "1e-3 + 0.5");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check("", "something is missing at its end");
        check("1 +", "something is missing at its end");
        check("(1", "a `)` is missing");
        check("'a", "a quote is not closed");
        check("1 2", "`2` is left over");
        check("a..b", "a name ends in a dot");
        check("format('x')", "there are `min` and `max`, but no `format`");
        check("1.", "`1.` is no number");
        check("1e999", "`1e999` is no number");
        check("é", "`é` cannot stand there");
        check(&"(".repeat(500), "it nests more than 32 deep");
        check(&"-".repeat(1_000), "it nests more than 32 deep");
        check(&"1+".repeat(1_000), "it has more than 1024 bytes");
    }

    fn any_expr() -> impl Strategy<Value = Expr> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Expr::Bool),
            "[0-9]{1,9}(\\.[0-9]{1,4})?".prop_map(Expr::Number),
            "[a-z ]{0,6}'?".prop_map(Expr::Text),
            "(params|matrix)\\.[a-z][a-z0-9_]{0,4}(-[a-z])?"
                .prop_map(|name| Expr::Name(name.split('.').map(str::to_owned).collect())),
        ];
        leaf.prop_recursive(5, 40, 3, |inner| {
            let op = prop::sample::select(BINARY.map(|(_, op)| op).to_vec());
            let function = prop::sample::select(vec![Function::Min, Function::Max]);
            let unary = prop::sample::select(vec![Unary::Not, Unary::Minus]);
            prop_oneof![
                (unary, inner.clone()).prop_map(|(op, of)| Expr::Unary(op, Box::new(of))),
                (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| Expr::Binary(
                    Box::new(a),
                    op,
                    Box::new(b)
                )),
                (function, prop::collection::vec(inner, 1..3))
                    .prop_map(|(function, values)| Expr::Call(function, values)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_it_was(expr in any_expr()) {
            prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
        }

        #[test]
        fn any_text_is_answered(text in "[a-c0-9.()!<>=&|+*/%'\"é -]{0,60}") {
            if let Ok(expr) = parse(&text) {
                prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
            }
        }
    }
}
