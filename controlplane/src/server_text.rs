//! What API servers write into the metadata of objects, in little room.

use std::fmt;

/// A `metadata.uid` or `metadata.resourceVersion`. Servers use UUIDs for the one (RFC 9562 section 4) and numbers for the
/// other, though nobody may count on it; as texts they took as much room as all else that is kept of a version.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerText(Form);

/// What can be written in a shorter form always is: equal texts have equal forms.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// In decimal digits, without zeros in front.
    Number(u64),
    /// In lower case, with hyphens. Bytes, since a `u128` would be aligned to 16.
    Uuid([u8; 16]),
    Text(Box<str>),
}

/// Where hyphens stand in a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl From<&str> for ServerText {
    fn from(text: &str) -> Self {
        let number = || {
            let canonical = text == "0" || text.bytes().next().is_some_and(|b| (b'1'..=b'9').contains(&b));
            text.parse().ok().filter(|_| canonical).map(Form::Number)
        };
        let form = uuid(text).map(Form::Uuid).or_else(number);
        Self(form.unwrap_or_else(|| Form::Text(text.into())))
    }
}

impl From<String> for ServerText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || HYPHENS.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text
        .iter()
        .enumerate()
        .filter(|(at, _)| !HYPHENS.contains(at))
        .map(|(_, digit)| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        });
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    Some(uuid)
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Number(number) => write!(f, "{number}"),
            Form::Uuid(uuid) => {
                for (at, byte) in uuid.iter().enumerate() {
                    let hyphen = if [4, 6, 8, 10].contains(&at) { "-" } else { "" };
                    write!(f, "{hyphen}{byte:02x}")?;
                }
                Ok(())
            }
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_are_almost_short_stay_as_they_are() {
        for text in [
            "",
            "0",
            "00",
            "01",
            "+1",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
            "5a1a6ac7-8c2c-4a0f-9c4b-0123456789ab",
            "5A1A6AC7-8C2C-4A0F-9C4B-0123456789AB",
            "5a1a6ac7-8c2c-4a0f-9c4b-0123456789ag",
            "5a1a6ac7-8c2c-4a0f-9c4b00123456789ab",
            "5a1a6ac7-8c2c-4a0f-9c4b-0123456789a",
            "5a1a6ac7-8c2c-4a0f-9c4b-0123456789é",
        ] {
            assert_eq!(ServerText::from(text).to_string(), text);
        }
        assert_eq!(size_of::<ServerText>(), 24);
    }

    proptest! {
        #[test]
        fn a_text_is_the_same_after_its_way(text in "[0-9]{1,20}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|.*") {
            prop_assert_eq!(ServerText::from(&*text).to_string(), text);
        }

        #[test]
        fn different_texts_differ(a in "[0-2]{0,3}", b in "[0-2]{0,3}") {
            prop_assert_eq!(ServerText::from(&*a) == ServerText::from(&*b), a == b);
        }
    }
}
