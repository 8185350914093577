"""commit RUN CTID... - the dangerous part of a run, done on the node alone.

Swaps in what was staged in RUN/CTID (`node.staged`), restarts the container and proves it; or puts
the old state back, restarts and proves that. Runs in a transient unit, so that losing the operator
does not stop it; whatever stops the unit has `node.recover` take it up.

A new daemon.json of the guest takes effect with the container's restart, or else with one of
Docker. In a stopped container it is not touched.

Of several, each has its own transaction, as if it were the only one; after a failure no other is
begun.

The last line about each says how it ended (`phoenix.runs.outcome`), and so does the exit code:
      0 done · 1 failed, the old state is back · 2 refused, nothing was changed
      3 failed, and the old state could not be proven: look at it by hand
      4 the conf or daemon.json is not the one that this was planned on, or the container is on
        another node by now; nothing was changed: the operator's side may plan anew; of several, the
        others are done
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from node import restart
from node.daemon_json import CHANGED, GuestError
from node.files import NONE, digest, read
from node.moved import is_away
from node.root import at
from node.say import Stop, say
from node.staged import Staged
from node.state import RunFolder, each, lock, named
from node.transaction import Transaction
from phoenix.docker.names import DAEMON_JSON
from phoenix.runs.journal import JournalError
from phoenix.runs.outcome import EXIT, Ending

Kind = TypeVar("Kind", bound=Transaction)


def main(words: list[str]) -> int:
    """Do it, each under the lock."""
    every = each(words)
    if len(every) == 1:
        return _commit(words)
    for one in every:
        named(one)
    changed = 0
    for one in every:
        try:
            code = _commit(one)
        except Stop as stop:
            say(stop.text)
            code = stop.code
        if code == EXIT[Ending.CHANGED]:
            changed = code
        elif code:
            return code
    return changed


def _commit(words: list[str]) -> int:
    with taken_up(words, Transaction) as its:
        begin(its)
        return its.end()


@contextmanager
def taken_up(words: list[str], kind: Callable[[RunFolder, int], Kind]) -> Iterator[Kind]:
    """The transaction of `RUN CTID`, as it is once the lock is ours. Raises Stop."""
    folder, ctid = named(words)
    # without it there is nothing to wait for
    Staged(folder, ctid)
    with lock(f"run {folder.run}, CT {ctid}", ctid=ctid):
        its = kind(folder, ctid)
        try:
            yield its
        finally:
            its.close()


def begin(its: Transaction) -> None:
    """The swap, with everything on disk before it. Raises Stop where nothing was changed."""
    check_journal(its)
    if is_away(its.ctid):
        raise its.changed(its.conf_name)
    _look_whether_it_runs(its)
    if its.staged.restart or its.daemon:
        its.owners.note()
        its.health.note()
    ours = _keep_note(its)
    _keep_conf(its)
    if its.daemon:
        _keep_daemon(its)
    its.ha.take()
    try:
        _swap(its, ours)
    except Stop as stop:
        if left := its.ha.give_back():
            raise its.failed(f"nothing was changed, but {left}") from stop
        raise


def _swap(its: Transaction, ours: str) -> None:
    """`ours`: the digest of the note of what was ours before. Raises Stop."""
    staged = its.staged
    its.write("intent", before=staged.before, after=staged.after, ours=ours)
    if its.daemon:
        its.write_daemon("intent", **its.daemon.intent())
        _put_daemon(its)
    if its.swap(staged.conf, staged.before):
        return
    _take_back(its)
    if its.digest() != staged.before:
        raise its.changed(its.conf_name)
    raise its.refused("nothing was changed")


def check_journal(its: Transaction) -> None:
    """Have it ready for another line, if all that it says is ours. Raises Stop."""
    try:
        its.journal.read()
    except JournalError as error:
        raise its.refused(f"{its.journal.path}: {error}: nothing was changed") from None
    its.journal.drop_cut_line()


def _look_whether_it_runs(its: Transaction) -> None:
    """Only running containers are restarted, and only in them daemon.json is touched."""
    state = restart.state(its.ctid)
    if state == "running":
        return
    if state != "stopped":
        raise its.refused(f"its state is not known, nothing was changed: try pct status {its.ctid}")
    its.staged.forget_restart()
    if its.daemon:
        its.say(f"does not run: its {DAEMON_JSON} stays as it is")
        its.staged.forget_daemon()
        its.daemon = None


def _keep_note(its: Transaction) -> str:
    """Keep the note of what was ours before; gives its digest."""
    try:
        note = read(its.note_path)
        return NONE if note is None else its.folder.keep(note)
    except OSError:
        raise its.refused(f"cannot keep a copy of {its.note_path} in {its.folder.path}") from None


def _keep_conf(its: Transaction) -> None:
    cannot = its.refused(f"cannot keep a copy of {its.conf_name} in {its.folder.path}")
    try:
        conf = read(at(its.conf_name))
        if conf is None or digest(conf) != its.staged.before:
            raise its.changed(its.conf_name)
        its.folder.keep(conf)
    except OSError:
        raise cannot from None


def _keep_daemon(its: Transaction) -> None:
    assert its.daemon
    try:
        if not its.daemon.keep():
            raise its.changed(DAEMON_JSON)
    except (GuestError, OSError) as error:
        where = its.folder.path
        raise its.refused(f"cannot keep a copy of {DAEMON_JSON} in {where}: {error}") from None


def _put_daemon(its: Transaction) -> None:
    assert its.daemon
    code = its.daemon.put_new()
    if code == 0:
        return
    # cut short it may have come through all the same
    _take_back(its)
    if code == CHANGED:
        raise its.changed(DAEMON_JSON)
    raise its.refused(f"{DAEMON_JSON} cannot be replaced, see above: nothing was changed")


def _take_back(its: Transaction) -> None:
    """Nothing shall have been changed; the journal says so."""
    if its.daemon:
        its.daemon.back()
    its.note_daemon("refused")
    its.note("refused")
