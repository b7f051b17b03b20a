//! Langfuse's JS SDK 3 (npm `langfuse`).

use crate::foreign;
use crate::sdk::{read_back, send};
use crate::sides::{Side, Stores};

#[test]
fn js_sdk_3_on_v2_and_on_v3() {
    let Some(node) = foreign::node() else { return };
    let stores = Stores::start(&[]);
    for (address, run, side) in [("v2_url", "js-v2", Side::V2), ("v3_url", "js-v3", Side::V3)] {
        send(&stores, &node, "sdk.mjs", address, run, side);
        read_back(&stores, &node, "sdk.mjs", address, run);
    }
}
