//! Large bodies, compared by checksum.

use std::time::Duration;

use headgate_lab::pod::Pattern;

use crate::support::Bed;

const LENGTH: u64 = 100_000_000;
const DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn a_hundred_megabytes_down() {
    for bed in Bed::on_each() {
        let expected = Pattern::new(LENGTH, 1).sha256();
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://shop.example.com/bytes/{LENGTH}?seed=1");
            assert_eq!(
                bed.curl().deadline(DEADLINE).sha256(&url).unwrap(),
                expected,
                "{scheme}"
            );
        }
    }
}

#[test]
fn a_body_of_unknown_length_down() {
    for bed in Bed::on_each() {
        let sum = bed
            .curl()
            .sha256("http://shop.example.com/chunked/5000001?seed=2")
            .unwrap();
        assert_eq!(sum, Pattern::new(5_000_001, 2).sha256());
    }
}

#[test]
fn a_hundred_megabytes_up() {
    for bed in Bed::on_each() {
        let file = bed.lab.directory().join("upload");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
        for chunk in Pattern::new(LENGTH, 3) {
            std::io::Write::write_all(&mut out, &chunk).unwrap();
        }
        std::io::Write::flush(&mut out).unwrap();
        let expected = Pattern::new(LENGTH, 3).sha256();
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://shop.example.com/upload");
            // curl streams the file; `--data-binary` would read it whole first.
            let curl = bed
                .curl()
                .args(&["--upload-file", &file.display().to_string()])
                .deadline(DEADLINE);
            let answer = curl.get(&url).unwrap();
            assert!(answer.body.contains(&expected), "{scheme}: {answer:?}");
            assert!(
                answer.body.contains(&format!("\"bytes\":{LENGTH}")),
                "{scheme}: {answer:?}"
            );
        }
    }
}
