//! Every scenario on every engine that is built in, in its smallest size: figures or a reason, and nothing fails.
//!
//! Must never look at how large a figure is: the machine may be busy.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_engine_is_measured_or_says_why_not() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke.json");
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom-bench"))
        .args(["--smoke", "--json"])
        .arg(&file)
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let cases = report["cases"].as_array().unwrap();
    assert!(cases.len() >= 6, "{table}");
    for case in cases {
        for row in case["rows"].as_array().unwrap() {
            match row["outcome"].as_str() {
                Some("measured") => assert!(row["median"].is_number(), "{row}"),
                Some("abstains") => assert!(row["why"].is_string(), "{row}"),
                _ => panic!("{} {}: {row}\n{table}", case["scenario"], case["param"]),
            }
        }
    }
}

#[test]
fn a_word_not_understood_ends_the_run_with_an_error() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_greenroom-bench")).arg("--sped").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--sped"));
}
