"""The gate: comparisons between figures that must all hold before anything is published. Pure.

    tuned.loss < base.loss
    tuned.rougeL >= 1.1 * base.rougeL

Python's own parser reads them; what is understood is what `_figures` and `_value` name, and nothing is ever run.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from finetune_trainer import config, errors, metrics
from finetune_trainer.task import Evaluated, Measured

LONGEST = 200
"""Characters of an expression."""

SIDES = ("base", "tuned")

COMPARISONS: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
HOW = (
    "write one comparison (<, <=, >, >=) of figures like tuned.loss and base.loss, numbers, + - * / and parentheses, for example "
    "`tuned.loss < 0.9 * base.loss`"
)

Figure = tuple[str, str]
"""`base` or `tuned`, and the figure's name."""


class _Unknown(Exception):
    """What of an expression is not understood, as half a sentence."""


@dataclass(frozen=True)
class Expression:
    """One entry of the gate."""

    text: str
    left: ast.expr
    compared: type[ast.cmpop]
    right: ast.expr

    @property
    def figures(self) -> Sequence[Figure]:
        """What it goes by, in the order of reading."""
        return list(dict.fromkeys([*_figures(self.left), *_figures(self.right)]))

    def holds(self, figures: Mapping[Figure, float]) -> bool:
        """Whether it is true of `figures`. What cannot be reckoned, as a division by zero, does not hold."""
        try:
            return COMPARISONS[self.compared](_value(self.left, figures), _value(self.right, figures))
        except (ArithmeticError, KeyError):
            return False


def check(run: config.Run) -> None:
    """Raises `InvalidGate` where an entry cannot be read, or goes by a figure that will not be measured."""
    for number, text in enumerate(run.evaluation.gate):
        field = f"spec.evaluation.gate[{number}]"
        for side, name in parse(text, field=field).figures:
            known = metrics.measured(run.method, run.evaluation.metrics, side, metrics.of_tasks(run))
            if name not in known:
                raise errors.InvalidGate(f"{field}: {side}.{name} is not measured{_cure(name, known)}")


def parse(text: str, *, field: str) -> Expression:
    """The entry `text`. Raises `InvalidGate`, which names `field`."""
    try:
        return _parsed(text)
    except _Unknown as unknown:
        raise errors.InvalidGate(f"{field}: {text[:LONGEST]!r} cannot be read: {unknown}; {HOW}") from unknown


def unmet(run: config.Run, found: Evaluated | None) -> list[str]:
    """The entries that do not hold, each with its figures in words: `tuned.loss < base.loss (tuned.loss is 2.31, ...)`."""
    figures = _of(found)
    entries = [parse(text, field="spec.evaluation.gate") for text in run.evaluation.gate]
    return [_told(one, figures) for one in entries if not one.holds(figures)]


def _parsed(text: str) -> Expression:
    if len(text) > LONGEST:
        raise _Unknown(f"it is longer than {LONGEST} characters")
    if not text.isascii():
        raise _Unknown("it has characters outside ASCII")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _Unknown("it is not an expression") from error
    match tree:
        case ast.Compare(left=left, ops=[compared], comparators=[right]) if type(compared) in COMPARISONS:
            if not list(_figures(left)) + list(_figures(right)):
                raise _Unknown("it compares only numbers, which no training changes")
            return Expression(text, left, type(compared), right)
        case ast.Compare(ops=[_, _, *_]):
            raise _Unknown("it makes more than one comparison; give each one an entry of its own")
        case ast.BoolOp(op=ast.And()):
            raise _Unknown(
                "`and` is not needed; give each comparison an entry of its own, all of them must hold"
            )
    raise _Unknown("it is not a comparison")


def _figures(node: ast.expr) -> Iterator[Figure]:
    """The figures below `node`. Raises `_Unknown` for anything that an expression may not hold."""
    match node:
        case ast.Constant(value=bool()):
            raise _Unknown(f"{node.value!r} is not a number")
        case ast.Constant(value=int() | float() as number):
            if not _finite(number):
                raise _Unknown("it holds a number that is too large")
        case ast.Attribute(value=ast.Name(id=side), attr=name) if side in SIDES:
            yield side, name
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            yield from _figures(inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield from _figures(left)
            yield from _figures(right)
        case _:
            raise _Unknown(f"`{ast.unparse(node)[:60]}` is neither a figure nor a number")


def _value(node: ast.expr, figures: Mapping[Figure, float]) -> float:
    """What `node` comes to."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Attribute(value=ast.Name(id=side), attr=name):
            return figures[side, name]
        case ast.UnaryOp(op=sign, operand=inner):
            return -_value(inner, figures) if isinstance(sign, ast.USub) else _value(inner, figures)
        case ast.BinOp(left=left, op=op, right=right):
            return ARITHMETIC[type(op)](_value(left, figures), _value(right, figures))
    raise errors.InternalError(f"the gate was not checked: {ast.unparse(node)}")


def _finite(number: float) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def _cure(name: str, known: frozenset[str]) -> str:
    """What to do about a figure that nobody measures."""
    if metric := metrics.metric_of(name):
        if metric == "perplexity":
            return " by this method; use loss"
        return f"; add {metric} to spec.evaluation.metrics"
    return f"; measured are {', '.join(sorted(known))}"


def _of(found: Evaluated | None) -> dict[Figure, float]:
    """All figures of an evaluation."""
    sides = {"base": found.base, "tuned": found.tuned} if found else {}
    return {(side, name): value for side, one in sides.items() for name, value in _named(one).items()}


def _named(one: Measured) -> dict[str, float]:
    own = {"loss": one.loss, "perplexity": one.perplexity, **one.other}
    return {name: value for name, value in own.items() if value is not None}


def _told(one: Expression, figures: Mapping[Figure, float]) -> str:
    said = [
        f"{side}.{name} is {figures[side, name]:.5g}"
        if (side, name) in figures
        else f"{side}.{name} could not be measured"
        for side, name in one.figures
    ]
    return f"{one.text} ({', '.join(said)})"
