//! Real files, a real watcher; each wait is for an event, and a watchdog ends a wait in vain.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::model::{Id, Kind, ObjectName};
use crate::source::store::Store;

/// How long a wait in vain takes.
const WATCHDOG: Duration = Duration::from_secs(20);

fn open(root: &Path) -> Directory {
    Directory::open(root).expect("a directory")
}

/// A directory `root` in a temporary one, followed.
struct Bed {
    temporary: TempDir,
    source: Directory,
    store: Store,
    _alive: Sender<()>,
}

impl Bed {
    /// `prepare` fills the directory before it is opened.
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let root = temporary.path().join("root");
        fs::create_dir(&root).expect("a directory");
        prepare(&root);
        Self::follow(temporary, &root)
    }

    fn follow(temporary: TempDir, root: &Path) -> Self {
        let source = open(root);
        let stop = source.stopper();
        let (alive, gone) = channel::<()>();
        std::thread::spawn(move || {
            if gone.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
                stop();
            }
        });
        let mut bed = Self {
            temporary,
            source,
            store: Store::default(),
            _alive: alive,
        };
        bed.step();
        bed
    }

    fn path(&self, path: &str) -> PathBuf {
        self.temporary.path().join("root").join(path)
    }

    fn step(&mut self) {
        let changes = self.source.next().expect("an event before the watchdog");
        self.store.update(changes);
    }

    /// Waits until these Namespaces are in force; `always` holds in every state on the way.
    fn until_always(&mut self, names: &[&str], always: impl Fn(&[String]) -> bool) {
        while namespaces(&self.store) != names {
            self.step();
            let now = namespaces(&self.store);
            assert!(always(&now), "{now:?} on the way to {names:?}");
        }
    }

    fn until(&mut self, names: &[&str]) {
        self.until_always(names, |_| true);
    }
}

fn namespaces(store: &Store) -> Vec<String> {
    store
        .model()
        .namespaces()
        .map(|(name, _)| name.name.to_string())
        .collect()
}

/// A manifest of Namespaces.
fn manifest(names: &[&str]) -> String {
    names
        .iter()
        .map(|n| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {n}}}\n"))
        .collect()
}

fn write(path: impl AsRef<Path>, names: &[&str]) {
    fs::write(path, manifest(names)).expect("written");
}

#[test]
fn what_is_read_and_what_is_not() {
    let bed = Bed::new(|root| {
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        write(root.join("a.yaml"), &["a"]);
        write(root.join("deep/b.yml"), &["b"]);
        write(root.join("deep/er/c.yaml"), &["c1", "c2"]);
        fs::write(
            root.join("d.json"),
            r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}}"#,
        )
        .unwrap();
        for not in [".hidden.yaml", ".git/x.yaml", "a.yaml~", "README.md", "#a.yaml#"] {
            write(root.join(not), &["not"]);
        }
    });
    assert_eq!(namespaces(&bed.store), ["a", "b", "c1", "c2", "d"]);
    let id = Id::new(Kind::Namespace, ObjectName::new("", "c2"));
    assert_eq!(bed.store.origin(&id).unwrap().to_string(), "deep/er/c.yaml:6");
}

#[test]
fn files_come_change_and_go() {
    let mut bed = Bed::new(|_| {});
    write(bed.path("a.yaml"), &["a"]);
    bed.until(&["a"]);
    write(bed.path("a.yaml"), &["b"]);
    bed.until(&["b"]);
    write(bed.path("b.yaml"), &["c"]);
    bed.until(&["b", "c"]);
    fs::remove_file(bed.path("a.yaml")).unwrap();
    bed.until(&["c"]);
    fs::rename(bed.path("b.yaml"), bed.path("b.off")).unwrap();
    bed.until(&[]);
    fs::rename(bed.path("b.off"), bed.path("b.yaml")).unwrap();
    bed.until(&["c"]);
}

#[test]
fn editors_that_rename_over() {
    let mut bed = Bed::new(|root| write(root.join("a.yaml"), &["a"]));
    write(bed.path(".a.yaml.swp"), &["b"]);
    fs::rename(bed.path(".a.yaml.swp"), bed.path("a.yaml")).unwrap();
    bed.until_always(&["b"], |now| !now.is_empty());
}

#[test]
fn editors_that_rename_away_and_write_anew() {
    let mut bed = Bed::new(|root| write(root.join("a.yaml"), &["a", "z"]));
    fs::rename(bed.path("a.yaml"), bed.path("a.yaml~")).unwrap();
    let mut file = fs::File::create(bed.path("a.yaml")).unwrap();
    file.write_all(manifest(&["b"]).as_bytes()).unwrap();
    file.sync_all().unwrap();
    file.write_all(manifest(&["z"]).as_bytes()).unwrap();
    drop(file);
    fs::remove_file(bed.path("a.yaml~")).unwrap();
    bed.until_always(&["b", "z"], |now| now.contains(&"z".to_owned()));
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let mut bed = Bed::new(|root| write(root.join("a.yaml"), &["a"]));
    let mut half = fs::File::create(bed.path("a.yaml")).unwrap();
    let mut new = fs::File::create(bed.path("new.yaml")).unwrap();
    new.write_all(manifest(&["half"]).as_bytes()).unwrap();
    write(bed.path("b.yaml"), &["b"]);
    bed.until(&["a", "b"]);
    half.write_all(manifest(&["c"]).as_bytes()).unwrap();
    drop(half);
    bed.until(&["b", "c"]);
    drop(new);
    bed.until(&["b", "c", "half"]);
}

#[test]
fn a_file_that_is_left_open_is_read_after_a_while() {
    let mut bed = Bed::new(|_| {});
    let mut file = fs::File::create(bed.path("a.yaml")).unwrap();
    file.write_all(manifest(&["a"]).as_bytes()).unwrap();
    bed.until(&["a"]);
}

#[test]
fn directories_come_and_go_with_all_they_hold() {
    let mut bed = Bed::new(|_| {});
    fs::create_dir_all(bed.path("x/y/z")).unwrap();
    write(bed.path("x/y/z/a.yaml"), &["a"]);
    bed.until(&["a"]);
    write(bed.path("x/y/b.yaml"), &["b"]);
    bed.until(&["a", "b"]);
    fs::rename(bed.path("x"), bed.temporary.path().join("away")).unwrap();
    bed.until(&[]);
    write(bed.temporary.path().join("away/y/b.yaml"), &["c"]);
    fs::rename(bed.temporary.path().join("away"), bed.path("w")).unwrap();
    bed.until(&["a", "c"]);
    write(bed.path("w/y/z/a.yaml"), &["d"]);
    bed.until(&["c", "d"]);
    fs::remove_dir_all(bed.path("w")).unwrap();
    bed.until(&[]);
    fs::create_dir(bed.path("w")).unwrap();
    write(bed.path("w/a.yaml"), &["e"]);
    bed.until(&["e"]);
}

#[test]
fn a_directory_that_is_renamed_is_watched_to_its_depths() {
    let mut bed = Bed::new(|root| {
        fs::create_dir_all(root.join("x/y")).unwrap();
        write(root.join("x/y/a.yaml"), &["a"]);
    });
    for (from, to, name) in [("x", "w", "b"), ("w", "x", "c")] {
        fs::rename(bed.path(from), bed.path(to)).unwrap();
        write(bed.path("mark.yaml"), &[&format!("{name}-mark")]);
        while !namespaces(&bed.store).contains(&format!("{name}-mark")) {
            bed.step();
        }
        write(bed.path(to).join("y/a.yaml"), &[name]);
        bed.until(&[name, &format!("{name}-mark")]);
    }
}

/// Writes a version of a ConfigMap as the kubelet does.
fn mount(root: &Path, version: &str, names: &[&str]) {
    fs::create_dir(root.join(version)).unwrap();
    write(root.join(version).join("a.yaml"), names);
    symlink(version, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
}

#[test]
fn a_mounted_config_map_is_swapped() {
    let mut bed = Bed::new(|root| {
        mount(root, "..v1", &["a", "z"]);
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    });
    assert_eq!(namespaces(&bed.store), ["a", "z"]);
    for (old, new, name) in [("..v1", "..v2", "b"), ("..v2", "..v3", "c")] {
        mount(&bed.path(""), new, &[name, "z"]);
        fs::remove_dir_all(bed.path(old)).unwrap();
        bed.until_always(&[name, "z"], |now| now.contains(&"z".to_owned()));
    }
}

#[test]
fn links_are_followed_and_what_they_lead_to_is_watched() {
    let mut bed = Bed::new(|root| {
        let elsewhere = root.parent().unwrap().join("elsewhere");
        fs::create_dir_all(elsewhere.join("all")).unwrap();
        write(elsewhere.join("one.yaml"), &["one"]);
        write(elsewhere.join("all/many.yaml"), &["many"]);
        symlink(elsewhere.join("one.yaml"), root.join("link.yaml")).unwrap();
        symlink("../elsewhere/all", root.join("dir")).unwrap();
        symlink("..", root.join("loop")).unwrap();
        symlink("nowhere", root.join("dangling.yaml")).unwrap();
    });
    assert!(namespaces(&bed.store).contains(&"many".to_owned()));
    fs::remove_file(bed.path("loop")).unwrap();
    bed.until(&["many", "one"]);
    let elsewhere = bed.temporary.path().join("elsewhere");
    write(elsewhere.join("one.yaml"), &["two"]);
    bed.until(&["many", "two"]);
    write(elsewhere.join("all/more.yaml"), &["more"]);
    bed.until(&["many", "more", "two"]);
    write(bed.path("nowhere"), &["found"]);
    bed.until(&["found", "many", "more", "two"]);
}

#[test]
fn the_directory_itself_is_swapped() {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    for (release, names) in [("one", ["a", "z"]), ("two", ["b", "z"])] {
        fs::create_dir(at(release)).unwrap();
        write(at(release).join("a.yaml"), &names);
    }
    symlink("one", at("root")).unwrap();
    symlink("two", at("next")).unwrap();
    let (root, next) = (at("root"), at("next"));
    let mut bed = Bed::follow(temporary, &root);
    assert_eq!(namespaces(&bed.store), ["a", "z"]);
    fs::rename(next, root).unwrap();
    bed.until_always(&["b", "z"], |now| now.contains(&"z".to_owned()));
    write(bed.path("a.yaml"), &["c"]);
    bed.until(&["c"]);
}

#[test]
fn a_directory_that_vanishes_takes_nothing_with_it() {
    let mut bed = Bed::new(|root| write(root.join("a.yaml"), &["a"]));
    let (root, away) = (bed.path(""), bed.temporary.path().join("away"));
    fs::rename(&root, &away).unwrap();
    fs::create_dir(bed.temporary.path().join("new")).unwrap();
    write(bed.temporary.path().join("new/b.yaml"), &["b"]);
    fs::rename(bed.temporary.path().join("new"), &root).unwrap();
    bed.until_always(&["b"], |now| !now.is_empty());
}

#[test]
fn a_broken_file_recovers() {
    let mut bed = Bed::new(|root| write(root.join("a.yaml"), &["a"]));
    fs::write(bed.path("a.yaml"), "kind: [").unwrap();
    bed.step();
    assert_eq!(namespaces(&bed.store), ["a"]);
    assert_eq!(
        crate::testing::lines(&bed.store),
        ["a.yaml:1: cannot be read: unclosed bracket '['; the objects that it held stay in force"]
    );
    write(bed.path("a.yaml"), &["b"]);
    bed.until(&["b"]);
    assert_eq!(crate::testing::lines(&bed.store), Vec::<String>::new());
}

#[test]
fn a_directory_that_is_not_there() {
    let error = Directory::open(Path::new("/nowhere/at/all")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "cannot read the directory of manifests /nowhere/at/all: No such file or directory (os error 2)"
    );
}

#[test]
fn it_stops_when_told() {
    let temporary = tempfile::tempdir().unwrap();
    let mut source = open(temporary.path());
    let first = source.next().expect("the first look, at nothing");
    assert!(matches!(&*first, [Change::Complete]), "{first:?}");
    source.stopper()();
    assert!(source.next().is_none());
}

/// What can happen in a directory.
#[derive(Clone, Debug)]
enum Happening {
    Write { path: usize, name: u8 },
    RenameOver { path: usize, name: u8 },
    Remove { path: usize },
    Move { from: usize, to: usize },
    RemoveDirectory { directory: usize },
    MoveDirectory { from: usize, to: usize },
    Link { path: usize, to: usize },
}

const DIRECTORIES: [&str; 4] = ["", "x", "x/y", "w"];
const FILES: [&str; 6] = [
    "a.yaml",
    "b.yaml",
    "x/a.yaml",
    "x/y/a.yaml",
    "x/y/b.yaml",
    "w/a.yaml",
];

fn happening() -> impl Strategy<Value = Happening> {
    let (path, directory) = (0..FILES.len(), 1..DIRECTORIES.len());
    prop_oneof![
        4 => (path.clone(), 0..5u8).prop_map(|(path, name)| Happening::Write { path, name }),
        3 => (path.clone(), 0..5u8).prop_map(|(path, name)| Happening::RenameOver { path, name }),
        1 => path.clone().prop_map(|path| Happening::Remove { path }),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Happening::Move { from, to }),
        1 => directory.clone().prop_map(|directory| Happening::RemoveDirectory { directory }),
        1 => (directory.clone(), directory).prop_map(|(from, to)| Happening::MoveDirectory { from, to }),
        1 => (path.clone(), path).prop_map(|(path, to)| Happening::Link { path, to }),
    ]
}

/// Lets it happen; what is not possible (a directory moved into itself) does not happen.
fn happen(root: &Path, happening: &Happening) {
    let file = |i: usize| root.join(FILES[i]);
    let parent = |i: usize| fs::create_dir_all(file(i).parent().unwrap_or(root));
    let text = |name: u8| manifest(&[&format!("n{name}")]);
    let _ = match happening {
        Happening::Write { path, name } => parent(*path).and_then(|()| fs::write(file(*path), text(*name))),
        Happening::RenameOver { path, name } => parent(*path)
            .and_then(|()| fs::write(root.join(".new"), text(*name)))
            .and_then(|()| fs::rename(root.join(".new"), file(*path))),
        Happening::Remove { path } => fs::remove_file(file(*path)),
        Happening::Move { from, to } => fs::rename(file(*from), file(*to)),
        Happening::RemoveDirectory { directory } => fs::remove_dir_all(root.join(DIRECTORIES[*directory])),
        Happening::MoveDirectory { from, to } => {
            fs::rename(root.join(DIRECTORIES[*from]), root.join(DIRECTORIES[*to]))
        }
        Happening::Link { path, to } => {
            let _ = fs::remove_file(file(*path));
            symlink(file(*to), file(*path))
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens, in the end the source has seen what a new one sees.
    #[test]
    fn nothing_is_missed(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut bed = Bed::new(|_| {});
        let root = bed.path("");
        // The second time shows what the events that came late have done.
        for end in ["the-end", "the-very-end"] {
            happenings.iter().for_each(|h| happen(&root, h));
            write(root.join(format!("{end}.yaml")), &[end]);
            let mut fresh = open(&root);
            let mut store = Store::default();
            store.update(fresh.next().expect("the first look"));
            let expected = namespaces(&store);
            bed.until(&expected.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

#[test]
fn one_look_reads_the_same_files() {
    let bed = Bed::new(|root| {
        fs::create_dir(root.join("deep")).unwrap();
        write(root.join("a.yaml"), &["a"]);
        write(root.join("deep/b.yml"), &["b"]);
        fs::write(root.join("broken.yaml"), "kind: [").unwrap();
    });
    let mut store = Store::default();
    store.update(read(&bed.path("")).unwrap());
    assert_eq!(namespaces(&store), ["a", "b"]);
    assert_eq!(
        store.problems().len(),
        bed.store.problems().len(),
        "{:?}",
        store.problems()
    );
    assert!(matches!(
        read(&bed.path("gone")),
        Err(DirectoryError::Read { .. })
    ));
}

#[test]
fn reading_ends_when_it_is_told_to() {
    let temporary = tempfile::tempdir().unwrap();
    for i in 0..200 {
        write(temporary.path().join(format!("{i}.yaml")), &["a"]);
    }
    let mut source = open(temporary.path());
    source.stopper()();
    assert!(source.next().is_none());
    let work = Pending::everything().take(Instant::now());
    assert!(source.tree.visit(&work).is_empty(), "no file is read any more");
}

/// Where the kernel lets this process read everything (root), there is nothing to see.
fn may_read_everything(root: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let path = root.join("forbidden");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::read(&path).is_ok()
}

#[test]
fn what_may_not_be_read_is_named_and_read_once_it_may() {
    use std::os::unix::fs::PermissionsExt;
    // As the control plane does.
    crate::privileges::drop_all().unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let mut bed = Bed::new(|root| {
        fs::create_dir(root.join("x")).unwrap();
        write(root.join("x/a.yaml"), &["a"]);
        write(root.join("b.yaml"), &["b"]);
        allow(&root.join("x"), 0o000);
        allow(&root.join("b.yaml"), 0o000);
    });
    if may_read_everything(&bed.path("")) {
        return;
    }
    let stake = "nothing of it is in force: policies in it do not hold, so what they forbid is allowed";
    let denied = "cannot be read: Permission denied (os error 13)";
    assert_eq!(
        crate::testing::lines(&bed.store),
        [
            format!("b.yaml: {denied}; {stake}"),
            format!("x: {denied}; {stake}")
        ]
    );
    assert_eq!(bed.store.unknown().count(), 2);
    allow(&bed.path("x"), 0o700);
    bed.until(&["a"]);
    allow(&bed.path("b.yaml"), 0o600);
    bed.until(&["a", "b"]);
    assert_eq!(crate::testing::lines(&bed.store), Vec::<String>::new());
}

#[test]
fn a_refusal_is_said_once_as_long_as_it_lasts() {
    use crate::feedback::{Outcome, Outcomes, Standing, mailbox};
    use crate::problem::Origin;
    let (feedback, mailbox) = mailbox(|| {});
    let mut refusals = Refusals::default();
    let id = Id::new(Kind::Ingress, ObjectName::new("shop", "web"));
    let origin = Origin::File {
        path: Path::new("web.yaml").into(),
        line: Some(3),
    };
    let good = Outcome {
        standing: Standing::InForce,
        origin: Some(origin),
        problems: Vec::new(),
        balanced: false,
    };
    let refused = good.refused(&"no room".into(), "until it changes it is left out");
    let mut lines = |outcome: &Outcome| {
        feedback.tell(1, 1, Outcomes::from([(id.clone(), outcome.clone())]));
        let news = refusals.update(mailbox.take().unwrap());
        let text = |problems: Vec<crate::problem::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        (text(news.new), text(news.mended))
    };
    let line =
        "web.yaml:3: Ingress shop/web: is refused by the dataplane: no room; until it changes it is left out";
    assert_eq!(lines(&good), (vec![], vec![]));
    assert_eq!(lines(&refused), (vec![line.to_owned()], vec![]));
    assert_eq!(lines(&refused), (vec![], vec![]));
    assert_eq!(lines(&good), (vec![], vec![line.to_owned()]));
}
