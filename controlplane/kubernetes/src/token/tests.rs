use super::*;

#[test]
fn line_ends_are_no_part_of_a_token_and_line_breaks_are_told() {
    for text in ["abc", "abc\n", "abc\r\n", " abc \n\n"] {
        assert_eq!(bearer(text).unwrap(), "Bearer abc");
    }
    let told = |text| bearer(text).unwrap_err().to_string();
    assert_eq!(
        told("abc\ndef\n"),
        "has a line break in it, at byte 3, which no header can carry"
    );
    assert_eq!(
        told("a\0"),
        "has a control character in it, at byte 1, which no header can carry"
    );
}

#[test]
fn a_file_is_read_again_and_what_is_no_token_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let start = Instant::now();
    let error = TokenFile::open(&path, start).unwrap_err();
    assert!(error.to_string().starts_with("cannot be read: "), "{error}");
    std::fs::write(&path, "a\nb").unwrap();
    let error = TokenFile::open(&path, start).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("holds a token that has a line break"),
        "{error}"
    );
    std::fs::write(&path, "first\n").unwrap();
    let file = TokenFile::open(&path, start).unwrap();
    std::fs::write(&path, "second\n").unwrap();
    let at = |seconds| file.header(start + Duration::from_secs(seconds));
    assert_eq!(at(10), "Bearer first");
    assert_eq!(at(50), "Bearer second");
    std::fs::write(&path, "third\nfourth").unwrap();
    assert_eq!(at(100), "Bearer second");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(at(150), "Bearer second");
    std::fs::write(&path, "fifth").unwrap();
    assert_eq!(at(199), "Bearer second");
    assert_eq!(at(200), "Bearer fifth");
}
