//! Workers of one proxy, each with its own module, that share one fetch.

use super::given::{SEND, VECTORS, headers, remote, token, with};
use super::host::{Board, Host};
use super::vm::{ROOT, Verdict, Vm};

const OK: &[(&str, &str)] = &[(":status", "200")];

fn worker(board: &Board) -> Vm {
    Vm::with(Host { verifies: true, clusters: vec!["idp"], board: board.clone(), ..Host::default() }, &remote())
}

/// A request that waits for keys, with its body.
fn waiting(vm: &mut Vm) -> u32 {
    let id = vm.open(&headers());
    vm.headers(id, false);
    vm.body(id, SEND, true);
    assert_eq!(vm.verdict(id), Verdict::Waiting);
    id
}

fn keys() -> Vec<u8> {
    VECTORS["keys"].to_string().into_bytes()
}

#[test]
fn two_workers_share_one_fetch() {
    let board = Board::default();
    let (mut first, mut second) = (worker(&board), worker(&board));
    let ids = [waiting(&mut first), waiting(&mut second)];
    first.tick();
    second.tick();
    assert_eq!((first.host().dispatched.len(), second.host().dispatched.len()), (1, 0));
    assert!(second.host().tick <= 50, "it looks again soon");
    second.tick();
    assert_eq!(second.verdict(ids[1]), Verdict::Waiting);
    first.answer(100, OK, &keys());
    assert_eq!(first.verdict(ids[0]).reason(), "ok");
    second.tick();
    assert_eq!(second.verdict(ids[1]).reason(), "ok");
    assert!(second.host().tick >= 100, "nothing to wait for");
    first.close(ids[0]);
    second.close(ids[1]);
    // A third worker, and one that starts anew, have them at once.
    let mut third = worker(&board);
    third.tick();
    assert_eq!(third.request(&headers(), &[SEND]).reason(), "ok");
    assert!(third.host().dispatched.is_empty());
}

#[test]
fn an_unknown_key_at_two_workers_is_one_fetch() {
    let board = Board::default();
    let (mut first, mut second) = (worker(&board), worker(&board));
    first.tick();
    first.answer(100, OK, &keys());
    second.tick();
    let unknown = with(headers(), "authorization", format!("Bearer {}", token("RS256 with a kid that is not there")));
    for vm in [&mut first, &mut second] {
        vm.wait(10);
        let id = vm.open(&unknown);
        vm.headers(id, false);
        vm.body(id, SEND, true);
        vm.tick();
    }
    assert_eq!((first.host().dispatched.len(), second.host().dispatched.len()), (2, 0));
    first.answer(101, OK, &keys());
    second.tick();
    for vm in [&mut first, &mut second] {
        let id = *vm.host().streams.keys().next().unwrap();
        assert_eq!(vm.verdict(id).reason(), "token_key_unknown");
        vm.close(id);
    }
}

#[test]
fn a_worker_that_dies_while_it_fetches_holds_nobody_for_long() {
    let board = Board::default();
    let (mut first, mut second) = (worker(&board), worker(&board));
    first.tick();
    second.tick();
    drop(first);
    second.wait(2);
    second.tick();
    assert!(second.host().dispatched.is_empty());
    second.wait(2);
    second.tick();
    assert_eq!(second.host().dispatched.len(), 1);
    second.answer(100, OK, &keys());
    assert_eq!(second.request(&headers(), &[SEND]).reason(), "ok");
}

#[test]
fn a_failure_is_everyones_and_is_followed_by_one_fetch() {
    let board = Board::default();
    let (mut first, mut second) = (worker(&board), worker(&board));
    let id = waiting(&mut second);
    first.tick();
    second.tick();
    first.answer(100, &[(":status", "503")], b"");
    second.tick();
    assert_eq!(second.verdict(id).reason(), "keys_unavailable");
    second.close(id);
    for vm in [&mut first, &mut second] {
        vm.wait(3);
    }
    second.tick();
    first.tick();
    assert_eq!((first.host().dispatched.len(), second.host().dispatched.len()), (1, 1));
}

#[test]
fn what_others_write_on_the_board_is_not_believed() {
    let board = Board::default();
    let mut vm = worker(&board);
    // The empty one says that this configuration was warned of.
    for value in board.borrow_mut().values_mut().filter(|(value, _)| !value.is_empty()) {
        value.0 = [&[0; 24][..], &[1], &keys(), &[0; 32]].concat();
    }
    vm.tick();
    assert_eq!(vm.host().dispatched.len(), 1);
    vm.answer(100, OK, &keys());
    let notes = || board.borrow().values().filter(|(value, _)| value.len() > 1000).count();
    assert_eq!(notes(), 1);
    // A configuration that ends wipes what it wrote.
    vm.host_mut().effective = ROOT;
    vm.call("proxy_on_done", &[ROOT]);
    assert!(board.borrow().values().all(|(value, _)| value.is_empty()));
}
