//! Field, operator and value into a condition.

use glovebox_abi::{Kind, units};

use super::expression::{Condition, Format, NameTest, NumberField, Place, Root};
use super::parse::{Element, Operator, Parser, Scope, Word, read_path};
use super::path::Path;
use super::pattern::{Pattern, Search};
use super::value::{Literal, Member, Order, ValueTest};
use super::{FilterError, FilterProblem};
use glovebox_events::Direction;
use glovebox_trace::{Directions, Kinds, Numbers, Statuses};

/// The fields, in the order in which they are offered.
pub(super) const FIELDS: [&str; 16] = [
    "plugin", "kind", "dir", "status", "latency", "size", "time", "call", "instance", "gen",
    "version", "text", "header", "payload", "json", "cbor",
];

/// The fields that tell something about a frame by itself.
const FRAME_FIELDS: [&str; 7] = ["kind", "size", "text", "header", "payload", "json", "cbor"];

/// Operators of fields whose values have no order.
const EQUALITY: &str = ": = != in";

pub(super) fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// True for what has a path behind it.
pub(super) fn has_paths(name: &str) -> bool {
    root(name).is_some()
}

fn root(name: &str) -> Option<Root> {
    let roots = [Format::Any, Format::Json, Format::Cbor].map(Root::Payload);
    roots.into_iter().chain([Root::Header]).find(|root| root.name() == name)
}

/// The field before an operator.
pub(super) struct Field<'a> {
    /// All of it.
    text: &'a str,
    start: usize,
    /// Up to the path.
    name: &'a str,
    /// The path, or how many bytes behind the name it goes wrong.
    path: Result<Path, usize>,
}

impl<'a> Field<'a> {
    pub(super) fn read(text: &'a str, start: usize) -> Field<'a> {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        match has_paths(&text[..end]) {
            true => Field { text, start, name: &text[..end], path: read_path(&text[end..]) },
            false => Field { text, start, name: text, path: Ok(Path(Vec::new())) },
        }
    }

    pub(super) fn is_known(&self) -> bool {
        is_field(self.name)
    }

    fn error(&self, problem: FilterProblem) -> FilterError {
        FilterError::new(self.start, problem)
    }

    /// Refuses what is no field, or none that a frame alone has.
    fn check(&self, scope: Scope) -> Result<(), FilterError> {
        if !self.is_known() {
            let root = self.text.split('.').next().unwrap_or(self.text);
            let problem = FilterProblem::UnknownField { field: self.text.to_owned() };
            return Err(self.error(problem).suggesting(root, FIELDS));
        }
        if scope == Scope::Frame && !FRAME_FIELDS.contains(&self.name) {
            let (field, known) = (self.name.to_owned(), FRAME_FIELDS.join(", "));
            return Err(self.error(FilterProblem::FieldOfCall { field, known }));
        }
        Ok(())
    }
}

/// Reads what stands behind the operator. The caller negates `!=` and `!~`.
pub(super) fn read<'a>(
    parser: &mut Parser<'a>,
    field: &Field<'a>,
    operator: Operator,
    operator_at: usize,
) -> Result<Condition, FilterError> {
    field.check(parser.scope)?;
    let mut reader = Reader { parser, field, operator, operator_at };
    if let Some(root) = root(field.name) {
        return reader.inside(root);
    }
    Ok(match field.name {
        "plugin" => Condition::Plugin(reader.name()?),
        "version" => Condition::Version(reader.name()?),
        "kind" => Condition::Kind(reader.kinds()?),
        "dir" => Condition::Direction(reader.directions()?),
        "status" => Condition::Status(reader.statuses()?),
        "latency" => reader.number(NumberField::Latency)?,
        "time" => reader.number(NumberField::Time)?,
        "size" => reader.number(NumberField::Size)?,
        "call" => reader.number(NumberField::Call)?,
        "instance" => reader.number(NumberField::Instance)?,
        "gen" => reader.number(NumberField::Generation)?,
        _ => Condition::Search(Place::Anywhere, reader.search(": = != ~ !~")?),
    })
}

struct Reader<'p, 'a> {
    parser: &'p mut Parser<'a>,
    field: &'p Field<'a>,
    operator: Operator,
    operator_at: usize,
}

impl Reader<'_, '_> {
    fn wrong_operator<T>(&self, known: &'static str) -> Result<T, FilterError> {
        let problem = FilterProblem::Operator {
            field: self.field.text.to_owned(),
            operator: self.operator.symbol().to_owned(),
            known,
        };
        Err(FilterError::new(self.operator_at, problem))
    }

    fn value(&mut self) -> Result<Word, FilterError> {
        self.parser.value(self.field.text)
    }

    fn elements(&mut self) -> Result<Vec<Element>, FilterError> {
        self.parser.elements(self.field.text)
    }

    fn no_range<T>(&self, at: usize) -> Result<T, FilterError> {
        let field = self.field.text.to_owned();
        Err(FilterError::new(at, FilterProblem::NoRange { field }))
    }

    /// The values of a field that can only be equal: one of them, or a set.
    fn names(&mut self, known: &'static str) -> Result<Vec<Word>, FilterError> {
        match self.operator {
            Operator::Contains | Operator::Equal | Operator::NotEqual => Ok(vec![self.value()?]),
            Operator::In => {
                let elements = self.elements()?.into_iter();
                let one = |element| match element {
                    Element::One(word) => Ok(word),
                    Element::Range { at, .. } => self.no_range(at),
                };
                elements.map(one).collect()
            }
            _ => self.wrong_operator(known),
        }
    }

    fn name(&mut self) -> Result<NameTest, FilterError> {
        match self.operator {
            Operator::Contains | Operator::Match | Operator::NotMatch => {
                self.search("").map(NameTest::Search)
            }
            _ => {
                let names = self.names(": = != ~ !~ in")?;
                Ok(NameTest::Among(names.into_iter().map(|name| name.text).collect()))
            }
        }
    }

    /// A text with `:`, a pattern with `~`.
    fn search(&mut self, known: &'static str) -> Result<Search, FilterError> {
        match self.operator {
            Operator::Match | Operator::NotMatch => self.parser.pattern(),
            Operator::Contains | Operator::Equal | Operator::NotEqual => {
                let Word { at, text, .. } = self.value()?;
                let search = Search::new(Pattern::Contains(text));
                search.map_err(|problem| FilterError::new(at, problem))
            }
            _ => self.wrong_operator(known),
        }
    }

    fn kinds(&mut self) -> Result<Kinds, FilterError> {
        let mut kinds = Kinds::default();
        let elements = match self.operator {
            Operator::In => self.elements()?,
            _ => self.names(EQUALITY)?.into_iter().map(Element::One).collect(),
        };
        for element in elements {
            let (at, first, last) = match element {
                Element::One(word) => {
                    let kind = read_kind(&word)?;
                    (word.at, kind, kind)
                }
                Element::Range { at, first, last } => {
                    let first = first.as_ref().map_or(Ok(Kind::HANDSHAKE), read_kind)?;
                    (at, first, last.as_ref().map_or(Ok(Kind(u8::MAX)), read_kind)?)
                }
            };
            if last < first {
                return Err(FilterError::new(at, FilterProblem::Backwards));
            }
            (first.0..=last.0).for_each(|kind| kinds.insert(Kind(kind)));
        }
        Ok(kinds)
    }

    fn directions(&mut self) -> Result<Directions, FilterError> {
        let mut directions = Directions::default();
        for Word { at, text, .. } in self.names(EQUALITY)? {
            let direction = match text.as_str() {
                "in" => Direction::In,
                "out" => Direction::Out,
                _ => {
                    let (what, known) = ("direction", "in or out");
                    return Err(FilterError::new(
                        at,
                        FilterProblem::Value { value: text, what, known },
                    ));
                }
            };
            directions = directions.with(Directions::of(direction));
        }
        Ok(directions)
    }

    fn statuses(&mut self) -> Result<Statuses, FilterError> {
        let mut statuses = Statuses::NONE;
        for Word { at, text, .. } in self.names(EQUALITY)? {
            let Some(status) = Statuses::named(&text) else {
                let known = "pending, ok, error, denied, injected, or an outcome";
                let problem = FilterProblem::Value { value: text.clone(), what: "status", known };
                return Err(FilterError::new(at, problem).suggesting(&text, Statuses::names()));
            };
            statuses = statuses.with(status);
        }
        Ok(statuses)
    }

    fn number(&mut self, field: NumberField) -> Result<Condition, FilterError> {
        let read = |word: &Word| read_number(field, word);
        let spans = match self.operator {
            Operator::Match | Operator::NotMatch => {
                return self.wrong_operator(": = != > >= < <= in");
            }
            Operator::In => {
                let span = |element| match element {
                    Element::One(word) => read(&word).map(Numbers::of),
                    Element::Range { at, first, last } => {
                        let first = first.as_ref().map_or(Ok(0), read)?;
                        let last = last.as_ref().map_or(Ok(u64::MAX), read)?;
                        let problem = FilterProblem::Backwards;
                        match first <= last {
                            true => Ok(Numbers { first, last }),
                            false => Err(FilterError::new(at, problem)),
                        }
                    }
                };
                self.elements()?.into_iter().map(span).collect::<Result<_, _>>()?
            }
            operator => {
                let number = read(&self.value()?)?;
                let (first, last) = match operator {
                    Operator::Greater => (number.checked_add(1), Some(u64::MAX)),
                    Operator::GreaterOrEqual => (Some(number), Some(u64::MAX)),
                    Operator::Less => (Some(0), number.checked_sub(1)),
                    Operator::LessOrEqual => (Some(0), Some(number)),
                    _ => (Some(number), Some(number)),
                };
                let span = first.zip(last).map(|(first, last)| Numbers { first, last });
                vec![span.unwrap_or(Numbers::NONE)]
            }
        };
        Ok(Condition::Number(field, spans))
    }

    /// A value in a header or payload, or a search in all of it.
    fn inside(&mut self, root: Root) -> Result<Condition, FilterError> {
        let path = match &self.field.path {
            Ok(path) => path.clone(),
            Err(at) => {
                let at = self.field.start + self.field.name.len() + at;
                return Err(FilterError::new(at, FilterProblem::EmptyStep));
            }
        };
        if !path.0.is_empty() {
            return Ok(Condition::Value(root, path, self.value_test()?));
        }
        let place = match root {
            Root::Header => Some(Place::Header),
            Root::Payload(Format::Any) => Some(Place::Payload),
            Root::Payload(_) => None,
        };
        match (place, self.operator) {
            (Some(place), Operator::Contains | Operator::Match | Operator::NotMatch) => {
                Ok(Condition::Search(place, self.search("")?))
            }
            _ => Err(self.field.error(FilterProblem::NoPath { field: root.name().to_owned() })),
        }
    }

    fn value_test(&mut self) -> Result<ValueTest, FilterError> {
        let order = match self.operator {
            Operator::Contains => return self.search("").map(ValueTest::Contains),
            Operator::Match | Operator::NotMatch => {
                return self.search("").map(ValueTest::Pattern);
            }
            Operator::In => {
                let members = self.elements()?.into_iter().map(read_member);
                return members.collect::<Result<_, _>>().map(ValueTest::Among);
            }
            Operator::Equal | Operator::NotEqual => Order::Equal,
            Operator::Greater => Order::Greater,
            Operator::GreaterOrEqual => Order::GreaterOrEqual,
            Operator::Less => Order::Less,
            Operator::LessOrEqual => Order::LessOrEqual,
        };
        let Word { text, quoted, .. } = self.value()?;
        Ok(ValueTest::Compare(order, Literal::new(text, quoted)))
    }
}

fn read_kind(word: &Word) -> Result<Kind, FilterError> {
    word.text.parse().map_err(|unknown: glovebox_abi::UnknownKind| {
        let names = Kind::NAMED.iter().map(|(_, name)| *name);
        FilterError::new(word.at, unknown).suggesting(&word.text, names)
    })
}

fn read_number(field: NumberField, word: &Word) -> Result<u64, FilterError> {
    let Word { at, text, .. } = word;
    let unit = |problem: units::UnitError| FilterError::new(*at, problem);
    match field {
        NumberField::Latency | NumberField::Time => {
            let duration = units::parse_duration(text).map_err(unit)?;
            // A larger latency than fits is read as the largest.
            Ok(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
        }
        NumberField::Size => units::parse_size(text).map_err(unit),
        NumberField::Call | NumberField::Instance | NumberField::Generation => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            digits.parse().map_err(|_| {
                let (value, what, known) = (text.clone(), "number", "digits only, such as 42");
                FilterError::new(*at, FilterProblem::Value { value, what, known })
            })
        }
    }
}

fn read_member(element: Element) -> Result<Member, FilterError> {
    let literal = |word: Word| Literal::new(word.text, word.quoted);
    match element {
        Element::One(word) => Ok(Member::One(literal(word))),
        Element::Range { at, first, last } => {
            let (first, last) = (first.map(literal), last.map(literal));
            if let (Some(first), Some(last)) = (&first, &last)
                && first.order_to(last).is_gt()
            {
                return Err(FilterError::new(at, FilterProblem::Backwards));
            }
            Ok(Member::Range(first, last))
        }
    }
}
