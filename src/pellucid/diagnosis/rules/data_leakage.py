"""Information of the test data enters training: the reported figure is better than an honest one.

Four signs, by strength: an input column that is the target itself; held-out rows that stand among the training rows
(a fifth of every evaluated batch, where the script speaks of a test set; or all of them, where the line that
evaluates names held-out data); windows of a series, parted at random,
that overlap by all but one place; and features chosen, or examples multiplied, on all the data before the split, in
the source. A scaler fitted before the split leaks next to nothing and is a note.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.augmenting import held_out_name, train_name
from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.phases import flat_rows
from pellucid.diagnosis.rule import Rule, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.results.diagnosis import EvidenceFigure, Finding
from pellucid.results.watched_script import CodeLine, ExamplesSeen

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["RULE", "find"]

_REPEATED = 0.2
_ALL = 0.98
"""Of every evaluated batch: it may be the training part itself that is evaluated."""
_BESIDE = 0.3
"""Of an evaluated batch, among the rows kept of the batch trained on at that step."""
_LEAST_COLUMNS = 3
_LEAST_DISTINCT = 0.8
"""Of the rows: with fewer distinct ones the same row comes twice by itself."""
_SAME = 1 - 1e-6
_WINDOWS = 0.5
_CHOOSING = ("SelectKBest", "SelectPercentile", "SelectFromModel", "RFE", "RFECV", "TargetEncoder")
_SCORING = (
    "f_classif",
    "f_regression",
    "chi2",
    "mutual_info_classif",
    "mutual_info_regression",
    "corrcoef",
    "corrwith",
)
_MULTIPLYING = ("SMOTE", "ADASYN", "RandomOverSampler", "fit_resample", "resample", "repeat_interleave")
_SCALING = ("StandardScaler", "MinMaxScaler", "RobustScaler", "PCA", "scale")


def find(evidence: Evidence) -> Finding | None:
    """What is tested is known from training."""
    seen = evidence.examples("train")
    if seen is not None and len(seen.targets) and not seen.tokens and (column := _target_column(seen)) >= 0:
        said = [figure("input column that is the target", column)]
        title = f"Input column {column} is the target itself"
        return _finding(("fault", 0.93), title, None, said, "Leave that column out of the inputs.")
    share = _shared(evidence)
    if share > _REPEATED:
        said = [figure("share of evaluated rows that were trained on", share, "0")]
        title = f"{share:.0%} of the evaluated examples stand among the training examples"
        place = _split_line(evidence)
        return _finding(
            ("fault", 0.85),
            title,
            place,
            said,
            "Split before anything is repeated or drawn, so that no row is in both parts.",
        )
    windows = _overlapping(evidence)
    if windows > _WINDOWS:
        said = [figure("share of evaluated windows that overlap a training window", windows, "near 0")]
        title = "Windows of one series are parted at random: those of the test overlap those of training"
        return _finding(
            ("warning", 0.7), title, _split_line(evidence), said, "Split the series by time, then cut it into windows."
        )
    return _from_source(evidence)


def _finding(
    how: tuple[str, float], title: str, place: CodeLine | None, said: list[EvidenceFigure], fix: str
) -> Finding:
    severity, certainty = how
    return make_finding(
        "data_leakage",
        severity="fault" if severity == "fault" else "warning" if severity == "warning" else "note",
        certainty=certainty,
        title=title,
        place=place,
        evidence=said,
        why="What is tested was known while training, so that the figure says nothing of new data.",
        fix=fix,
        disproof="On examples that had no part in training or preparation the figure is as good.",
    )


def _target_column(seen: ExamplesSeen) -> int:
    """The number of an input column that equals the target up to scale; −1 for none."""
    targets = np.asarray(seen.targets, dtype=np.float64).reshape(len(seen.targets), -1)
    rows = np.asarray(seen.inputs, dtype=np.float64).reshape(len(seen.inputs), -1)
    if targets.shape[1] != 1 or len(targets) < 30 or len(np.unique(targets)) < 2 or rows.shape[1] < 2:
        return -1
    aim = targets[:, 0] - targets[:, 0].mean()
    centred = rows - rows.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=0) * np.square(aim).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        related = np.abs(centred.T @ aim) / size
    related = np.where(np.isfinite(related), related, 0.0)
    return int(related.argmax()) if related.max() > _SAME else -1


def _speaks_of_test(evidence: Evidence) -> bool:
    names = {node.id for _, tree in trees(evidence) for node in ast.walk(tree) if isinstance(node, ast.Name)}
    printed = " ".join(evidence.metric_names)
    return any(held_out_name(name) for name in names) or held_out_name(printed)


def _shared(evidence: Evidence) -> float:
    """The least share of repeated rows over evaluated batches: an evaluation of the training part alone is no leak."""
    both = evidence.phases
    seen = both.evaluation
    if not both.both or seen is None or seen.tokens or not _speaks_of_test(evidence):
        return 0.0
    rows = flat_rows(seen)
    if rows.shape[1] < _LEAST_COLUMNS:
        return 0.0
    shares = []
    known, trained = _rows_by_step(both.train), _trained_lines(evidence)
    doubtful = any(trained.values())  # of steps whose lines are not known
    for batch in np.unique(seen.batch):
        mine = seen.batch == batch
        step = int(seen.step[mine][0])
        if mine.sum() < 8 or trained.get(step, doubtful):
            continue
        beside = known.get(step, set()) | known.get(step - 1, set())
        if np.mean([row.tobytes() in beside for row in rows[mine]]) > _BESIDE:
            continue  # a teacher's or a frozen trunk's look at the very batch that is trained on
        if len(np.unique(rows[mine], axis=0)) < _LEAST_DISTINCT * mine.sum():
            return 0.0
        shares.append(float(both.repeated[mine].mean()))
    if not shares or (min(shares) >= _ALL and not _evaluates_held_out(evidence)):
        return 0.0
    return min(shares)


def _rows_by_step(seen: ExamplesSeen | None) -> dict[int, set[bytes]]:
    found: dict[int, set[bytes]] = {}
    if seen is not None:
        for step, row in zip(seen.step, flat_rows(seen), strict=True):
            found.setdefault(int(step), set()).add(row.tobytes())
    return found


def _trained_lines(evidence: Evidence) -> dict[int, bool]:
    """Steps of which the lines that evaluate are known, and whether they take training data and no held-out data.

    They name it, or take all of what training takes its rows from, to part it afterwards.
    """
    lines: dict[int, list[str]] = {}
    partial: set[int] = set()
    wholes = _trained_from(evidence)
    for call in evidence.calls(phase="evaluation"):
        given = [facts.shape for facts in call.inputs if facts.origin == "input"]
        if given:
            lines.setdefault(call.step, []).append(call.place.text)
            partial |= set() if any(shape in wholes for shape in given) else {call.step}
    return {step: step not in partial or _names_training(" ".join(texts)) for step, texts in lines.items()}


def _trained_from(evidence: Evidence) -> set[tuple[int, ...]]:
    """The shapes of the tensors out of which a training step picks the rows that it gives to a model."""
    return {
        call.inputs[0].shape
        for wiring in evidence.wirings("train")[:1]
        for call in wiring.calls
        if call.function == "getitem" and len(call.inputs) > 1 and any(user.model >= 0 for user in wiring.users(call))
    }


def _names_training(text: str) -> bool:
    words = [word for word in re.findall(r"[A-Za-z_]\w*", text) if len(word) > 2]
    return any(train_name(word) for word in words) and not any(held_out_name(word) for word in words)


def _evaluates_held_out(evidence: Evidence) -> bool:
    """Whether what is evaluated goes by the name of held-out data, by that alone, and by no other line."""
    lines = {one.place.text for one in evidence.script.loaders if not one.trained and one.passes > 0}
    if not lines:
        lines = {
            call.place.text
            for call in evidence.calls(phase="evaluation")
            if any(facts.origin == "input" for facts in call.inputs)
        }
    return bool(lines) and all(_names_held_out(line) for line in lines)


def _names_held_out(line: str) -> bool:
    words = [word for word in re.findall(r"[A-Za-z_]\w*", line.rpartition(" in ")[2]) if len(word) > 2]  # xb: any batch
    return any(held_out_name(word) for word in words) and not any(train_name(word) for word in words)


def _overlapping(evidence: Evidence) -> float:
    both = evidence.phases
    if not both.both or both.train is None or both.evaluation is None or both.train.tokens:
        return 0.0
    train, held = flat_rows(both.train), flat_rows(both.evaluation)
    if train.shape[1] < 6 or len(both.train.shape) > 2 or not _speaks_of_test(evidence):
        return 0.0
    heads = {row[:-1].tobytes() for row in train} | {row[1:].tobytes() for row in train}
    known = {row.tobytes() for row in train}
    hits = [row[1:].tobytes() in heads or row[:-1].tobytes() in heads for row in held if row.tobytes() not in known]
    return float(np.mean(hits)) if len(hits) >= 30 else 0.0


def _split_line(evidence: Evidence) -> CodeLine | None:
    line = _split(evidence)
    return evidence.place(*line) if line else None


def _split(evidence: Evidence) -> tuple[str, int] | None:
    """The first line that parts the data."""
    for file, tree in trees(evidence):
        found = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and call_name(node.func) in ("train_test_split", "random_split")
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and any(
                isinstance(one, ast.Name) and held_out_name(one.id) for aim in node.targets for one in ast.walk(aim)
            ):
                found.append(node.lineno)
        if found:
            return file, min(found)
    return None


def _from_source(evidence: Evidence) -> Finding | None:
    split = _split(evidence)
    if split is None:
        return None
    file, line = split
    tree = evidence.code(file).tree
    before = sorted(
        (node.lineno, call_name(node.func))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.lineno < line and not _sees_training_rows(evidence.code(file), node)
    )
    for number, name in before:
        if name in _CHOOSING or name in _MULTIPLYING or name in _SCORING:
            what = "Features are chosen" if name not in _MULTIPLYING else "Examples are multiplied"
            title = f"{what} by {name} on all the data, before the test part is taken off"
            place = evidence.place(file, number)
            fix = "Split first; choose features and multiply examples on the training part alone."
            return _finding(("fault", 0.8), title, place, [figure("line of the split", line)], fix)
    for number, name in before:
        if name in _SCALING:
            title = f"{name} is fitted on all the data, before the test part is taken off"
            fix = "Fit the scaler on the training part alone."
            return _finding(
                ("note", 0.3), title, evidence.place(file, number), [figure("line of the split", line)], fix
            )
    return None


def _sees_training_rows(code: SourceCode, call: ast.Call) -> bool:
    """Whether a call, or the ``fit`` of what it makes, is given chosen rows, or data that are named after training.

    ``SelectKBest(k=9).fit(X[:100], y[:100])``, or ``pick = SelectKBest(k=9)`` and ``pick.fit(train_x, train_y)``.
    """
    given = list(call.args)
    statement = code.statement(call)
    made = {one.id for one in getattr(statement, "targets", ()) if isinstance(one, ast.Name)}
    for fit in code.calls("fit", "fit_transform", "fit_resample"):
        owner = fit.func.value if isinstance(fit.func, ast.Attribute) else None
        if owner is call or (isinstance(owner, ast.Name) and owner.id in made):
            given = list(fit.args)
    data = given[:1] if given and isinstance(given[0], ast.Subscript | ast.Name) else []
    return any(_is_part(one) for one in data)


def _is_part(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return train_name(node.id)
    rows = node.slice if isinstance(node, ast.Subscript) else None
    rows = rows.elts[0] if isinstance(rows, ast.Tuple) and rows.elts else rows
    whole = isinstance(rows, ast.Slice) and rows.lower is None and rows.upper is None
    return rows is not None and not whole and not isinstance(rows, ast.Constant | ast.List)


RULE = Rule("data_leakage", find)
