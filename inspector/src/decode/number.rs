//! Numbers as they are written, compared exactly.

use std::cmp::Ordering;

/// A decimal number of any size: digits times a power of ten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    is_negative: bool,
    /// Before and behind the point.
    digits: [&'a [u8]; 2],
    /// Number of digits before the point once the exponent is applied, without zeros in front.
    magnitude: i128,
    /// Zeros in front of the first other digit.
    zeros: usize,
    is_zero: bool,
}

impl<'a> Decimal<'a> {
    /// Reads a number as JSON has it; also `.5`, `5.` and `+5`. `None` if it is none, or its exponent has
    /// more than 36 digits.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            text => (false, text),
        };
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (text, exponent) = match end {
            Some(end) => (&text[..end], parse_exponent(&text[end + 1..])?),
            None => (text, 0),
        };
        let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
        let digits = [&text[..point], text.get(point + 1..).unwrap_or_default()];
        let mut all = digits.iter().flat_map(|part| part.iter());
        if !all.clone().all(u8::is_ascii_digit) {
            return None;
        }
        all.clone().next()?;
        let zeros = all.clone().take_while(|digit| **digit == b'0').count();
        let is_zero = all.all(|digit| *digit == b'0');
        let magnitude = exponent + digits[0].len() as i128 - zeros as i128;
        Some(Decimal { is_negative, digits, magnitude, zeros, is_zero })
    }

    fn significant(self) -> impl Iterator<Item = u8> + use<'a> {
        let [before, behind] = self.digits;
        before.iter().chain(behind).skip(self.zeros).copied()
    }

    /// How two numbers stand to each other; −0 and 0 are equal.
    pub(crate) fn compare(self, other: Decimal<'_>) -> Ordering {
        let sign = |number: Decimal<'_>| match (number.is_zero, number.is_negative) {
            (true, _) => 0,
            (_, true) => -1,
            _ => 1,
        };
        let order = sign(self).cmp(&sign(other));
        if order.is_ne() || self.is_zero {
            return order;
        }
        let sizes = self.magnitude.cmp(&other.magnitude).then_with(|| {
            let (mut left, mut right) = (self.significant(), other.significant());
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return Ordering::Equal,
                    (left, right) => {
                        let order = left.unwrap_or(b'0').cmp(&right.unwrap_or(b'0'));
                        if order.is_ne() {
                            return order;
                        }
                    }
                }
            }
        });
        if self.is_negative { sizes.reverse() } else { sizes }
    }

    /// The number as a whole one times a power of ten; `None` if it is too long for that, or its size too
    /// far from 1.
    fn scaled(self) -> Option<(i128, i32)> {
        if self.is_zero {
            return Some((0, 0));
        }
        let mut whole = 0i128;
        for digit in self.significant() {
            whole = whole.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        let exponent = self.magnitude - self.significant().count() as i128;
        let exponent = i32::try_from(exponent).ok()?;
        Some((if self.is_negative { -whole } else { whole }, exponent))
    }

    /// True if two numbers are at most `limit` apart, as a part of the larger one, or of 1 if both are
    /// smaller. Exact; `None` of numbers that are too long for that.
    pub(crate) fn is_within(self, other: Decimal<'_>, limit: Decimal<'_>) -> Option<bool> {
        let (left, right, limit) = (self.scaled()?, other.scaled()?, limit.scaled()?);
        let least = left.1.min(right.1).min(0);
        let ten = |power: i32| 10i128.checked_pow(u32::try_from(power).ok()?);
        let at_least = |(whole, exponent): (i128, i32)| whole.checked_mul(ten(exponent - least)?);
        let (left, right, one) = (at_least(left)?, at_least(right)?, ten(-least)?);
        let apart = left.checked_sub(right)?.checked_abs()?;
        let size = left.checked_abs()?.max(right.checked_abs()?).max(one);
        let (limit, exponent) = limit;
        let apart = apart.checked_mul(ten((-exponent).max(0))?)?;
        Some(apart <= size.checked_mul(limit)?.checked_mul(ten(exponent.max(0))?)?)
    }

    /// The number, if it is an integer from −2⁶⁴ to 2⁶⁴ − 1 that floats do not have besides (−0).
    pub(crate) fn integer(self) -> Option<i128> {
        /// Digits of 2⁶⁴.
        const DIGITS: i128 = 20;
        if self.is_zero {
            return (!self.is_negative).then_some(0);
        }
        let places = usize::try_from(self.magnitude).ok().filter(|_| self.magnitude <= DIGITS)?;
        let mut digits = self.significant().chain(std::iter::repeat_n(b'0', places));
        let whole = digits.by_ref().take(places);
        let size = whole.fold(0, |size, digit| size * 10 + i128::from(digit - b'0'));
        if digits.any(|digit| digit != b'0') {
            return None;
        }
        let number = if self.is_negative { -size } else { size };
        (-(1 << 64)..1 << 64).contains(&number).then_some(number)
    }

    /// True if the number is exactly this float, or the shortest text for it.
    pub(crate) fn is_float(self, float: f64) -> bool {
        let is = |text: String| {
            Decimal::parse(text.as_bytes()).is_some_and(|found| self.compare(found).is_eq())
        };
        // No float has more digits behind its point.
        float.is_finite() && (is(format!("{float:e}")) || is(format!("{float:.1074}")))
    }
}

fn parse_exponent(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    let is_one = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(zeros..)?;
    if !is_one || digits.len() > 36 {
        return None;
    }
    let size = digits.iter().fold(0, |size, digit| size * 10 + i128::from(digit - b'0'));
    Some(if text.starts_with(b"-") { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_exactly() {
        fn check(left: &str, right: &str, expected: Ordering) {
            let parse =
                |text| Decimal::parse(str::as_bytes(text)).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(parse(left).compare(parse(right)), expected, "{left} {right}");
            assert_eq!(parse(right).compare(parse(left)), expected.reverse(), "{right} {left}");
        }
        use Ordering::{Equal, Greater, Less};
        check("123456789012345678901", "123456789012345678902", Less);
        check("9007199254740993", "9007199254740992", Greater);
        check("1e2", "100", Equal);
        check("1E+2", "100.000", Equal);
        check("0.10", ".1", Equal);
        check("-0", "0.00e7", Equal);
        check("-0.5", "0", Less);
        check("-2", "-10", Greater);
        check("1e400", "1e399", Greater);
        check("1e-400", "0", Greater);
        check("000120e-1", "12", Equal);
        check("0.000123", "1.23e-4", Equal);
        check("1e100000000000000000000", "9e99999999999999999999", Greater);
        check("18446744073709551615", "18446744073709551616", Less);
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for text in ["", "-", ".", "e1", "1e", "1e+", "0x10", "1.2.3", "NaN", "1 "] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn floats_are_known_by_what_they_are() {
        fn check(text: &str, expected: bool) {
            let float = text.parse().expect("a float");
            let number = Decimal::parse(text.as_bytes()).expect("a number");
            assert_eq!(number.is_float(float), expected, "{text}");
        }
        check("0.1", true);
        check("0.10", true);
        check("0.1000000000000000055511151231257827021181583404541015625", true);
        check("0.10000000000000000555", false);
        check("1e300", true);
        check("5e-324", true);
        check("-0", true);
        check("123456789012345678901", false);
        check("123456789012345680000", true);
        check("1e400", false);
    }
}
