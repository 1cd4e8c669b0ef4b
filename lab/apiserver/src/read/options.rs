//! The options of lists and watches (`metav1.ListOptions`), and which of them go together
//! (`k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`).

use serde_json::json;

use crate::failure::{Cause, Failure};
use crate::profile::{Age, StreamingLists};
use crate::request::Query;

/// `ListOptions`, but for the selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// None: not given.
    pub(super) revision: Option<u64>,
    pub(super) matching: Option<Matching>,
    pub(super) limit: usize,
    pub(super) token: String,
    pub(super) timeout: Option<u64>,
    pub(super) bookmarks: bool,
    /// `sendInitialEvents`, on servers that know it.
    pub(super) initial_events: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    Exact,
    NotOlderThan,
}

impl Options {
    pub(super) fn parse(query: &Query, watch: bool, age: Age) -> Result<Self, Failure> {
        let known = age.streaming_lists() != StreamingLists::Unknown;
        let flag = (known && query.has("sendInitialEvents")).then(|| query.is_set("sendInitialEvents"));
        let options = Options {
            revision: match query.get("resourceVersion") {
                "" => None,
                text => Some(text.parse().map_err(|_| bad_revision(text))?),
            },
            matching: match query.get("resourceVersionMatch") {
                "Exact" => Some(Matching::Exact),
                "NotOlderThan" => Some(Matching::NotOlderThan),
                _ => None,
            },
            limit: number(query, "limit")?.unwrap_or(0),
            token: query.get("continue").to_owned(),
            // Nought is as good as nothing.
            timeout: number(query, "timeoutSeconds")?.filter(|seconds| *seconds > 0),
            bookmarks: query.is_set("allowWatchBookmarks"),
            initial_events: flag,
        };
        let matching = query.get("resourceVersionMatch");
        let causes = if watch {
            options.check_watch(matching, age)
        } else {
            options.check_list(matching)
        };
        if causes.is_empty() {
            Ok(options)
        } else {
            Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &causes))
        }
    }

    fn check_list(&self, matching: &str) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        let mut causes = Vec::new();
        if !matching.is_empty() {
            if self.revision.is_none() {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.token.is_empty() {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if self.matching.is_none() {
                causes.push(Cause::not_supported(
                    field,
                    &json!(matching),
                    &["Exact", "NotOlderThan", ""],
                ));
            }
            if self.matching == Some(Matching::Exact) && self.revision == Some(0) {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                causes.push(Cause::forbidden(field, why));
            }
        }
        if self.initial_events.is_some() {
            causes.push(Cause::forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        causes
    }

    fn check_watch(&self, matching: &str, age: Age) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        let mut causes = Vec::new();
        match age.streaming_lists() {
            StreamingLists::Unknown if !matching.is_empty() => {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden for watch",
                ));
            }
            StreamingLists::Unknown => {}
            gate => {
                if self.initial_events.is_some() {
                    if matching.is_empty() {
                        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                        causes.push(Cause::forbidden(field, why));
                    }
                    if gate == StreamingLists::Refused {
                        let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
                        causes.push(Cause::forbidden("sendInitialEvents", why));
                    }
                } else if !matching.is_empty() {
                    let why =
                        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                    causes.push(Cause::forbidden(field, why));
                }
                if !matching.is_empty() && self.matching != Some(Matching::NotOlderThan) {
                    causes.push(Cause::not_supported(field, &json!(matching), &["NotOlderThan"]));
                }
            }
        }
        if !self.token.is_empty() {
            causes.push(Cause::forbidden("continue", "continue is forbidden for watch"));
        }
        causes
    }
}

fn number<T: std::str::FromStr>(query: &Query, name: &str) -> Result<Option<T>, Failure> {
    match query.get(name) {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Failure::bad_request(format!("{name}: {text:?} is no number"))),
    }
}

fn bad_revision(text: &str) -> Failure {
    Failure::bad_request(format!(
        "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
    ))
}
