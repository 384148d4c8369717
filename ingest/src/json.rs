//! Writing JSON by hand, for the two places that make events by the million.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as a JSON string, quotes included.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1F => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..at]);
        clean = at + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

/// Appends a whole number.
pub fn integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `value` in exactly `width` decimal digits; higher digits are cut off.
pub fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = value;
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Appends `id` in the form of a UUID, without quotes.
pub fn uuid(out: &mut Vec<u8>, id: u128) {
    for (at, byte) in id.to_be_bytes().into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_string_reads_back_as_it_was() {
        let text = "a \"b\" \\ \n\r\t \u{0}\u{1}\u{1f}\u{7f} é 日本 🦀";
        let json = written(|out| string(out, text));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert!(json.contains("\\u0000") && json.contains("\\u001f"), "{json}");
    }

    #[test]
    fn numbers_are_written_whole() {
        assert_eq!(written(|out| integer(out, 0)), "0");
        assert_eq!(written(|out| integer(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|out| padded(out, 7, 3)), "007");
        assert_eq!(written(|out| padded(out, 1234, 2)), "34");
    }

    #[test]
    fn an_identifier_has_the_form_of_a_uuid() {
        let text = written(|out| uuid(out, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));
        assert_eq!(text, "00112233-4455-6677-8899-aabbccddeeff");
    }
}
