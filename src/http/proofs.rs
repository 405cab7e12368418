//! Trust goes out: signed checkpoints, and proofs against them.

use super::AppState;
use super::params::{self, Params};
use super::position::named;
use super::problem::{Problem, ProblemBody};
use super::respond::{self, Prepared};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::line::hex;
use crate::domain::tree::{Hash, Question, check_inclusion};
use crate::ledger::TreeHead;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

const TEXT: &str = "text/plain; charset=utf-8";

/// That an entry is in the tree of a size (RFC 6962, 2.1.1).
#[derive(Debug, Serialize, ToSchema)]
pub struct InclusionProof<'a> {
    /// The signed checkpoint of this tree; null for an older tree than the newest.
    #[schema(required)]
    checkpoint: Option<String>,
    /// The entry's leaf hash.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    hash: String,
    /// The entry.
    #[schema(example = "4711")]
    id: String,
    /// The history's name.
    origin: &'a str,
    /// The audit path: sibling hashes from the leaf to the root.
    proof: Vec<String>,
    /// The root that they lead to.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    root: String,
    /// The tree's size: entries 1 to this one are in it.
    size: u64,
}

/// That the tree of one size is the beginning of the tree of another (RFC 6962, 2.1.2).
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsistencyProof<'a> {
    /// The signed checkpoint of the larger tree; null if that is older than the newest.
    #[schema(required)]
    checkpoint: Option<String>,
    /// The root of the smaller tree.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    from_root: String,
    /// The smaller size.
    from_size: u64,
    /// The history's name.
    origin: &'a str,
    /// The consistency path.
    proof: Vec<String>,
    /// The root of the larger tree.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    to_root: String,
    /// The larger size.
    to_size: u64,
}

/// The newest checkpoint
///
/// How many entries there are and the root of the Merkle tree over them, signed: a C2SP checkpoint.
/// Covers every entry that was answered before. Keep one, and nobody can change what it covers
/// without being noticed.
#[utoipa::path(get, path = "/checkpoint", tag = "trust", operation_id = "checkpoint",
    responses(
        (status = 200, description = "The signed note", body = String, content_type = "text/plain; charset=utf-8",
         example = "gitops-status-server/000102030405060708090a0b0c0d0e0f\n2\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n\n— gitops-status-server/000102030405060708090a0b0c0d0e0f x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn checkpoint(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let head = app.readers.tree_head().await?;
    Ok(named(Prepared::new(sign(&app, &head)).answer(&request, TEXT), head.tree.size()))
}

/// The public keys
///
/// One on each line in the format of C2SP signed notes, the newest first; after a rotation the older
/// ones go on signing. Compare them with what came to you by another way than this server.
#[utoipa::path(get, path = "/checkpoint/key", tag = "trust", operation_id = "checkpoint_key",
    responses(
        (status = 200, description = "The keys", body = String, content_type = "text/plain; charset=utf-8",
         example = "gitops-status-server/000102030405060708090a0b0c0d0e0f+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n"),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match")))]
pub async fn keys(request: HttpRequest, app: web::Data<AppState>) -> HttpResponse {
    let keys = app.keys.public().join("\n") + "\n";
    Prepared::new(keys).answer(&request, TEXT)
}

/// That an entry is in the history
///
/// The Merkle path from the entry's leaf to the root of a checkpoint.
#[utoipa::path(get, path = "/proof/{id}", tag = "trust", operation_id = "prove_inclusion",
    params(
        ("id" = u64, Path, description = "The entry's id", example = 1, minimum = 1),
        ("size" = Option<u64>, Query, description = "The size of the checkpoint to prove it against (default: the newest)", example = 1)),
    responses(
        (status = 200, description = "The proof", body = InclusionProof<'_>),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A parameter is wrong", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 404, description = "There is no entry of this id", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn inclusion(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let head = app.readers.tree_head().await?;
    let (origin, newest) = (&head.origin, head.tree.size());
    let mut params = Params::of(&request)?;
    params.only(&["size"]);
    let id = params::id(&request)?.filter(|id| *id <= newest);
    let id = id.ok_or_else(Problem::no_such_entry)?;
    let size = params.number("size", id..=newest).unwrap_or(newest);
    params.check()?;
    let leaf = id - 1;
    let proof = app.readers.prove(origin, Question::Inclusion { leaf, size }).await?;
    let leaf_hash = app.readers.leaf(origin, leaf).await?;
    let root = root_of(&app, &head, size).await?;
    if !check_inclusion(&proof, size, root, leaf, leaf_hash) {
        return Err(Problem::contradicted(id));
    }
    let answer = InclusionProof {
        checkpoint: (size == newest).then(|| sign(&app, &head)),
        hash: hex(&leaf_hash.0),
        id: id.to_string(),
        origin,
        proof: proof.iter().map(|hash| hex(&hash.0)).collect(),
        root: hex(&root.0),
        size,
    };
    Ok(named(respond::json(&request, &answer), newest))
}

/// That the history has only grown
///
/// The path by which the tree of one checkpoint is seen to be the beginning of the tree of another.
#[utoipa::path(get, path = "/proof", tag = "trust", operation_id = "prove_consistency",
    params(
        ("from_size" = u64, Query, description = "The size of the older checkpoint", example = 1, minimum = 1),
        ("to_size" = Option<u64>, Query, description = "The size of the newer one (default: the newest)", example = 1)),
    responses(
        (status = 200, description = "The proof", body = ConsistencyProof<'_>),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A parameter is wrong", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn consistency(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let head = app.readers.tree_head().await?;
    let newest = head.tree.size();
    let mut params = Params::of(&request)?;
    params.only(&["from_size", "to_size"]);
    if params.all("from_size").is_empty() {
        params.error("from_size", "is needed: the size of the checkpoint you hold");
    }
    if newest == 0 {
        params.error("from_size", "there are no entries yet");
    }
    params.check()?;
    let to_size = params.number("to_size", 1..=newest).unwrap_or(newest);
    let from_size = params.number("from_size", 1..=to_size);
    params.check()?;
    let from_size = from_size.unwrap_or(to_size);
    let question = Question::Consistency { from: from_size, to: to_size };
    let proof = app.readers.prove(&head.origin, question).await?;
    let answer = ConsistencyProof {
        checkpoint: (to_size == newest).then(|| sign(&app, &head)),
        from_root: hex(&root_of(&app, &head, from_size).await?.0),
        from_size,
        origin: &head.origin,
        proof: proof.iter().map(|hash| hex(&hash.0)).collect(),
        to_root: hex(&root_of(&app, &head, to_size).await?.0),
        to_size,
    };
    Ok(named(respond::json(&request, &answer), newest))
}

/// The root at a size: of the newest tree as it was written with its entries, of older ones as the
/// kept subtrees say.
async fn root_of(app: &AppState, head: &TreeHead, size: u64) -> Result<Hash, Problem> {
    if size == head.tree.size() {
        return Ok(head.tree.root());
    }
    let root = app.readers.prove(&head.origin, Question::Root(size)).await?;
    Ok(root[0])
}

fn sign(app: &AppState, head: &TreeHead) -> String {
    let (size, root) = (head.tree.size(), head.tree.root());
    app.keys.sign(&Checkpoint { origin: head.origin.clone(), size, root })
}
