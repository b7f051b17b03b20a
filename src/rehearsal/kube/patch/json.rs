//! JSON patch (RFC 6902): a list of operations that all hold or none; a `test` that fails is a 422.

use serde_json::Value;

use super::super::status::Status;

/// Applies the operations to `target`, which is of no use after an error.
///
/// # Errors
/// 422 when an operation is none or does not fit the object.
pub(in super::super) fn patch(target: &mut Value, operations: &Value) -> Result<(), Status> {
    for operation in operations.as_array().into_iter().flatten() {
        let refuse = || Status::unprocessable_patch();
        let mut operation = operation.clone();
        if operation["op"] == "replace"
            && is_new_member(target, operation["path"].as_str().unwrap_or_default())
        {
            operation["op"] = "add".into();
        }
        let operation: json_patch::PatchOperation =
            serde_json::from_value(operation).map_err(|_| refuse())?;
        json_patch::patch(target, &[operation]).map_err(|_| refuse())?;
    }
    Ok(())
}

/// Whether a path names a member that its map does not have: a real server's `replace` adds it, other than RFC 6902
/// has it (evanphx/json-patch v4, `partialDoc.get`).
fn is_new_member(target: &Value, path: &str) -> bool {
    let Some((map, _)) = path.rsplit_once('/') else { return false };
    target.pointer(path).is_none() && target.pointer(map).is_some_and(Value::is_object)
}
