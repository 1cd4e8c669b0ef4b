//! Which lists are merged item by item, and by which fields items are told apart: the tags `patchMergeKey`,
//! `listType` and `listMapKey` of the API's types.

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// As a whole.
    Atomic,
    /// Item by item; these fields name an item.
    Map(&'static [&'static str]),
    /// Items are values, each once.
    Set,
}

/// Where a list is: the kind of its object, the list's field, and the field of the list or struct that holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) kind: &'a str,
    pub(super) parent: &'a str,
    pub(super) field: &'a str,
}

/// For server-side apply.
pub(super) fn applied(place: Place<'_>) -> ListKind {
    match (place.kind, place.parent, place.field) {
        ("Service", "spec", "ports") => ListKind::Map(&["port", "protocol"]),
        (_, "containers" | "initContainers", "ports") => ListKind::Map(&["containerPort", "protocol"]),
        ("Node", _, "taints") => ListKind::Atomic,
        ("EndpointSlice", "endpoints", "addresses") => ListKind::Set,
        _ => common(place),
    }
}

/// For strategic merge patches.
pub(super) fn strategic(place: Place<'_>) -> ListKind {
    match (place.kind, place.parent, place.field) {
        ("Service", "spec", "ports") => ListKind::Map(&["port"]),
        (_, "containers" | "initContainers", "ports") => ListKind::Map(&["containerPort"]),
        ("Node", _, "taints") => ListKind::Map(&["key"]),
        _ => common(place),
    }
}

fn common(place: Place<'_>) -> ListKind {
    match (place.kind, place.field) {
        (
            _,
            "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets",
        ) => ListKind::Map(&["name"]),
        ("ServiceAccount", "secrets") | ("ValidatingWebhookConfiguration", "webhooks") => {
            ListKind::Map(&["name"])
        }
        (_, "volumeMounts") => ListKind::Map(&["mountPath"]),
        (_, "conditions") => ListKind::Map(&["type"]),
        ("Node", "addresses") => ListKind::Map(&["type"]),
        (_, "podIPs" | "hostAliases") => ListKind::Map(&["ip"]),
        (_, "ownerReferences") => ListKind::Map(&["uid"]),
        (_, "finalizers") => ListKind::Set,
        _ => ListKind::Atomic,
    }
}
