//! Names of members: written with escapes, met twice, sent by the thousand, of another version.

use super::*;

/// An event as text, with more members of the envelope and of `data` in front.
fn with(envelope: &str, data: &str) -> String {
    format!(
        r#"{{{envelope}"specversion":"1.0","id":"1","source":"/a","type":"onboarding.input.submitted","subject":"s","time":"2026-03-01T00:00:00Z","clientid":"c","data":{{{data}"step":"a"}}}}"#
    )
}

#[track_caller]
fn twice(text: &str, message: &str) {
    let rejection = rejected(text.as_bytes());
    assert_eq!((rejection.code, rejection.message.as_str()), (Code::MalformedJson, message));
}

#[test]
fn an_escaped_name_is_the_name() {
    let text = with("", "").replace("\"id\"", r#""\u0069d""#).replace("step", r"st\u0065p");
    let decoded = decode(text.as_bytes(), &context(&[])).unwrap();
    assert_eq!((&*decoded.id, decoded.fields.step.as_deref()), ("1", Some("a")));
    assert_eq!(decoded.extensions, None);
    twice(&with(r#""\u0069d":"2","#, ""), "id is given twice");
}

#[test]
fn a_name_stands_once_whatever_it_names() {
    twice(&with(r#""id":null,"#, ""), "id is given twice");
    twice(&with(r#""data":null,"#, ""), "data is given twice");
    twice(&with(r#""data_base64":null,"data_base64":null,"#, ""), "data_base64 is given twice");
    twice(&with(r#""x":1,"x":1,"#, ""), "x is given twice");
    twice(&with("", r#""y":1,"y":2,"#), "data.y is given twice");
    twice(&with("", r#""step":null,"#), "data.step is given twice");
    let long = "n".repeat(5_000);
    let message = rejected(with(&format!(r#""{long}":1,"{long}":1,"#), "").as_bytes()).message;
    assert!(message.len() < 100, "{message}");
}

#[test]
fn thousands_of_names_are_read_in_linear_time() {
    let many: String = (0..60_000).map(|k| format!("\"x{k}\":1,")).collect();
    let text = with(&many, &many);
    let record = RecordContext { max_bytes: 4 << 20, ..context(&[]) };
    let began = std::time::Instant::now();
    assert!(decode(text.as_bytes(), &record).is_ok());
    // Compared in pairs they are 3.6 billion comparisons: minutes in an unoptimised build.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert!(decode(with(&many, r#""x7":1,"x7":1,"#).as_bytes(), &record).is_err());
    let late = many.clone() + r#""x7":1,"#;
    assert!(decode(with(&late, "").as_bytes(), &record).is_err());
}

#[test]
fn extensions_are_json_whatever_their_names() {
    let text = with(r#""a\"b":1,"é":"\u00e9","datacontenttype":"application/json","#, "");
    let decoded = decode(text.as_bytes(), &context(&[])).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&decoded.extensions.unwrap()).unwrap();
    let sent = serde_json::json!({"a\"b": 1, "é": "é", "datacontenttype": "application/json"});
    assert_eq!(kept, sent);
}

#[test]
fn a_newer_name_in_an_old_version_is_a_stranger() {
    let old = r#""dataschema":"x/onboarding.input.submitted/v0","#;
    for data in [r#""text_length":3,"characters":"many","#, r#""characters":[],"text_length":3,"#] {
        let text = with(old, data);
        let decoded = decode(text.as_bytes(), &context(&[])).unwrap();
        assert_eq!(decoded.fields.characters, Some(3), "{data}");
    }
    for version in ["v+1", "v01", "v", "v1.0", "V1", "v4294967297"] {
        let text = with(&old.replace("v0", version), "");
        assert_eq!(rejected(text.as_bytes()).code, Code::UnsupportedVersion, "{version}");
    }
}

#[test]
fn texts_that_are_only_kept_are_checked_too() {
    let kept = [
        r"\ud800",
        r"\udc00",
        r"\ud800\u0041",
        r"\ud83d\ud83d",
        r"\u12",
        r"\u12g4",
        r"\u+123",
        r#"\u","z":""#,
        r"\x41",
        "\u{0}",
        "\t",
        "\u{1f}",
    ];
    for text in kept {
        for record in
            [with("", &format!("\"z\":\"{text}\",")), with(&format!("\"z\":\"{text}\","), "")]
        {
            assert_eq!(rejected(record.as_bytes()).code, Code::MalformedJson, "{text:?}");
        }
    }
    for text in [r"\ud83d\ude00", r"\u0000", r"\\ud800", "\u{7f}", "\u{feff}"] {
        assert!(decode(with("", &format!("\"z\":\"{text}\",")).as_bytes(), &context(&[])).is_ok());
    }
    let marked = format!("\u{feff}{}", with("", ""));
    assert!(rejected(marked.as_bytes()).message.contains("byte order mark"));
}

#[test]
fn a_content_type_of_cloudevents_means_structured_mode() {
    let id: (&str, &[u8]) = ("ce_id", b"1");
    assert!(is_binary(&[id]));
    assert!(is_binary(&[id, ("content-type", b"application/json")]));
    assert!(!is_binary(&[id, ("Content-Type", b"application/CloudEvents+json; charset=utf-8")]));
    assert!(!is_binary(&[("content-type", b"application/json")]));
}

#[test]
fn headers_count_into_the_size_and_stand_once() {
    let long = vec![b'x'; 1 << 20];
    let rejection = decode_binary(&[("ce_x", &long)], b"", &context(&[])).unwrap_err();
    assert_eq!(rejection.code, Code::TooLarge);
    let twice: [(&str, &[u8]); 2] = [("ce_id", b"1"), ("ce_id", b"1")];
    let rejection = decode_binary(&twice, b"", &context(&[])).unwrap_err();
    assert_eq!((rejection.code, &*rejection.message), (Code::NotCloudevents, "id is given twice"));
}
