"""Recurrent layers, unrolled into layers, directions, time steps and gates; backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule
from pellucid.core.rules.indexing import wide
from pellucid.core.rules.recurrent_cells import CELLS, LSTM, Back, Cell, Step
from pellucid.core.rules.sums import Block, Index, Number, Sum, column, constant, single
from pellucid.core.rules.unrolling import Backward, Call, Weights, backpropagate, unroll

__all__ = ["RULES", "Call", "Recurrent", "RecurrentCell"]


class Recurrent(Rule):
    """A stack of recurrent layers: each reads the layer below step by step, forwards and perhaps backwards.

    Backpropagation through time (Werbos 1990): a weight is shared by all steps, so its gradient is a sum over them.
    """

    cancels = True

    def __init__(self, kind: str) -> None:
        self.names: tuple[str, ...] = (kind,)
        self.cell: Cell = CELLS[kind]
        self.formula = r"h_t=\operatorname{cell}(x_t,h_{t-1})"
        self.derivative = r"\frac{\partial L}{\partial W}=\sum_t\delta_t\,x_t^\top"
        self.signature = (
            "input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first"
            " | data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional"
        )

    @override
    def applies(self, args: Arguments) -> bool:
        draws = args.get("dropout") and args.get("train") and args["num_layers"] > 1
        return self.fits(args) and (not draws or "drawn" in args)

    @override
    def fits(self, args: Arguments) -> bool:
        if not isinstance(args.get("has_biases"), bool) or ("batch_sizes" not in args and "input" not in args):
            return False
        return len(args["params"]) == self._each(args) * args["num_layers"] * (2 if args["bidirectional"] else 1)

    def _each(self, args: Arguments) -> int:
        """How many weights a layer has in one direction; a projection is one more."""
        hidden = args["hx"]
        projected = isinstance(hidden, list | tuple) and hidden[0].shape[-1] != hidden[-1].shape[-1]
        return (4 if args["has_biases"] else 2) + projected

    def call(self, args: Arguments) -> Call:
        """The call in one form."""
        directions = 2 if args["bidirectional"] else 1
        each = self._each(args)
        params = [wide(p.detach()) for p in args["params"]]
        weights: list[Weights] = []
        addresses: list[tuple[str, ...]] = []
        for start in range(0, len(params), each):
            own = tuple(params[start : start + each])
            weights.append(Weights(*own[:-1], hr=own[-1]) if each % 2 else Weights(*own))
            addresses.append(tuple(f"params[{start + k}]" for k in range(each)))
        several = isinstance(args["hx"], list | tuple)
        hidden = tuple(wide(h.detach()) for h in (args["hx"] if several else [args["hx"]]))
        names = tuple(f"hx[{k}]" for k in range(len(hidden))) if several else ("hx",)
        if "batch_sizes" in args:
            lengths = args["batch_sizes"].tolist()
            steps = list(wide(args["data"].detach()).split(lengths))
            drawn = [whole.split(lengths) for whole in args.get("drawn", ())]
            return Call(steps, hidden, weights, addresses, names, "data", directions, drawn)
        sequence = wide(args["input"].detach())
        sequence = sequence.transpose(0, 1) if args["batch_first"] else sequence
        drawn = [whole.unbind(0) for whole in args.get("drawn", ())]
        return Call(list(sequence.unbind(0)), hidden, weights, addresses, names, "input", directions, drawn)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        _, sequence, last_h, last_c = unroll(self.cell, self.call(args))
        whole = self._joined(args, sequence)
        found = [whole, torch.stack(last_h), *([torch.stack(last_c)] if self.cell.has_memory else [])]
        dtype = args["params"][0].dtype
        return tuple(t.to(o.dtype if outputs else dtype) for t, o in zip(found, outputs or found, strict=True))

    def _joined(self, args: Arguments, sequence: list[Tensor]) -> Tensor:
        """The outputs of all times in the call's layout."""
        if "batch_sizes" in args:
            return torch.cat(sequence)
        whole = torch.stack(sequence)
        return whole.transpose(0, 1) if args["batch_first"] else whole

    def _apart(self, args: Arguments, whole: Tensor) -> list[Tensor]:
        """A tensor in the call's layout as one for each time."""
        if "batch_sizes" in args:
            return list(whole.split(args["batch_sizes"].tolist()))
        return list((whole.transpose(0, 1) if args["batch_first"] else whole).unbind(0))

    def _backpropagate(self, args: Arguments, grads: Gradients) -> tuple[Call, Backward]:
        """(call, its gradients)."""
        call = self.call(args)
        given = [None if g is None else wide(g) for g in (*grads, *[None] * (3 - len(grads)))]
        units = call.hidden[0].shape[-1] * call.directions
        whole = given[0]
        by_sequence = [s.new_zeros(len(s), units) for s in call.steps] if whole is None else self._apart(args, whole)
        return call, backpropagate(self.cell, call, by_sequence, given[1:])

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        call, made = self._backpropagate(args, grads)
        found = {call.input_address: self._joined(args, made.by_input)}
        for place, steps in enumerate(made.passes):
            shares = (
                sum(back.from_input.T @ step.x for step, back in steps),
                sum(back.from_state.T @ step.h for step, back in steps),
                sum(back.from_input.sum(0) for _, back in steps),
                sum(back.from_state.sum(0) for _, back in steps),
            )
            projection = call.weights[place].hr
            if projection is not None:
                shares = (*shares[: len(call.addresses[place]) - 1], _projection_gradient(steps))
            found.update({name: torch.as_tensor(s) for name, s in zip(call.addresses[place], shares, strict=False)})
        for which, name in enumerate(call.hidden_addresses):
            found[name] = torch.stack([pair[which] for pair in made.first])
        return {name: t.to(args["params"][0].dtype) for name, t in found.items()}

    def _where(self, args: Arguments, index: Index) -> tuple[int, int]:
        """(time, example) of an entry of input or output."""
        if "batch_sizes" not in args:
            return (index[1], index[0]) if args["batch_first"] else (index[0], index[1])
        left = index[0]
        for time, rows in enumerate(args["batch_sizes"].tolist()):
            if left < rows:
                return time, left
            left -= rows
        return 0, 0

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        call = self.call(args)
        passes, *_ = unroll(self.cell, call)
        units = call.hidden[0].shape[-1]
        if output == 0:
            time, row = self._where(args, index)
            place, unit = len(passes) - call.directions + index[-1] // units, index[-1] % units
            step = next(s for s in passes[place] if s.time == time)
        else:
            place, row, unit = index
            step = [s for s in passes[place] if s.rows > row][-1]
        result = float(outputs[output][index])
        note = self._label(call, place, step.time)
        if output == 2 and isinstance(self.cell, LSTM):
            return Sum.of(_blocks(self.cell.memory_terms(step, row, unit)), note=note)
        if call.weights[place].hr is not None:
            return Sum.of([self._projected(call, place, step, row, unit)], note=note)
        terms, then = self.cell.state_terms(step, row, unit)
        return Sum.of(_blocks(terms), then=then, result=result if then else None, note=note)

    def _projected(self, call: Call, place: int, step: Step, row: int, unit: int) -> Block:
        """A unit of a projected state: a weighted sum of the whole state."""
        weight = call.weights[place].hr
        assert weight is not None
        units = torch.arange(weight.shape[1])
        at = torch.stack([torch.full_like(units, unit), units], 1)
        whole = _unit_column("whole h", step.whole_h[row])
        return single("whole h · weight", whole, column(call.addresses[place][-1], at, weight[unit]))

    def _label(self, call: Call, place: int, time: int) -> str:
        """A step's name: layer, direction, time."""
        backwards = "r" if place % call.directions else ""
        return f"l{place // call.directions}{backwards}.t{time}"

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        call, made = self._backpropagate(args, grads)
        passes = made.passes
        if argument in call.hidden_addresses:
            return self._first_state(call, passes, argument, index)
        if argument == call.input_address:
            time, row = self._where(args, index)
            blocks = []
            for place in range(call.directions):
                back = next(b for s, b in passes[place] if s.time == time)
                weights, label = call.weights[place].ih, self._label(call, place, time)
                slopes = _unit_column(rf"\delta_{{{label}}}", back.from_input[row])
                rows = torch.arange(len(slopes.values))
                at = torch.stack([rows, torch.full_like(rows, index[-1])], 1)
                blocks.append(single(label, slopes, column(call.addresses[place][0], at, weights[:, index[-1]])))
            return Sum.of(blocks)
        place = next(k for k, names in enumerate(call.addresses) if argument in names)
        return self._weight_paths(call, passes, place, call.addresses[place].index(argument), index)

    def _weight_paths(
        self, call: Call, passes: list[list[tuple[Step, Back]]], place: int, which: int, index: Index
    ) -> Sum:
        """A term for every time step and example: the gate's gradient times what the weight was multiplied with."""
        blocks = []
        projects = call.weights[place].hr is not None and which == len(call.addresses[place]) - 1
        for step, back in passes[place]:
            label = self._label(call, place, step.time)
            if projects and back.new_h is not None:
                slopes = _unit_column(rf"\partial L/\partial h ({label})", back.new_h[:, index[0]])
                blocks.append(single(label, slopes, _unit_column(f"whole h ({label})", step.whole_h[:, index[1]])))
                continue
            slopes = (back.from_input if which in (0, 2) else back.from_state)[:, index[0]]
            columns = [_unit_column(rf"\delta_{{{label}}}", slopes)]
            if which < 2:
                name = "x" if which == 0 else "h before"
                columns.append(_unit_column(f"{name} ({label})", (step.x if which == 0 else step.h)[:, index[1]]))
            blocks.append(single(label, *columns))
        return Sum.of(blocks)

    def _first_state(self, call: Call, passes: list[list[tuple[Step, Back]]], argument: str, index: Index) -> Sum:
        """Through the gates of the first step, and straight on to the next state or memory."""
        place, row, unit = index
        ran = [(step, back) for step, back in passes[place] if step.rows > row]
        if not ran:
            return Sum.of([])
        step, back = ran[-1]
        label = self._label(call, place, step.time)
        if argument == "hx[1]":
            return Sum.of(
                [single("through the memory", constant(rf"\partial L/\partial c ({label})", float(back.c[row, unit])))]
            )
        weights = call.weights[place].hh
        slopes = _unit_column(rf"\delta_{{{label}}}", back.from_state[row])
        rows = torch.arange(len(slopes.values))
        at = torch.stack([rows, torch.full_like(rows, unit)], 1)
        blocks = [single(label, slopes, column(call.addresses[place][1], at, weights[:, unit]))]
        direct = float(back.h[row, unit])
        return Sum.of([*blocks, single("kept", constant("kept", direct))] if direct else blocks)

    @override
    def intermediates(self, args: Arguments) -> dict[str, Tensor]:
        call = self.call(args)
        passes, *_ = unroll(self.cell, call)
        found: dict[str, Tensor] = {}
        for place, ran in enumerate(passes):
            for step in ran:
                label = self._label(call, place, step.time)
                found.update({f"{label}.{name}": gate for name, gate in step.gates.items()})
                found[f"{label}.h"] = step.new_h
                if self.cell.has_memory:
                    found[f"{label}.c"] = step.new_c
        return found

    @override
    def intermediate_entry(self, args: Arguments, name: str, index: Index) -> Sum:
        call = self.call(args)
        passes, *_ = unroll(self.cell, call)
        label, _, what = name.rpartition(".")
        place, step = next((k, s) for k, ran in enumerate(passes) for s in ran if self._label(call, k, s.time) == label)
        row, unit = index
        if what == "h" and call.weights[place].hr is not None:
            return Sum.of([self._projected(call, place, step, row, unit)])
        if what == "h":
            terms, then = self.cell.state_terms(step, row, unit)
            return Sum.of(_blocks(terms), then=then, result=step.new_h[row, unit] if then else None)
        if what == "c" and isinstance(self.cell, LSTM):
            return Sum.of(_blocks(self.cell.memory_terms(step, row, unit)))
        gate = self.cell.gates.index(what)
        at = gate * call.hidden[-1].shape[-1] + unit
        reset = (
            float(step.gates["reset_gate"][row, unit]) if what == "candidate" and "reset_gate" in step.gates else 1.0
        )
        return Sum.of(
            self._gate_blocks(call, place, step, (row, at), reset),
            then=self.cell.curves[gate],
            result=step.gates[what][row, unit],
        )

    def _gate_blocks(self, call: Call, place: int, step: Step, where: tuple[int, int], reset: Number) -> list[Block]:
        """A gate's weighted sum: the input's terms, the state's (for a GRU's candidate times reset), biases."""
        row, at = where
        blocks = []
        parts = ((step.x[row], 0, "x", []), (step.h[row], 1, "h before", [("reset_gate", reset)] if reset != 1 else []))
        for values, which, name, extra in parts:
            own_weights = call.weights[place]
            weight, bias = (own_weights.ih, own_weights.b_ih) if which == 0 else (own_weights.hh, own_weights.b_hh)
            count = len(values)
            places = torch.arange(count)
            at_weight = torch.stack([torch.full_like(places, at), places], 1)
            own = column(call.addresses[place][which], at_weight, weight[at])
            scale = [constant(label, value, count) for label, value in extra]
            blocks.append(single(f"{name} · weight", _unit_column(name, values), own, *scale))
            if bias is not None:
                scale = [constant(label, value) for label, value in extra]
                blocks.append(single("bias", column(call.addresses[place][which + 2], (at,), bias[at]), *scale))
        return blocks


class RecurrentCell(Recurrent):
    """One step of a recurrent layer."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.names = (f"{kind}_cell",)
        self.signature = "input, hx, w_ih, w_hh, b_ih=None, b_hh=None"

    @override
    def fits(self, args: Arguments) -> bool:
        return "w_ih" in args

    @override
    def applies(self, args: Arguments) -> bool:
        return self.fits(args)

    @override
    def call(self, args: Arguments) -> Call:
        names = ("w_ih", "w_hh", "b_ih", "b_hh")
        weights = Weights(*[wide(args[name].detach()) for name in names if args[name] is not None])
        several = isinstance(args["hx"], list | tuple)
        hidden = tuple(wide(h.detach())[None] for h in (args["hx"] if several else [args["hx"]]))
        addresses = tuple(f"hx[{k}]" for k in range(len(hidden))) if several else ("hx",)
        step = wide(args["input"].detach())
        used = names if args["b_ih"] is not None else names[:2]
        return Call([step], hidden, [weights], [used], addresses, "input", 1)

    def _inner(self, args: Arguments) -> dict[str, Any]:
        """The settings of a layer of one step."""
        return {**args, "batch_first": False, "params": [args["w_ih"]]}

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        found = super().forward(self._inner(args))
        return tuple(t[0] for t in found[1:])

    def _shifted(self, grads: Gradients) -> list[Tensor | None]:
        """The gradients by state and memory as a layer's."""
        return [None, *[None if g is None else g[None] for g in grads]]

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        found = super().backward(self._inner(args), outputs, self._shifted(grads))
        return {name: t[0] if name.startswith(("hx", "input")) else t for name, t in found.items()}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        whole = (outputs[0][None], *[o[None] for o in outputs])
        return super().entry(self._inner(args), whole, (0, *index), output + 1)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        index = (0, *index) if argument.startswith(("hx", "input")) else index
        return super().gradient_entry(self._inner(args), outputs, self._shifted(grads), argument, index)


def _projection_gradient(steps: Sequence[tuple[Step, Back]]) -> Tensor | int:
    """The gradient by a projection: that by the state after it times the whole state, summed over the steps."""
    return sum(back.new_h.T @ step.whole_h for step, back in steps if back.new_h is not None)


def _unit_column(name: str, values: Tensor) -> Any:
    """A factor over units or examples, indexed by their numbers."""
    return column(name, torch.arange(len(values))[:, None], values)


def _blocks(terms: list[tuple[str, list[tuple[str, float]]]]) -> list[Block]:
    """Terms given as names and numbers."""
    return [single(label, *[constant(name, value) for name, value in factors]) for label, factors in terms]


RULES: tuple[Rule, ...] = tuple(make(kind) for kind in CELLS for make in (Recurrent, RecurrentCell))
