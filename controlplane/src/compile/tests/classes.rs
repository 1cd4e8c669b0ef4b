//! Which Ingresses are ours.

use super::routes::{class, ingress, services};
use crate::compile::{Compiler, IngressSelection, Settings, State, apply};
use crate::model::{Id, Kind, ObjectName, Selector};
use crate::testing::{NOW, compiled, compiled_store, put, settings};

#[test]
fn a_class_that_nobody_has_is_told_where_its_ingress_looks_like_ours() {
    let annotated = ", annotations: {nginx.ingress.kubernetes.io/ssl-redirect: 'false'}";
    let text = |annotations| ingress("a", annotations, "h.test", "/", "") + &services(&["a"]);
    let nginx = |text: String| text.replace("ingressClassName: headgate", "ingressClassName: nginx");
    let lines = compiled(&nginx(text(annotated))).lines;
    assert_eq!(
        lines,
        [
            "Ingress default/a: spec.ingressClassName: there is no IngressClass \"nginx\", so that nobody serves the Ingress, \
             whose annotations are such as are served here. Use \"headgate\", or make that IngressClass with the controller \
             headgate.dev/ingress"
        ]
    );
    let theirs = class("nginx", "k8s.io/ingress-nginx", false);
    for text in [nginx(text("")), nginx(text("")) + &theirs] {
        assert_eq!(compiled(&text).lines, Vec::<String>::new());
    }
}

/// On the class and not on each Ingress, and the same words whoever of them comes and goes.
#[test]
fn a_class_of_somebody_elses_whose_ingresses_look_like_ours_is_told_once() {
    let annotated = ", annotations: {nginx.ingress.kubernetes.io/ssl-redirect: 'false'}";
    let one = |name: &str, annotations: &str| {
        ingress(name, annotations, "h.test", "/", "")
            .replace("ingressClassName: headgate", "ingressClassName: nginx")
    };
    let theirs = class("nginx", "k8s.io/ingress-nginx", false);
    let told = "IngressClass nginx: spec.controller: Ingresses of this class have annotations such as are served here, and \
                \"k8s.io/ingress-nginx\" is none of the controllers that are. If nobody else serves them, \
                --controller-class=k8s.io/ingress-nginx does";
    let mut store = Default::default();
    let mut compiler = Compiler::new(settings());
    let mut state = State::new();
    let mut after = |file: &str, text: &str| {
        let changed = put(&mut store, &[(file, text)]);
        let changes = compiler.update(&state, store.model(), &changed, NOW);
        apply(&mut state, changes);
        let lines: Vec<_> = compiler.problems().iter().map(ToString::to_string).collect();
        (
            lines,
            compiler.serves(&Id::new(Kind::IngressClass, ObjectName::new("", "nginx"))),
        )
    };
    let silent = (Vec::new(), true);
    assert_eq!(after("class.yaml", &theirs), silent);
    assert_eq!(after("plain.yaml", &one("plain", "")), silent);
    assert_eq!(
        after("a.yaml", &one("a", annotated)),
        (vec![told.to_owned()], false)
    );
    assert_eq!(after("b.yaml", &one("b", annotated)).0, [told]);
    assert_eq!(after("a.yaml", &one("a", "")).0, [told]);
    assert_eq!(after("b.yaml", ""), silent);
    assert_eq!(after("b.yaml", &one("b", annotated)).0, [told]);
    let ours = class("nginx", "headgate.dev/ingress", false);
    let lines = after("class.yaml", &ours).0;
    assert!(
        lines.iter().all(|line| !line.starts_with("IngressClass")),
        "{lines:?}"
    );
}

#[test]
fn ingresses_of_namespaces_that_are_not_looked_at_say_nothing_of_their_class() {
    let annotated = ", annotations: {nginx.ingress.kubernetes.io/ssl-redirect: 'false'}";
    let ours = ingress("a", annotated, "h.test", "/", "");
    let theirs = ours.replace("ingressClassName: headgate", "ingressClassName: nginx");
    let classes =
        class("nginx", "k8s.io/ingress-nginx", false) + &class("headgate", "headgate.dev/ingress", false);
    let settings = Settings {
        ingresses: with(|selection| {
            selection.namespaces = Selector::from_text("team=web").expect("a selector");
        }),
        ..settings()
    };
    for ingress in [ours, theirs] {
        let mut store = Default::default();
        put(&mut store, &[("a.yaml", &(ingress + &classes))]);
        assert_eq!(compiled_store(&store, &settings).lines, Vec::<String>::new());
    }
}

/// Whether an Ingress is served beside an IngressClass of ingress-nginx, in a namespace of the team "web".
fn is_served(ingress: &str, selection: IngressSelection) -> bool {
    let theirs = class("nginx", "k8s.io/ingress-nginx", false);
    let space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {team: web}}\n";
    let mut store = Default::default();
    let text = format!("{ingress}{}{theirs}---\n{space}", services(&["a"]));
    put(&mut store, &[("a.yaml", &text)]);
    let settings = Settings {
        ingresses: selection,
        ..settings()
    };
    !compiled_store(&store, &settings).hosts().is_empty()
}

/// Flags, as a change of what holds without any.
fn with(change: impl FnOnce(&mut IngressSelection)) -> IngressSelection {
    let mut selection = IngressSelection::default();
    change(&mut selection);
    selection
}

#[test]
fn flags_of_ingress_nginx_choose_classes_too() {
    let text = ingress("a", "", "h.test", "/", "");
    let named = text.replace("ingressClassName: headgate", "ingressClassName: nginx");
    let nameless = text.replace("  ingressClassName: headgate\n", "");
    let annotation = "metadata: {name: a, annotations: {kubernetes.io/ingress.class: nginx}}";
    let annotated = nameless.replacen("metadata: {name: a}", annotation, 1);
    let nginx = |more: &dyn Fn(&mut IngressSelection)| {
        with(|selection| {
            selection.class = "nginx".to_owned();
            more(selection);
        })
    };
    let of = |labels: &str| nginx(&|s| s.namespaces = Selector::from_text(labels).expect("a selector"));
    let controller = || vec!["k8s.io/ingress-nginx".to_owned()];
    assert!(!is_served(&named, with(|_| {})), "it is another controller's");
    assert!(
        is_served(&named, with(|s| s.controllers = controller())),
        "--controller-class"
    );
    assert!(
        !is_served(&named, nginx(&|_| {})),
        "--ingress-class says nothing of IngressClasses"
    );
    assert!(
        is_served(&named, nginx(&|s| s.by_name = true)),
        "--ingress-class-by-name"
    );
    assert!(
        is_served(&annotated, nginx(&|_| {})),
        "the annotation needs no IngressClass"
    );
    assert!(!is_served(&nameless, with(|_| {})), "it names none");
    assert!(
        is_served(&nameless, with(|s| s.without_class = true)),
        "--watch-ingress-without-class"
    );
    assert!(
        is_served(&annotated, of("team in (web,shop),!closed")),
        "--watch-namespace-selector"
    );
    assert!(
        !is_served(&annotated, of("team!=web")),
        "--watch-namespace-selector"
    );
    assert!(
        is_served(&annotated, nginx(&|s| s.catch_all = false)),
        "it has no default backend"
    );
}

#[test]
fn a_catch_all_can_be_left_out() {
    let text = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {ingressClassName: headgate, \
                defaultBackend: {service: {name: a, port: {number: 80}}}}\n";
    assert!(is_served(text, with(|_| {})));
    assert!(
        !is_served(text, with(|s| s.catch_all = false)),
        "--disable-catch-all"
    );
}
