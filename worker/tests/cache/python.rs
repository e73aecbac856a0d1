//! The lines of `docs/embeddings.md` do what they say.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use permafrost_worker::{
    cache::{Embeddings, Layout},
    task::{Dtype, Output},
};

use crate::support::{World, path, rows};

/// Names the Python of the tests.
const PYTHON: &str = "PERMAFROST_TEST_PYTHON";

/// The blocks of Python in the documentation, in order.
fn blocks() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/embeddings.md");
    let text = std::fs::read_to_string(file).unwrap();
    text.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs Python in a folder; nothing, and a word about it, where NumPy or safetensors are not there.
fn python(folder: &Path, code: &str) -> Option<String> {
    let interpreter = std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into());
    let run =
        |code: &str| Command::new(&interpreter).args(["-c", code]).current_dir(folder).stderr(Stdio::piped()).output();
    if !run("import numpy, safetensors").is_ok_and(|output| output.status.success()) {
        writeln!(std::io::stderr().lock(), "skipped: {PYTHON} names no Python with numpy and safetensors").unwrap();
        return None;
    }
    let output = run(code).unwrap();
    assert!(output.status.success(), "{code}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_shard_opens_in_three_lines_of_python() {
    let code = &blocks()[0];
    assert_eq!(code.lines().count(), 3, "{code}");
    // Twelve shards, as the documentation has.
    let rows = rows(380, 4);
    for dtype in [Dtype::F32, Dtype::F16] {
        let world = World::new(Output::Pooled, dtype);
        let files = world.embed(&Layout::pooled(4, dtype), &rows, &[]);
        let shard = path(world.home(), &files, "embeddings-00000-of-00012.safetensors");
        let code = format!("{code}print(json.dumps({{id: row.tolist() for id, row in rows.items()}}))");
        let Some(found) = python(shard.parent().unwrap(), &code) else { return };
        let found: BTreeMap<String, Vec<f32>> = serde_json::from_str(&found).unwrap();
        let read = Embeddings::open(world.home(), &files).unwrap();
        let expected = read.ids().iter().take_while(|id| !rows[32..].iter().any(|(other, _)| other == *id));
        let expected: BTreeMap<String, Vec<f32>> =
            expected.map(|id| (id.clone(), read.get(id).unwrap().into_owned())).collect();
        assert_eq!(found.len(), 27);
        assert_eq!(found, expected);
    }
}

/// What the documentation saves can be imported: the header of the file is one that is read.
#[test]
fn what_python_saves_is_what_an_import_reads() {
    let code = &blocks()[1];
    let folder = tempfile::tempdir().unwrap();
    let setup = "import numpy\nids = ['a', 'b']\nvectors = [[1.0, 2.0], [3.0, 4.0]]\n";
    if python(folder.path(), &format!("{setup}{code}")).is_none() {
        return;
    }
    let [values, ids] = ["vectors.npy", "ids.txt"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert!(values.starts_with(b"\x93NUMPY\x01\x00") && values.ends_with(&4.0_f32.to_le_bytes()));
    assert_eq!(values.len(), 128 + 16);
    assert_eq!(ids, b"a\nb\n");
}
