//! An object of a cluster on its way to the store.

use serde_json::Value;

/// An object as JSON text. A value takes ten times the room of its text, in pieces: what is kept while thousands of values
/// wait comes to lie between them, and the gaps that they leave stay with the process. So an object is a value only as
/// long as somebody looks at it, and text while it waits.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectText(Box<str>);

impl ObjectText {
    /// The object; `null` where it cannot be read again, which no kind of object is.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// As JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Of text that is JSON.
impl From<String> for ObjectText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&Value> for ObjectText {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

/// Without what it says: it may be a Secret.
impl std::fmt::Debug for ObjectText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_the_same_after_its_way() {
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1e300, -2.5e-7]);
        let mut object = json!({"a \"quoted\"\n": ["\u{1}", "ü", null, true, {}], "numbers": numbers});
        // As deep as what was read once can be.
        for _ in 0..100 {
            object = json!({ "in": object });
        }
        let text = ObjectText::from(&object);
        assert_eq!(text.value(), object);
        assert_eq!(ObjectText::from(text.as_str().to_owned()), text);
        assert!(!format!("{text:?}").contains("quoted"));
    }
}
