//! From a request to its answer.

use std::sync::Arc;

use bytes::Bytes;

use crate::access::User;
use crate::answer::Answer;
use crate::discovery;
use crate::failure::Failure;
use crate::keyspace::Key;
use crate::openapi;
use crate::read::{self, Form, View};
use crate::request::{Request, Target};
use crate::resources::Resource;
use crate::reviews;
use crate::select::Selector;
use crate::shared::Shared;
use crate::write::{self, Write};

/// Answers a request of a user who is known, as far as the user may.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    request: &Request,
    user: &User,
    body: Bytes,
) -> Result<Answer, Failure> {
    let target = &request.target;
    let Some(resource) = shared
        .registry
        .find(&target.group, &target.version, &target.resource)
    else {
        shared.authorizer().check(user, request)?;
        return match reviews::answer(shared, request, user, &body) {
            Some(answer) => answer,
            None => path(shared, request),
        };
    };
    let selector = Selector::parse(
        &resource,
        request.query.get("labelSelector"),
        request.query.get("fieldSelector"),
    );
    authorize(shared, request, user, selector.as_ref().ok())?;
    if !is_there(&resource, target) {
        return Ok(Answer::no_such_path());
    }
    if let Some(answer) = reviews::answer(shared, request, user, &body) {
        return answer;
    }
    let form = Form::negotiate(request.accept(), request.query.get("includeObject"))?;
    let view = View {
        resource,
        version: target.version.clone(),
        form,
    };
    if let "get" | "list" | "watch" = target.verb {
        return read_objects(shared, request, &view, selector?).await;
    }
    let write = Write::new(shared, request, &view, user, body);
    let (named, sub) = (!target.name.is_empty(), !target.subresource.is_empty());
    let answered = match target.verb {
        "create" if !named => write::create(&write).await,
        "update" if named => write::update(&write).await,
        "patch" if named => write::patch(&write).await,
        "delete" if named && !sub => write::delete(&write).await,
        "deletecollection" if !sub => write::delete_collection(&write, &selector?).await,
        _ => Ok(Answer::no_such_method()),
    }?;
    Ok(write
        .warnings()
        .iter()
        .fold(answered, |answer, text| answer.warning(text)))
}

async fn read_objects(
    shared: &Arc<Shared>,
    request: &Request,
    view: &View,
    selector: Selector,
) -> Result<Answer, Failure> {
    let target = &request.target;
    match target.verb {
        "get" => read::get(shared, view, &Key::new(&target.namespace, &target.name)),
        "list" => read::list(shared, request, view, &selector).await,
        _ => read::watch(shared, request, view, selector).await,
    }
}

/// A list or watch of one name is authorized as a read of that object.
fn authorize(
    shared: &Shared,
    request: &Request,
    user: &User,
    selector: Option<&Selector>,
) -> Result<(), Failure> {
    let name = selector
        .and_then(Selector::name)
        .filter(|_| request.target.name.is_empty());
    match name {
        Some(name) => {
            let mut named = request.clone();
            name.clone_into(&mut named.target.name);
            shared.authorizer().check(user, &named)
        }
        None => shared.authorizer().check(user, request),
    }
}

/// Whether a URL is one of those that a resource has.
fn is_there(resource: &Resource, target: &Target) -> bool {
    let place = if resource.namespaced {
        !target.namespace.is_empty() || (target.name.is_empty() && target.verb != "create")
    } else {
        target.namespace.is_empty()
    };
    let sub = match (resource.plural.as_str(), target.subresource.as_str()) {
        (_, "") | ("namespaces", "finalize") | ("serviceaccounts", "token") => true,
        (_, "status") => resource.status,
        _ => false,
    };
    place && sub
}

/// What is about no resource.
fn path(shared: &Shared, request: &Request) -> Result<Answer, Failure> {
    if request.target.verb != "get" {
        return Ok(Answer::no_such_path());
    }
    match request.path.trim_end_matches('/') {
        "/version" => Ok(Answer::json(200, &shared.age.info())),
        "/healthz" | "/livez" | "/readyz" => Ok(Answer::text(200, "ok")),
        path if path.starts_with("/openapi/") => Ok(openapi::answer(shared, request)),
        _ => Ok(discovery::answer(shared, request)),
    }
}
