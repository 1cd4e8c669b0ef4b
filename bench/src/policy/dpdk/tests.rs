use crate::policy::{
    cluster::{Cluster, SMALL},
    dpdk::file,
    expand::{Expansion, Span, bits},
};

#[test]
fn spans_are_the_fewest_prefixes() {
    let span = |first: [u8; 4], last: [u8; 4]| Span {
        first: bits(first.into()),
        last: bits(last.into()),
    };
    let of = |span| {
        let mut nets = Vec::new();
        file::prefixes(span, false, |net| nets.push(net.to_string()));
        nets
    };
    assert_eq!(of(span([10, 0, 0, 0], [10, 255, 255, 255])), ["10.0.0.0/8"]);
    assert_eq!(of(span([192, 0, 2, 7], [192, 0, 2, 7])), ["192.0.2.7/32"]);
    assert_eq!(
        of(span([192, 0, 2, 1], [192, 0, 2, 8])),
        ["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/30", "192.0.2.8/32"]
    );
}

/// Sizes of the structures in `bench/peers/acl.c`.
#[test]
fn the_file_has_the_sizes_that_the_program_reads() {
    const HEADER: usize = 24;
    const POD: usize = 24;
    const RULE: usize = 28;
    const CONNECTION: usize = 36;
    let cluster = Cluster::new(SMALL, false);
    let connections = cluster.connections(10);
    let mut bytes = Vec::new();
    file::write(&mut bytes, &Expansion::new(&cluster), &connections, &[true; 10]).unwrap();
    let number = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let [v6, pods, rules, count] = [8, 12, 16, 20].map(number);
    assert_eq!((v6, count), (0, 10));
    assert_eq!(
        bytes.len(),
        HEADER + pods * POD + rules * RULE + count * CONNECTION
    );
    let guards: Vec<usize> = (0..rules)
        .map(|i| number(HEADER + pods * POD + i * RULE))
        .collect();
    assert!(
        guards.is_sorted() && guards[0] == 1,
        "the rules of a guard stand together"
    );
}
