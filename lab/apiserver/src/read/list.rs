//! Lists: of the moment, not older than a revision, exactly of one, and in chunks.

use std::time::Duration;

use serde_json::json;

use super::options::{Matching, Options};
use super::token::Token;
use super::view::View;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::keyspace::{Compacted, Object, Snapshot};
use crate::request::Request;
use crate::select::Selector;
use crate::shared::Shared;

/// How long a list waits for a revision that is not there yet, as the watch cache does.
const FRESH_WITHIN: Duration = Duration::from_secs(3);

/// All objects that a request asks for, or a chunk of them.
pub(crate) async fn list(
    shared: &Shared,
    request: &Request,
    view: &View,
    selector: &Selector,
) -> Result<Answer, Failure> {
    let options = Options::parse(&request.query, false, shared.age)?;
    let namespace = &request.target.namespace;
    let snapshot = snapshot(shared, &options, view, namespace).await?;
    let chunked = options.limit > 0 && (options.revision != Some(0) || options.matching.is_some());
    let limit = if chunked { options.limit } else { usize::MAX };
    let fits = |object: &&Object| selector.is_empty() || selector.matches(&object.value);
    let mut found = snapshot.objects.iter().map(AsRef::as_ref).filter(fits);
    let objects: Vec<&Object> = found.by_ref().take(limit).collect();
    let mut metadata = json!({"resourceVersion": snapshot.revision.to_string()});
    if let (Some(_), Some(last)) = (found.next(), objects.last()) {
        metadata["continue"] = Token::behind(&last.key(), Some(snapshot.revision))
            .encode()
            .into();
        // How many of the rest a selector chooses is not looked at.
        if selector.is_empty() {
            metadata["remainingItemCount"] = (found.count() + 1).into();
        }
    }
    Ok(Answer::bytes(200, view.list(&objects, &metadata)))
}

async fn snapshot(
    shared: &Shared,
    options: &Options,
    view: &View,
    namespace: &str,
) -> Result<Snapshot, Failure> {
    let (keyspace, table) = (&shared.keyspace, &view.resource.table);
    if !options.token.is_empty() {
        if options.revision.is_some_and(|revision| revision > 0) {
            return Err(Failure::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = Token::decode(&options.token)?;
        let revision = token.revision.unwrap_or_else(|| keyspace.revision());
        let snapshot = keyspace.list_at(table, namespace, revision, Some(&token.start));
        return snapshot.map_err(|_| token_expired(token));
    }
    let Some(revision) = options.revision.filter(|revision| *revision > 0) else {
        return Ok(keyspace.list(table, namespace));
    };
    wait_for(shared, revision).await?;
    // A revision with a limit and without a match is exact, for the sake of old clients.
    let exact =
        options.matching == Some(Matching::Exact) || (options.matching.is_none() && options.limit > 0);
    if !exact {
        return Ok(keyspace.list(table, namespace));
    }
    keyspace
        .list_at(table, namespace, revision, None)
        .map_err(|Compacted { .. }| Failure::expired("The resourceVersion for the provided list is too old."))
}

/// Waits until the store is at a revision; 504 where it does not come.
pub(super) async fn wait_for(shared: &Shared, revision: u64) -> Result<(), Failure> {
    let mut revisions = shared.keyspace.subscribe();
    let reached = revisions.wait_for(|current| *current >= revision);
    if tokio::time::timeout(FRESH_WITHIN, reached).await.is_ok() {
        return Ok(());
    }
    let current = shared.keyspace.revision();
    let mut failure = Failure::new(
        504,
        "Timeout",
        format!("Too large resource version: {revision}, current: {current}"),
    );
    failure.details =
        json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
    failure.retry_after = Some(1);
    Err(failure)
}

fn token_expired(token: Token) -> Failure {
    let mut failure = Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    failure.continue_token = Some(
        Token {
            revision: None,
            ..token
        }
        .encode(),
    );
    failure
}
