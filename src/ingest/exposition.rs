//! The text format 0.0.4 of Prometheus, read as a Pushgateway reads it, and refused with its words:
//! clients and their authors know them. (Behaviour recorded from Pushgateway 1.5.1; a test sends the
//! same bodies to both.)
//!
//! Only families of plain samples are kept apart by their labels; of histograms and summaries only
//! the form is checked, not whether they fit together.

pub mod quote;
pub mod series;

use quote::{quote, quote_byte};
use std::collections::{HashMap, HashSet};

/// A metric family as pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Its type: `None` as long as no line says it.
    pub kind: Option<FamilyKind>,
    /// Its samples in the order sent.
    pub samples: Vec<Sample>,
    help: bool,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Label names and values in the order sent.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// Whether the line ends with a timestamp.
    pub timestamped: bool,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Parses a body; families in the order of their first line, without empty ones. The error is the
/// sentence a Pushgateway answers with.
pub fn parse(body: &[u8]) -> Result<Vec<Family>, String> {
    let mut parser = Parser { rest: body, line: 0, families: Vec::new(), by_name: HashMap::new() };
    loop {
        parser.line += 1;
        match parser.line() {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => {
                let why = match why {
                    Stop::EndOfInput => "unexpected end of input stream".to_owned(),
                    Stop::Wrong(why) => why,
                };
                return Err(format!("text format parsing error in line {}: {why}", parser.line));
            }
        }
    }
    Ok(parser.families.into_iter().filter(|family| !family.samples.is_empty()).collect())
}

enum Stop {
    EndOfInput,
    Wrong(String),
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(why.into()))
}

struct Parser<'b> {
    /// What is not read yet.
    rest: &'b [u8],
    line: usize,
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

impl<'b> Parser<'b> {
    /// The next byte, which stays.
    fn peek(&self) -> Result<u8, Stop> {
        self.rest.first().copied().ok_or(Stop::EndOfInput)
    }

    fn take(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Ok(byte)
    }

    fn skip_blanks(&mut self) {
        let end = self.rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// Everything up to the first byte that ends it, which must be there.
    fn token(&mut self, ends: impl Fn(u8) -> bool) -> Result<&'b [u8], Stop> {
        let end = self.rest.iter().position(|byte| ends(*byte)).ok_or(Stop::EndOfInput)?;
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(token)
    }

    fn word(&mut self) -> Result<&'b [u8], Stop> {
        self.token(|byte| is_blank(byte) || byte == b'\n')
    }

    /// A name, empty if none begins here. `colons`: as metrics may have.
    fn name(&mut self, colons: bool) -> Result<String, Stop> {
        let colon = |byte: u8| colons && byte == b':';
        let first = self.peek()?;
        if !is_name_start(first) && !colon(first) {
            return Ok(String::new());
        }
        let name =
            self.token(|byte| !is_name_start(byte) && !byte.is_ascii_digit() && !colon(byte))?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// Reads one line; `false` at the end of the body.
    fn line(&mut self) -> Result<bool, Stop> {
        self.skip_blanks();
        match self.rest.first() {
            None => return Ok(false),
            Some(b'\n') => drop(self.take()?),
            Some(b'#') => {
                self.take()?;
                self.comment()?;
            }
            Some(_) => self.sample()?,
        }
        Ok(true)
    }

    fn at_line_end(&mut self) -> Result<bool, Stop> {
        let ends = self.peek()? == b'\n';
        if ends {
            self.take()?;
        }
        Ok(ends)
    }

    fn comment(&mut self) -> Result<(), Stop> {
        self.skip_blanks();
        let keyword = self.word()?;
        if keyword != b"HELP" && keyword != b"TYPE" {
            self.token(|byte| byte == b'\n')?;
            self.take()?;
            return Ok(());
        }
        self.skip_blanks();
        if self.at_line_end()? {
            return Ok(());
        }
        let name = self.name(true)?;
        if self.at_line_end()? {
            return Ok(());
        }
        if !is_blank(self.peek()?) {
            return wrong("invalid metric name in comment");
        }
        let family = self.family(&name);
        self.skip_blanks();
        if self.at_line_end()? {
            return Ok(());
        }
        if keyword == b"HELP" { self.help(family) } else { self.kind(family) }
    }

    fn help(&mut self, family: usize) -> Result<(), Stop> {
        if self.families[family].help {
            let name = quote(self.families[family].name.as_bytes());
            return wrong(format!("second HELP line for metric name {name}"));
        }
        self.families[family].help = true;
        loop {
            match self.take()? {
                b'\n' => return Ok(()),
                b'\\' => match self.take()? {
                    b'\\' | b'n' => {}
                    other => {
                        return wrong(format!("invalid escape sequence '\\{}'", char::from(other)));
                    }
                },
                _ => {}
            }
        }
    }

    fn kind(&mut self, family: usize) -> Result<(), Stop> {
        if self.families[family].kind.is_some() {
            return wrong(format!(
                "second TYPE line for metric name {}, or TYPE reported after samples",
                quote(self.families[family].name.as_bytes())
            ));
        }
        let word = self.token(|byte| byte == b'\n')?;
        self.take()?;
        let kind = match word.to_ascii_uppercase().as_slice() {
            b"COUNTER" => FamilyKind::Counter,
            b"GAUGE" => FamilyKind::Gauge,
            b"SUMMARY" => FamilyKind::Summary,
            b"UNTYPED" => FamilyKind::Untyped,
            b"HISTOGRAM" => FamilyKind::Histogram,
            b"GAUGE_HISTOGRAM" => FamilyKind::GaugeHistogram,
            _ => return wrong(format!("unknown metric type {}", quote(word))),
        };
        self.families[family].kind = Some(kind);
        Ok(())
    }

    fn sample(&mut self) -> Result<(), Stop> {
        let name = self.name(true)?;
        if name.is_empty() {
            return wrong("invalid metric name");
        }
        let family = self.family(&name);
        self.families[family].kind.get_or_insert(FamilyKind::Untyped);
        self.peek()?;
        self.skip_blanks();
        let mut labels = Vec::new();
        if self.peek()? == b'{' {
            self.take()?;
            labels = self.labels(family)?;
            self.skip_blanks();
            self.peek()?;
        }
        let word = self.word()?;
        let Some(value) = parse_float(word) else {
            return wrong(format!("expected float as value, got {}", quote(word)));
        };
        let timestamped = !self.at_line_end()?;
        if timestamped {
            self.timestamp()?;
        }
        self.families[family].samples.push(Sample { labels, value, timestamped });
        Ok(())
    }

    fn timestamp(&mut self) -> Result<(), Stop> {
        self.skip_blanks();
        let word = self.word()?;
        if std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok()).is_none() {
            return wrong(format!("expected integer as timestamp, got {}", quote(word)));
        }
        let behind = self.token(|byte| byte == b'\n')?;
        self.take()?;
        if !behind.is_empty() {
            return wrong(format!("spurious string after timestamp: {}", quote(behind)));
        }
        Ok(())
    }

    fn labels(&mut self, family: usize) -> Result<Vec<(String, String)>, Stop> {
        let metric = quote(self.families[family].name.as_bytes());
        let (mut labels, mut names) = (Vec::new(), HashSet::new());
        loop {
            self.skip_blanks();
            if self.peek()? == b'}' {
                break;
            }
            let name = self.name(false)?;
            if name.is_empty() {
                return wrong(format!("invalid label name for metric {metric}"));
            }
            if name == "__name__" {
                return wrong("label name \"__name__\" is reserved");
            }
            self.skip_blanks();
            let found = self.peek()?;
            if found != b'=' {
                return wrong(format!(
                    "expected '=' after label name, found {}",
                    quote_byte(found)
                ));
            }
            if !names.insert(name.clone()) {
                return wrong(format!("duplicate label names for metric {metric}"));
            }
            self.take()?;
            let value = self.label_value()?;
            self.check_bound(family, &name, &value)?;
            labels.push((name, value));
            self.skip_blanks();
            match self.peek()? {
                b',' => drop(self.take()?),
                b'}' => break,
                _ => {
                    let (_, value): &(String, String) = &labels[labels.len() - 1];
                    let value = quote(value.as_bytes());
                    return wrong(format!("unexpected end of label value {value}"));
                }
            }
        }
        self.take()?;
        Ok(labels)
    }

    /// The labels that are bounds, `le` and `quantile`, must be numbers.
    fn check_bound(&self, family: usize, label: &str, value: &str) -> Result<(), Stop> {
        let bound = match self.families[family].kind {
            Some(FamilyKind::Summary) => "quantile",
            Some(FamilyKind::Histogram) => "le",
            _ => return Ok(()),
        };
        if label == bound && parse_float(value.as_bytes()).is_none() {
            let got = quote(value.as_bytes());
            return wrong(format!("expected float as value for '{bound}' label, got {got}"));
        }
        Ok(())
    }

    fn label_value(&mut self) -> Result<String, Stop> {
        self.skip_blanks();
        let found = self.peek()?;
        if found != b'"' {
            let found = quote_byte(found);
            return wrong(format!("expected '\"' at start of label value, found {found}"));
        }
        self.take()?;
        let mut value = Vec::new();
        loop {
            match self.take()? {
                b'"' => break,
                b'\n' => {
                    let value = quote(&value);
                    return wrong(format!("label value {value} contains unescaped new-line"));
                }
                b'\\' => match self.take()? {
                    b'n' => value.push(b'\n'),
                    byte @ (b'"' | b'\\') => value.push(byte),
                    other => {
                        return wrong(format!("invalid escape sequence '\\{}'", char::from(other)));
                    }
                },
                byte => value.push(byte),
            }
        }
        String::from_utf8(value)
            .or_else(|error| wrong(format!("invalid label value {}", quote(error.as_bytes()))))
    }

    /// The family of a metric name: of a histogram or summary also by its `_bucket`, `_sum`, `_count`.
    fn family(&mut self, name: &str) -> usize {
        let bases = [
            (name, None),
            (name.strip_suffix("_sum").unwrap_or_default(), Some(FamilyKind::Summary)),
            (name.strip_suffix("_count").unwrap_or_default(), Some(FamilyKind::Summary)),
            (name.strip_suffix("_sum").unwrap_or_default(), Some(FamilyKind::Histogram)),
            (name.strip_suffix("_count").unwrap_or_default(), Some(FamilyKind::Histogram)),
            (name.strip_suffix("_bucket").unwrap_or_default(), Some(FamilyKind::Histogram)),
        ];
        for (base, kind) in bases {
            if let Some(known) = self.by_name.get(base)
                && (kind.is_none() || self.families[*known].kind == kind)
            {
                return *known;
            }
        }
        let family = Family { name: name.to_owned(), kind: None, samples: Vec::new(), help: false };
        self.families.push(family);
        self.by_name.insert(name.to_owned(), self.families.len() - 1);
        self.families.len() - 1
    }
}

/// A float as Go reads it: no hexadecimal, no underscores, no overflow, no sign before NaN.
fn parse_float(word: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(word).ok()?;
    let value = text.parse::<f64>().ok()?;
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let signed_nan = value.is_nan() && text.starts_with(['+', '-']);
    let overflow = value.is_infinite() && digits;
    (!overflow && !signed_nan).then_some(value)
}
