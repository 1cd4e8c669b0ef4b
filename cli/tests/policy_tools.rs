//! The examples of `docs/policy-tools.md`, run.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The bodies of the page's blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let rest = page.split(fence.as_str()).skip(1);
    rest.filter_map(|block| Some(block.split_once("\n```")?.0))
        .collect()
}

/// Each command of a block, and what it prints.
fn commands(block: &str) -> Vec<(&str, String)> {
    let parts = format!("\n{block}");
    let count = parts.matches("\n$ ").count();
    let mut commands = Vec::new();
    for part in block.split_inclusive('\n') {
        match part.strip_prefix("$ ") {
            Some(command) => commands.push((command.trim_end(), String::new())),
            None => commands.last_mut().expect("a command first").1 += part,
        }
    }
    assert_eq!(commands.len(), count);
    commands
}

#[test]
fn what_the_page_shows_is_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy-tools.md");
    let page = fs::read_to_string(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for manifest in blocks(&page, "yaml") {
        let name = manifest.lines().next().and_then(|line| line.strip_prefix("# "));
        let file = directory.path().join(name.expect("a file's name"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, manifest).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_headgate"));
    let mut search = vec![program.parent().unwrap().to_owned()];
    search.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut run = 0;
    for (command, expected) in blocks(&page, "console").into_iter().flat_map(commands) {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(&directory)
            .env("PATH", env::join_paths(&search).unwrap())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.trim_end(), expected.trim_end(), "$ {command}");
        run += 1;
    }
    assert_eq!(run, 7, "commands of the page");
}
