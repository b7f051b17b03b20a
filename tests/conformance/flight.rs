//! The whole rehearsal on a real API server: one flight there and back.

use std::time::Duration;

use super::common::rehearsal::Rehearsal;
use super::real;

const SMALL: [&str; 10] =
    ["--kube", "real", "--traces", "2000", "--rate", "20", "--seed", "7", "--scenario", "happy"];

#[test]
fn a_rehearsal_flies_on_a_real_api_server() {
    let Some(assets) = real::assets() else { return };
    let rehearsal = Rehearsal::start_with(&SMALL, &[("KUBEBUILDER_ASSETS", &assets)]);
    let stored = |percent: u64| {
        move |text: &str| {
            let status: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            status["split"]["stored"] == percent
        }
    };
    rehearsal.until(&["status", "--json"], Duration::from_secs(60), stored(0));
    // The certificate that a real one makes for itself.
    assert!(rehearsal.dir().join("kubernetes/apiserver.crt").is_file());

    let shift = rehearsal.verb(&["shift", "--to", "5", "--yes"]);
    assert!(shift.status.success(), "{}", String::from_utf8_lossy(&shift.stderr));
    rehearsal.until(&["status", "--json"], Duration::from_secs(30), stored(5));

    let rollback = rehearsal.verb(&["rollback", "--yes"]);
    assert!(rollback.status.success(), "{}", String::from_utf8_lossy(&rollback.stderr));
    rehearsal.until(&["status", "--json"], Duration::from_secs(30), stored(0));
    let journal = rehearsal.verb(&["journal", "--verify"]);
    assert!(journal.status.success(), "{journal:?}");
    assert_eq!(rehearsal.stop(), Some(0));
}
