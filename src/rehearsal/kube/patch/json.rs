//! JSON patch (RFC 6902): a list of operations that all hold or none; a `test` that fails is a 422.

use serde_json::Value;

use super::super::status::Status;

/// Applies the operations to `target`.
///
/// # Errors
/// 400 when the patch itself cannot be read, 422 when an operation does not fit the object.
pub(in super::super) fn patch(target: &mut Value, operations: &Value) -> Result<(), Status> {
    let operations: json_patch::Patch = serde_json::from_value(operations.clone())
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(target, &operations).map_err(|_| Status::unprocessable_patch())
}
