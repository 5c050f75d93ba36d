"""Runs a person's script as ``python`` would, and watches it from the moment it has loaded torch.

This module loads nothing heavy: what a script sets in its environment before it imports torch must still count.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import runpy
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from pellucid.errors import SettingsError
from pellucid.store.locations import default_runs_dir, is_uri
from pellucid.watch.launchers import watched_arguments
from pellucid.watch.replaced_sources import install_replaced_sources, read_replaced_sources

if TYPE_CHECKING:
    from pellucid.watch.script_watch import ScriptWatch

__all__ = ["Ending", "LaunchRequest", "launch"]

_OURS = str(Path(__file__).parents[1]) + os.sep
_HOOK_FRAMES = ("inner",)
"""Functions of torch's that stand between a module and its forward pass only where it carries hooks."""


@dataclass(frozen=True)
class LaunchRequest:
    """What is to be run.

    Attributes:
        target: A file, a console script, or with ``module`` a module's name.
        arguments: What the script finds in ``sys.argv`` after its own name.
        module: Whether the target is a module, as in ``python -m``.
        budget: Share of the training time that the watch may cost.
        full: Everything at every step.
        runs_dir: Where the run is made.
        name: What the run is called; '' means after the script.
        probe: Try things on copies of the model when the script has ended.
        headless: Of several processes each says its run's path and no more.
    """

    target: str
    arguments: tuple[str, ...] = ()
    module: bool = False
    budget: float = 0.03
    full: bool = False
    runs_dir: str | None = None
    name: str = ""
    probe: bool = False
    headless: bool = False

    def options(self) -> list[str]:
        """As words of ``pellucid run``."""
        given = {"--full": self.full, "--probe": self.probe, "--headless": self.headless}
        named = ["--name", self.name] if self.name else []
        flags = [word for word, on in given.items() if on]
        return ["--budget", str(self.budget), "--runs-dir", _absolute(self.runs_dir), *named, *flags]


@dataclass(frozen=True)
class Ending:
    """How a script ended.

    Attributes:
        code: For the process to leave with.
        interrupted: By Ctrl-C that nothing caught.
        run: The run's folder; '' where none could be made.
        problem: Why there is none, or why it is not whole.
    """

    code: int
    interrupted: bool
    run: str
    problem: str


def launch(request: LaunchRequest) -> Ending:
    """Run a script in this process under watch, until it and its threads have ended.

    Args:
        request: What to run, and how to watch it.

    Raises:
        SettingsError: There is no such script or module.
    """
    texts = read_replaced_sources()
    spread = watched_arguments(request.target, request.arguments, request.options())
    if spread is not None:
        request = replace(request, arguments=spread)
    target = _find(request, texts)
    install_replaced_sources(texts)
    session = _Session(request, target.file)
    if spread is None:  # a launcher has nothing to watch in itself
        session.prepare()
    code, error = 0, None
    try:
        target.execute()
    except SystemExit as leaving:
        code = _code_of(leaving)
    except BaseException as raised:
        error = raised
        code = 1
        _show(raised)
    _join_threads()
    if spread is None:
        session.finish(error)
    return Ending(
        code=code, interrupted=isinstance(error, KeyboardInterrupt), run=session.location, problem=session.problem
    )


@dataclass(frozen=True)
class _Target:
    file: Path | None
    execute: Callable[[], None]


def _find(request: LaunchRequest, texts: Mapping[str, str]) -> _Target:
    if request.module:
        return _find_module(request)
    path = Path(request.target)
    if path.is_dir() and (path / "__main__.py").is_file():
        _arrange([request.target, *request.arguments], str(path))
        return _Target(path / "__main__.py", lambda: _run_path(str(path)))
    if not path.is_file():
        found = shutil.which(request.target) if os.sep not in request.target else None
        if found is None or not _is_python(Path(found)):
            raise SettingsError(
                f"there is no script {request.target!r}",
                remedy="name a Python file, the command of an installed package, or a module with -m",
            )
        path = Path(found)
        request = replace(request, target=found)
    # As python does: the folder of the file itself, where the name is a link.
    _arrange([request.target, *request.arguments], str(path.resolve().parent))
    return _Target(path.resolve(), lambda: _run_file(path, texts.get(str(path.resolve()))))


def _is_python(file: Path) -> bool:
    with file.open("rb") as opened:
        first = opened.readline()
    return first.startswith(b"#!") and b"python" in first


def _find_module(request: LaunchRequest) -> _Target:
    _arrange(["-m", *request.arguments], str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(request.target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{request.target}.__main__")
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"the module {request.target!r} cannot be found: {error}", remedy="check its name and the folder you are in"
        ) from error
    if spec is None or not spec.origin:
        raise SettingsError(
            f"there is no module {request.target!r} that can be run",
            remedy="check its name and the folder you are in; a package needs a __main__.py",
        )
    file = Path(spec.origin)
    return _Target(file, lambda: _run_module(request.target))


def _arrange(arguments: list[str], folder: str) -> None:
    sys.argv[:] = arguments
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _run_file(path: Path, text: str | None) -> None:
    """Run a file in a new ``__main__``, as ``python FILE`` does; a text given stands in for what the file holds."""
    name = os.path.abspath(path)  # noqa: PTH100  # links are kept, as in python's own __file__
    main = _new_main(name)
    main.__dict__["__loader__"] = importlib.machinery.SourceFileLoader("__main__", name)
    with io.open_code(name) as opened:
        code = compile(opened.read() if text is None else text, name, "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102  # the person's own script


def _run_path(path: str) -> None:
    """Run a folder with a ``__main__.py``."""
    main = _new_main(path)
    sys.path.insert(0, path)
    del main
    runpy._run_module_as_main("__main__", alter_argv=False)  # pyright: ignore[reportAttributeAccessIssue]


def _run_module(name: str) -> None:
    """Run a module, as ``python -m NAME`` does; it names itself in ``sys.argv``."""
    _new_main("")
    runpy._run_module_as_main(name)  # pyright: ignore[reportAttributeAccessIssue]


def _new_main(file: str) -> ModuleType:
    main = ModuleType("__main__")
    main.__dict__.update(
        {"__builtins__": sys.modules["builtins"], "__file__": file, "__cached__": None, "__annotations__": {}}
    )
    sys.modules["__main__"] = main
    return main


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF if os.name == "posix" else leaving.code
    print(leaving.code, file=sys.stderr)
    return 1


def _join_threads() -> None:
    """Wait for the script's threads, as Python does before it leaves.

    Those of a pool end only when Python tells them to, which it does after us.
    """
    pools = sys.modules.get("concurrent.futures.thread")
    pooled = set(getattr(pools, "_threads_queues", ()))
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon and thread not in pooled:
            thread.join()


def _show(error: BaseException) -> None:
    """Say what a script failed with, as Python would: through its own hook, and without our frames."""
    seen: set[int] = set()
    open_errors: list[BaseException | None] = [error]
    while open_errors:
        each = open_errors.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _without_ours(each.__traceback__)
        open_errors += [each.__cause__, each.__context__]
        open_errors += getattr(each, "exceptions", ())
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:  # the person's own hook; Python goes on to say the error itself
        sys.__excepthook__(type(error), error, error.__traceback__)
    sys.stderr.flush()


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this package and of running a module."""
    kept: list[TracebackType] = []
    while trace is not None:
        if not _is_ours(trace):
            kept.append(trace)
        trace = trace.tb_next
    following: TracebackType | None = None
    for each in reversed(kept):
        following = TracebackType(following, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return following


def _is_ours(trace: TracebackType) -> bool:
    code = trace.tb_frame.f_code
    if code.co_filename.startswith(_OURS):
        return True
    if code.co_filename in {"<frozen runpy>", runpy.__file__}:
        return True
    return code.co_name in _HOOK_FRAMES and Path(code.co_filename).parts[-3:] == ("nn", "modules", "module.py")


class _Session:
    """The watch over one script; it begins when torch has been loaded."""

    def __init__(self, request: LaunchRequest, file: Path | None) -> None:
        self._request = request
        self._file = file
        self._watch: ScriptWatch | None = None
        self._process = os.getpid()
        self._runs_dir = _absolute(request.runs_dir)
        self.location = ""
        self.problem = ""

    def prepare(self) -> None:
        """Wait for torch."""
        if "torch" in sys.modules:
            self.begin()
        else:
            sys.meta_path.insert(0, _AfterTorch(self.begin))

    def begin(self) -> None:
        """Torch is there: watch. Whatever fails here, the script goes on."""
        if self._watch is not None or os.getpid() != self._process:
            return
        try:
            from pellucid.watch.script_parts import ScriptSettings
            from pellucid.watch.script_watch import ScriptWatch

            request = self._request
            settings = ScriptSettings(
                budget=request.budget,
                full=request.full,
                runs_dir=self._runs_dir,
                name=request.name,
                script=self._file,
                title=request.target if request.module else Path(request.target).name,
                arguments=request.arguments,
                module=request.target if request.module else "",
                probe=request.probe,
                starter=("pellucid", "run", *(["--full"] if request.full else [])),
            )
            self._watch = ScriptWatch(settings)
            self.location = self._watch.writer.location
            self._watch.start()
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def finish(self, error: BaseException | None) -> None:
        """The script has ended."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _AfterTorch)]
        if self._watch is None and not self.problem:
            self.begin()  # without torch there was nothing to see; the run says how it ended
        if self._watch is None:
            return
        self._watch.stop(error)
        self.problem = self.problem or self._watch.problem


def _absolute(runs_dir: str | None) -> str:
    """The folder of the runs, whatever folder the script goes to."""
    chosen = str(default_runs_dir()) if runs_dir is None else runs_dir
    return chosen if is_uri(chosen) else str(Path(chosen).absolute())


class _AfterTorch(importlib.abc.MetaPathFinder):
    """Lets others find torch, and calls back when it has been loaded."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._busy = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Of torch, what the others find, with a call at the end of loading; of all else nothing."""
        if fullname != "torch" or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec("torch")
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            self._call_after(spec.loader)
        return spec

    def _call_after(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the loader's own method again
            execute(module)
            sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
            self._call()

        loader.exec_module = exec_module
