//! `examples/cluster-policies.yaml` does what its comments say.

use std::path::Path;

use super::cases::{check, read};
use super::gateway::Gateway;

#[test]
fn the_example_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = read(&root.join("examples/cluster-policies.yaml"));
    let shop = ["00-namespace.yaml", "pods.yaml", "policies.yaml"]
        .map(|name| (name, read(&root.join("examples").join(name))));
    let world = read(&root.join("cli/tests/decisions/example-world.yaml"));
    let files: Vec<(&str, &str)> = shop.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let more = [("cluster-policies.yaml", text.as_str()), ("world.yaml", &world)];
    let gateway = Gateway::new(&[files, more.to_vec()].concat());
    let wrong = check(&gateway, &world);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
