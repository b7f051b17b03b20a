//! Langfuse's Python SDK: 2.60 (ingestion API) and 3 (OTLP).

use crate::foreign;
use crate::sdk::{read_back, send};
use crate::sides::{Side, Stores};

#[test]
fn python_sdk_2_on_v2_and_on_v3() {
    let Some(python) = foreign::python("sdk2") else { return };
    let stores = Stores::start(&[]);
    for (address, run, side) in [("v2_url", "py2-v2", Side::V2), ("v3_url", "py2-v3", Side::V3)] {
        let report = send(&stores, &python, "sdk2.py", address, run, side);
        assert_eq!(report["sdk"], "2.60.10");
        read_back(&stores, &python, "sdk2.py", address, run);
    }
}
