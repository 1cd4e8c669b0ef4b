//! The examples of RFC 7541, appendix C, and blocks of another implementation.

use super::{bytes, decode};
use crate::h2::hpack::block::Block;
use crate::h2::hpack::{Decoder, encoder, field};

#[test]
fn integers_are_those_of_c_1() {
    for (prefix, number, hex) in [
        (5, 10, "0a"),
        (5, 1_337, "1f9a0a"),
        (8, 42, "2a"),
        (7, u32::MAX as usize, "7f80ffffff0f"),
    ] {
        let bytes = bytes(hex);
        let mut block = Block(&bytes);
        assert_eq!(block.integer(prefix), Ok(number));
        assert!(block.0.is_empty());
        let mut written = Vec::new();
        encoder::integer(0, prefix, number, &mut written);
        assert_eq!(written, bytes);
    }
}

/// Blocks of one connection: bytes, fields in lines, and the size of the table after it.
type Exchange = [(&'static str, &'static str, usize); 3];

const REQUESTS: [(&str, usize); 3] = [
    (
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
        57,
    ),
    (
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
        110,
    ),
    (
        ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
        164,
    ),
];
const RESPONSES: [(&str, usize); 3] = [
    (
        ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
        222,
    ),
    (
        ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
        222,
    ),
    (
        ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
         content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        215,
    ),
];

fn exchange(blocks: [&'static str; 3], fields: [(&'static str, usize); 3]) -> Exchange {
    std::array::from_fn(|place| (blocks[place], fields[place].0, fields[place].1))
}

fn check(limit: usize, exchange: Exchange) {
    let mut decoder = Decoder::new(limit);
    for (hex, wanted, size) in exchange {
        let fields = decode(&mut decoder, &bytes(hex)).unwrap();
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(lines.join("\n"), wanted);
        assert_eq!(decoder.size(), size);
    }
}

#[test]
fn fields_are_those_of_c_2() {
    for (hex, name, value, size) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key",
            "custom-header",
            55,
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", 0),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password",
            "secret",
            0,
        ),
        ("82", ":method", "GET", 0),
    ] {
        let mut decoder = Decoder::new(4_096);
        let fields = decode(&mut decoder, &bytes(hex)).unwrap();
        assert_eq!(fields, [(name.to_owned(), value.to_owned())]);
        assert_eq!(decoder.size(), size);
    }
    // C.2.2 and C.2.4 are as written here.
    for (name, value, hex) in [
        (":path", "/sample/path", "040c 2f73 616d 706c 652f 7061 7468"),
        (":method", "GET", "82"),
    ] {
        let mut block = Vec::new();
        field(name.as_bytes(), value.as_bytes(), &mut block);
        assert_eq!(block, bytes(hex));
    }
}

#[test]
fn requests_are_those_of_c_3_and_c_4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    check(4_096, exchange(plain, REQUESTS));
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    check(4_096, exchange(coded, REQUESTS));
}

#[test]
fn responses_are_those_of_c_5_and_c_6() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ];
    check(256, exchange(plain, RESPONSES));
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    check(256, exchange(coded, RESPONSES));
}

/// Made by the encoder of hpack 4.2 for Python, with fields drawn by lot, four connections of fourteen blocks: strings coded
/// and plain, tables of several sizes, and sizes that change. Each field is a name and a value in hexadecimal digits.
#[test]
fn blocks_of_another_encoder_are_what_it_was_given() {
    let (mut decoder, mut wanted, mut got, mut blocks) = (Decoder::new(4_096), Vec::new(), Vec::new(), 0);
    for line in include_str!("vectors.txt").lines() {
        let (first, second) = line.split_once(' ').unwrap();
        match first {
            "connection" => decoder = Decoder::new(4_096),
            "block" => {
                assert_eq!(got, wanted);
                (got, wanted, blocks) = (Vec::new(), Vec::new(), blocks + 1);
                let read = decoder.decode(&bytes(second), |name, value| {
                    got.push((name.to_vec(), value.to_vec()));
                });
                assert_eq!(read, Ok(()));
            }
            _ => wanted.push((bytes(first), bytes(second))),
        }
    }
    assert_eq!(got, wanted);
    assert_eq!(blocks, 56);
}
