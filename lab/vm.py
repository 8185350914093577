"""Up, reset and down: a checkout's lab of one stack as one object."""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path

from lab import accel, cache, emulator, recipe, saved, tools, zfs
from lab.build import build_trees
from lab.errors import EndedError, LabError
from lab.instance import Instance, State
from lab.machine import Machine, fingerprint
from lab.progress import say, step
from lab.provision import build_image
from lab.ssh import SshTarget

LOAD_TIMEOUT = 300.0


class Lab:
    """The lab of one checkout and stack; without *stack* of the one that the environment names.

    *number*: its first node, or the second.
    """

    def __init__(self, checkout: Path, stack: str | None = None, number: int = 1) -> None:
        self.stack = recipe.chosen(stack)
        self.instance = Instance(checkout, self.stack, number)
        self.folder = self.instance.folder

    def up(self) -> SshTarget:
        """Build what is missing, and load the state ``clean``."""
        with self._locked():
            self.folder.mkdir(parents=True, exist_ok=True)
            state = self.instance.read()
            target = self.instance.target()
            if target and state and self._as_wanted(state):
                say(f"already running ({state.accel}, SSH on port {target.port})")
                return target
            tools.ensure()
            trees, image = images(self.stack)
            machine = Machine(self.folder, trees)
            machine.end()
            chosen = accel.choose(trees / "vmlinuz")
            if state and (reason := self._stale(state, image, chosen)):
                say(f"{reason}: making this checkout's node anew")
                state = None
            if state:
                try:
                    return self._load(machine, state)
                except LabError as problem:
                    say(f"the saved state is of no use ({problem}): making the node anew")
            return self._begin(machine, image, chosen)

    def reset(self) -> SshTarget:
        """Put the running node back into the state ``clean`` and set its clock."""
        state = self.instance.read()
        if state is None:
            raise LabError("no clean state is saved: run 'phoenix lab up'")
        began = time.monotonic()
        target = self.load(saved.TAG)
        say(f"reset in {time.monotonic() - began:.0f} s")
        return target

    def save(self, tag: str) -> None:
        """Save the running node, all that happens in it included, under a name of its own."""
        with self._locked():
            self.target().hang_up()
            Machine(self.folder, Path()).save(tag)

    def load(self, tag: str) -> SshTarget:
        """Put the running node back into a saved state and set its clock."""
        with self._locked():
            machine, target = Machine(self.folder, Path()), self.target()
            self.instance.joined.unlink(missing_ok=True)
            target.hang_up()
            machine.load(tag)
            self._set_clock(machine, target)
        return target

    def zfs(self) -> None:
        """Put ZFS into the running node, and CT 959 whose disk is on it; a reset takes it away."""
        with self._locked():
            zfs.put_in(self.stack, self.target())

    def power_cut(self) -> None:
        """Take the running node's power and give it back; return when all that starts has."""
        with self._locked():
            machine, target = Machine(self.folder, Path()), self.target()
            target.hang_up()
            machine.reset_power()
            saved.wait_booted(machine, target)
            self._set_clock(machine, target)

    def forget(self, tag: str) -> None:
        """Remove a saved state, to have its space back."""
        with self._locked():
            Machine(self.folder, Path()).forget(tag)

    def down(self, *, purge: bool = False) -> None:
        """End the VM; disk and saved states stay, unless *purge* removes them and the images."""
        if self.folder.exists():
            with self._locked():
                machine = Machine(self.folder, Path())
                running = machine.pid() is not None
                say(f"{self.stack.name}: {'stopping the VM' if running else 'not running'}")
                machine.end()
                if purge:
                    shutil.rmtree(self.folder)
        if purge:
            cache.purge(self.stack.name)

    def target(self) -> SshTarget:
        """Where the node answers; an error when it isn't up."""
        target = self.instance.target()
        if target is None:
            raise LabError("the lab is not running: run 'phoenix lab up'")
        return target

    def _locked(self) -> AbstractContextManager[None]:
        return cache.locked(self.instance.lock, f"another command on the {self.stack.name} lab")

    def _as_wanted(self, state: State) -> bool:
        same = state.machine == fingerprint(state.accel)
        return same and state.recipe == recipe.image_key(self.stack)

    def _stale(self, state: State, image: Path, chosen: str) -> str | None:
        if not (self.folder / "disk.qcow2").exists():
            return "its disk is gone"
        if state.recipe != recipe.image_key(self.stack):
            return "the recipe has changed"
        if state.image != cache.build_id(image):
            return "the images were built anew"
        if state.accel != chosen:
            return f"the saved state needs {state.accel} and this machine has {chosen}"
        if state.machine != fingerprint(chosen):
            return "the node is another machine now"
        if state.qemu != emulator.version():
            return "QEMU is another version than the one that saved the state"
        return None

    def _begin(self, machine: Machine, image: Path, chosen: str) -> SshTarget:
        """The node as all checkouts begin with it; what this one had is given up."""
        state = State(
            recipe.image_key(self.stack),
            cache.build_id(image),
            emulator.version(),
            chosen,
            fingerprint(chosen),
            port=0,
        )
        node, build = self._copy(machine, image, chosen)
        try:
            return self._load(machine, state)
        except EndedError as problem:
            say(f"the cached node is of no use ({problem}): booting it anew")
        cache.drop(node, build)
        self._copy(machine, image, chosen)
        return self._load(machine, state)

    def _copy(self, machine: Machine, image: Path, chosen: str) -> tuple[Path, str]:
        """Take over the cached node; where it lies, and of which build it is."""
        node = saved.place(self.stack, image, machine.trees, chosen)
        self.instance.forget()
        saved.copy(node, self.folder)
        return node, cache.build_id(node)

    def _load(self, machine: Machine, state: State) -> SshTarget:
        state.ready = False
        self.instance.joined.unlink(missing_ok=True)
        self.instance.write(state)
        try:
            with step(f"loading the saved state ({state.accel})"):
                target = machine.start(accel=state.accel, load=saved.TAG)
                self._set_clock(machine, target)
                target.learn_host_key()
        except BaseException:
            machine.end()
            raise
        state.port, state.ready = target.port, True
        self.instance.write(state)
        say(f"up ({state.accel}, SSH on port {target.port})")
        return target

    def _set_clock(self, machine: Machine, target: SshTarget) -> None:
        """A loaded state has the time of its saving."""
        end = time.monotonic() + LOAD_TIMEOUT
        while not target.greets():
            machine.check_alive()
            if time.monotonic() > end:
                raise LabError("the node does not answer after loading its state")
            time.sleep(0.2)
        target.run(f"date -s @{time.time() + 0.5:.2f}", timeout=LOAD_TIMEOUT)


def images(stack: recipe.Stack) -> tuple[Path, Path]:
    """The cached trees and the cached image of a stack, built first if need be."""
    name = f"{stack.name}.trees-{recipe.trees_key(stack)}"
    trees = cache.entry(name, lambda folder: build_trees(folder, stack), saved.clean_up)
    name = f"{stack.name}.image-{recipe.image_key(stack)}-{cache.build_id(trees)[:8]}"
    image = cache.entry(name, lambda folder: build_image(folder, trees), saved.clean_up)
    cache.prune(trees)
    cache.prune(image)
    return trees, image
