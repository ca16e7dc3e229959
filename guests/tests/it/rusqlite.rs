//! `rusqlite`: SQLite reads and writes files, which the kernel never makes anyone wait for. So its calls pass
//! through, and hold up their OS thread; only its wait for another's lock, which is a sleep, is green.

use std::{
    env, fs,
    path::PathBuf,
    process,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use greenroom_guests::WAIT;
use rusqlite::{Connection, ErrorCode, Result};

struct Base(PathBuf);

impl Base {
    fn make() -> Base {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("greenroom-sqlite-{}-{count}", process::id()));
        let base = Base(path);
        base.open(Duration::ZERO).execute_batch("create table t (n, text)").expect("a table");
        base
    }

    fn open(&self, busy: Duration) -> Connection {
        let connection = Connection::open(&self.0).expect("a file");
        connection.busy_timeout(busy).expect("a timeout can be set");
        connection
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the folder of temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes some rows and reads them back.
fn work(base: &Base) -> Result<Vec<(i64, String)>> {
    let connection = base.open(Duration::from_secs(60));
    for n in 0..20 {
        let text = format!("line {n}").repeat(n);
        connection.execute("insert into t values (?1, ?2)", (n as i64, text))?;
    }
    let mut rows = connection.prepare("select n, text from t order by n, text")?;
    rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

#[test]
fn sqlite_gives_what_it_gives_on_an_os_thread() {
    let plain = std::thread::spawn(|| work(&Base::make())).join().expect("no panic");
    let green = greenroom::spawn(|| work(&Base::make())).join().expect("no panic");
    assert_eq!(plain.expect("SQLite works").len(), 20);
    let again = std::thread::spawn(|| work(&Base::make())).join().expect("no panic");
    assert_eq!(green.expect("SQLite works on a green thread"), again.expect("SQLite works"));
}

#[test]
fn a_wait_for_a_lock_of_sqlite_lets_others_run() {
    let base = Rc::new(Base::make());
    let holder = greenroom::spawn({
        let base = base.clone();
        move || {
            let connection = base.open(Duration::ZERO);
            connection.execute_batch("begin exclusive; insert into t values (1, 'a')")?;
            // Only somebody who runs can let go.
            greenroom::sleep(WAIT);
            connection.execute_batch("commit")
        }
    });
    let waiter = greenroom::spawn(move || {
        let begin = Instant::now();
        let connection = base.open(Duration::from_secs(60));
        let count: i64 = connection.query_row("select count(*) from t", (), |row| row.get(0))?;
        Ok((count, begin.elapsed()))
    });
    holder.join().expect("no panic").expect("the lock was free");
    let waited: Result<(i64, Duration)> = waiter.join().expect("no panic");
    let (count, time) = waited.expect("the lock gets free in time");
    assert_eq!(count, 1);
    assert!(time >= WAIT / 2, "there was something to wait for: {time:?}");
}

#[test]
fn its_own_timeout_ends_a_wait_for_a_lock() {
    let base = Rc::new(Base::make());
    let owner = base.open(Duration::ZERO);
    owner.execute_batch("begin exclusive").expect("the lock is free");
    let waiter = greenroom::spawn({
        let base = base.clone();
        move || base.open(WAIT).execute("insert into t values (1, 'a')", ())
    });
    let error = waiter.join().expect("no panic").expect_err("the lock is never free");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
}

#[test]
fn who_is_killed_at_a_lock_of_sqlite_ends_with_its_timeout() {
    let base = Rc::new(Base::make());
    let owner = base.open(Duration::ZERO);
    owner.execute_batch("begin exclusive").expect("the lock is free");
    let waiter = greenroom::spawn({
        let base = base.clone();
        move || {
            let error =
                base.open(Duration::from_secs(2)).execute("insert into t values (1, 'a')", ());
            assert!(error.is_err());
            greenroom::yield_now();
        }
    });
    greenroom::sleep(WAIT);
    waiter.kill();
    assert!(waiter.join().is_err_and(|error| error.is_killed()));
}
