//! Nothing that was started here outlives its owner.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sso_testkit::servers::{Pair, Postgres};

use super::until;

/// Whether a process has its working directory below `folder`.
fn inhabited(folder: &Path) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    })
}

fn folder(pair: &Pair) -> PathBuf {
    pair.primary.data().parent().unwrap().to_owned()
}

#[tokio::test]
async fn a_panic_leaves_no_process_and_no_folder() {
    let (tell, told) = std::sync::mpsc::channel();
    let panicked = tokio::spawn(async move {
        let mut pair = Pair::start().await.unwrap();
        // A frozen child holds up a shutdown that does not reckon with it.
        pair.primary.freeze_senders().await.unwrap();
        tell.send(folder(&pair)).unwrap();
        panic!("a test that fails");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    let folder = told.recv().unwrap();
    assert!(!inhabited(&folder));
    assert!(!folder.exists());
}

/// What the next test runs in a process of its own.
#[tokio::test]
#[ignore = "it waits to be killed by the next test"]
async fn the_child_that_is_killed() {
    let pair = Pair::start().await.unwrap();
    println!("in {}", folder(&pair).display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_test_process_that_is_killed_leaves_no_process_and_no_folder() {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["the_child_that_is_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines
        .map_while(Result::ok)
        .find_map(|line| Some(PathBuf::from(line.split_once("in /")?.1)))
        .map(|path| Path::new("/").join(path))
        .unwrap();
    assert!(inhabited(&folder));
    child.kill().unwrap();
    child.wait().unwrap();
    until("teardown", || async {
        !inhabited(&folder) && !folder.exists()
    })
    .await;
}

#[tokio::test]
async fn a_killed_server_leaves_no_shared_memory() {
    let mut server = Postgres::start().await.unwrap();
    let status = fs::read_to_string(server.node.data().join("postmaster.pid")).unwrap();
    let segment = status.lines().nth(6).unwrap();
    let id = segment.split_whitespace().nth(1).unwrap().to_owned();
    let exists = move || {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        table
            .lines()
            .any(|line| line.split_whitespace().nth(1) == Some(&id))
    };
    server.node.kill9().await.unwrap();
    assert!(exists());
    drop(server);
    assert!(!exists());
}
