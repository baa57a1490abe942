//! How data and text get into the page unharmed.
//!
//! Invariants: nothing that comes from a user's file can end a tag, an attribute or a script.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Text for HTML, in content and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters have no place in HTML.
            letter if letter.is_control() && letter != '\n' && letter != '\t' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Below this, JSON goes in as it is.
const PLAIN: usize = 8 * 1024;

/// A script element that carries `json`: as it is when small, else compressed and in base64.
pub(super) fn data_element(id: &str, json: &str) -> String {
    if json.len() < PLAIN {
        // `<` never stands in JSON outside of strings, and inside them this is the same letter.
        return format!("<script type=\"application/json\" id=\"{id}\">{}</script>\n", json.replace('<', "\\u003c"));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(json.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
    format!("<script type=\"application/gzip\" id=\"{id}\">{}</script>\n", base64(&packed))
}

/// RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn nothing_ends_a_script_or_a_tag() {
        let element = data_element("d", "{\"name\":\"</script><img src=x onerror=alert(1)>\"}");
        assert_eq!(element.matches("</").count(), 1);
        assert!(!element.contains("<img"));
        assert_eq!(escape("<a href='x\"&\u{0}>"), "&lt;a href=&#39;x&quot;&amp;\u{fffd}&gt;");
    }
}
