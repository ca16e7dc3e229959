//! Builds small programs with the patch in them, each way that Rust programs are built.
//!
//! They are no members of the workspace, so their profiles and linkers are their own: a package is laid out
//! in a folder of its own, with the workspace's lock file, so that nothing is asked of a
//! registry. Knows nothing of what the programs do.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, OnceLock, PoisonError},
};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/builds/guest");
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const MANIFEST: &str = r#"
[workspace]
members = ["middle"]

[package]
name = "guest"
version = "0.0.0"
edition = "2024"
build = "HERE/link.rs"

[lib]
name = "checks"
path = "HERE/checks.rs"

[[bin]]
name = "named"
path = "HERE/named.rs"

[[bin]]
name = "unnamed"
path = "HERE/unnamed.rs"

[[bin]]
name = "through_middle"
path = "HERE/through_middle.rs"

[[example]]
name = "extension"
path = "HERE/extension.rs"
crate-type = ["cdylib"]

[dependencies]
greenroom = { path = "WORKSPACE/crates/greenroom" }
greenroom-patch = { path = "WORKSPACE/crates/greenroom-patch" }
middle = { path = "middle" }
libc = "0.2"

[profile.dev]
debug = 0
incremental = false

[profile.release]
lto = "fat"
codegen-units = 1
panic = "abort"
strip = true
"#;

const MIDDLE: &str = r#"
[package]
name = "middle"
version = "0.0.0"
edition = "2024"

[lib]
path = "HERE/middle.rs"

[dependencies]
greenroom-patch = { path = "WORKSPACE/crates/greenroom-patch" }
"#;

/// The folder in which all is built. Laid out the first time that it is asked for.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("builds");
        fs::create_dir_all(folder.join("middle")).unwrap();
        let fill_in = |text: &str| text.replace("HERE", HERE).replace("WORKSPACE", WORKSPACE);
        fs::write(folder.join("Cargo.toml"), fill_in(MANIFEST)).unwrap();
        fs::write(folder.join("middle/Cargo.toml"), fill_in(MIDDLE)).unwrap();
        fs::copy(Path::new(WORKSPACE).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let shared = ["-shared", "-fPIC", "-DSHARED"];
        compile(&folder, "calls.c", "object.o", &["-c", "-DNAME=object_calls"]);
        for (file, name) in [("liblinked.so", "linked_calls"), ("libloaded.so", "loaded_calls")] {
            let name = format!("-DNAME={name}");
            compile(&folder, "calls.c", file, &[&shared[..], &[&name]].concat());
        }
        compile(&folder, "host.c", "host", &["-ldl"]);
        folder
    })
}

/// Compiles as distributions do: with checks of buffers whose size is known.
fn compile(folder: &Path, source: &str, file: &str, arguments: &[&str]) {
    let out = folder.join(file);
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-o"]).arg(&out);
    cc.arg(Path::new(HERE).join(source)).args(arguments);
    assert!(cc.status().unwrap().success(), "{cc:?} failed");
}

/// One way to build.
pub(crate) struct Build {
    /// What of the package: `--bin named`.
    pub(crate) what: [&'static str; 2],
    pub(crate) release: bool,
    /// For the whole build, among others std's.
    pub(crate) flags: &'static str,
    /// For the last step only.
    pub(crate) link: &'static str,
}

impl Build {
    pub(crate) const fn of(what: [&'static str; 2]) -> Build {
        Build { what, release: false, flags: "", link: "" }
    }

    /// Builds, and gives the file a name that no other build uses.
    pub(crate) fn run(&self, name: &str) -> PathBuf {
        // Cargo builds one at a time in a folder, and gives all of them the same name.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let output = self.try_run();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?} cannot be built:\n{stderr}", self.what);
        let profile = if self.release { "release" } else { "debug" };
        let built = folder().join("target").join(target()).join(profile);
        let built = match self.what {
            ["--example", name] => built.join(format!("examples/lib{name}.so")),
            [_, name] => built.join(name),
        };
        let kept = folder().join(name);
        fs::copy(built, &kept).unwrap();
        kept
    }

    fn try_run(&self) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(folder()).args(["rustc", "--quiet", "--offline"]).args(self.what);
        // With a target of its own, the flags are not for build scripts.
        cargo.args(["--target", &target(), "--target-dir", "target"]);
        if self.release {
            cargo.arg("--release");
        }
        cargo.arg("--").args(self.link.split_whitespace());
        cargo.env("RUSTFLAGS", self.flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.env_remove("CARGO_BUILD_TARGET").output().unwrap()
    }
}

fn target() -> String {
    format!("{ARCH}-unknown-linux-gnu")
}
