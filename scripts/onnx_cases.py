"""Count which wrong LSTM and GRU cells the published node cases of ONNX notice; docs/onnx_cases.md.

The cases are taken from the installed package onnx (`scripts/peer_env onnx`). A case notices a
wrong cell if an output that the case names differs from the published one beyond the tolerance of
ONNX's own test runner. Beside them stand random cases of this script.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markdown_table import markdown
from onnx_cells import Arrays, Problem, WrongCell, random_problem, run, wrong_cells

RECORD = Path("docs/onnx_cases.json")
PAGE = Path("docs/onnx_cases.md")
RTOL = 1e-3  # of onnx.backend.test.loader
ATOL = 1e-7


class NodeCase(NamedTuple):
    """A node with its inputs and outputs, as they were published."""

    name: str
    problem: Problem
    outputs: Arrays


def published_cases() -> list[NodeCase]:
    """All node cases of LSTM and GRU in the installed package."""
    from onnx.backend.test.case.node import gru, lstm

    found: list[NodeCase] = []

    def keep(node: Any, inputs: Sequence[Any], outputs: Sequence[Any], name: str) -> None:
        attributes = {a.name: a.s.decode() if a.s else a.i for a in node.attribute}
        given = zip([n for n in node.input if n], inputs, strict=True)
        expected = zip([n for n in node.output if n], outputs, strict=True)
        found.append(NodeCase(name, Problem(node.op_type, dict(given), attributes), dict(expected)))

    for module, exporter in ((lstm, lstm.LSTM), (gru, gru.GRU)):
        module.expect = keep
        for name in sorted(vars(exporter)):
            if name.startswith("export"):
                np.random.seed(0)  # noqa: NPY002 (as onnx.backend.test.case.base does)
                getattr(exporter, name)()
    return found


def own_cases() -> list[NodeCase]:
    """Random cases: one of LSTM, and one of GRU for each place of the reset."""
    problems = {
        "random LSTM": random_problem("LSTM"),
        "random GRU, reset before": random_problem("GRU", late=0),
        "random GRU, reset after": random_problem("GRU", late=1),
    }
    return [NodeCase(name, problem, run(problem)) for name, problem in problems.items()]


def passes(case: NodeCase, problem: Problem) -> bool:
    """Whether the outputs of a node are those of the case, within ONNX's tolerance."""
    found = run(problem)
    return all(
        found[name].shape == expected.shape
        and np.allclose(found[name], expected, rtol=RTOL, atol=ATOL)
        for name, expected in case.outputs.items()
    )


def noticed_by(case: NodeCase) -> list[WrongCell]:
    """The wrong cells that a case notices.

    Raises
    ------
    ValueError
        If it fails the right cell.
    """
    if not passes(case, case.problem):
        raise ValueError(f"{case.name} fails the right cell, expected that it passes")
    cells = [cell for cell in wrong_cells() if cell.operator == case.problem.operator]
    return [cell for cell in cells if not passes(case, cell.change(case.problem))]


def count(cases: Sequence[NodeCase]) -> list[dict[str, Any]]:
    """What each case notices, as it is recorded."""
    return [
        {
            "case": case.name,
            "operator": case.problem.operator,
            "noticed": [[cell.kind, cell.name] for cell in noticed_by(case)],
        }
        for case in cases
    ]


TEXT = """# Which wrong LSTM and GRU cells do ONNX's node cases notice?

Made by `scripts/onnx_cases`, from the node cases in the package onnx {version}. The package ships
{published} cases of LSTM and GRU: inputs, and the outputs that a runtime has to give within a
relative tolerance of {rtol:g} and an absolute one of {atol:g}.

There are {cells} wrong cells. Each is the right cell but for one thing: the gates are read in
another order ({lstm_orders} orders of LSTM, {gru_orders} of GRU), the matrices of R are transposed,
the bias of the input, of the state, or both are dropped, the peepholes are read in another order or
dropped, or the reset acts after the product in place of before it, or conversely. The right cell
passes all cases. A case notices a wrong cell if the wrong cell fails it.

Together the published cases notice {noticed} of the {cells} wrong cells. In every one of these
cases but `test_gru_seq_length`, the weights of a direction are all equal, so that no order can be
seen.
Several cases have one step and start from zeros, so that the state's weights have no effect.
`test_gru_seq_length` has random weights, drawn from ONNX's own seed. Its inputs go up to 18, so
that most gates are close to 0 or 1, and the state's weights change little.

This is no defect of ONNX: its cases are made to show each attribute of a node once, and a runtime
has further tests of its own. It says what a runtime knows that has passed these cases only.

Below the published cases stand cases of this script: two steps of two sequences with normal random
weights, two different biases, initial states and, for LSTM, peepholes.

{table}

`docs/onnx_cases.json` has the names of the wrong cells that each case notices.
"""


def page_text(record: dict[str, Any]) -> str:
    """The page of a record."""
    cells = wrong_cells()
    orders = [cell.operator for cell in cells if cell.kind == "gate order"]
    return TEXT.format(
        version=record["version"],
        published=len(record["published"]),
        rtol=RTOL,
        atol=ATOL,
        cells=len(cells),
        lstm_orders=orders.count("LSTM"),
        gru_orders=orders.count("GRU"),
        noticed=len(noticed_together(record)),
        table=table(record, cells),
    )


def noticed_together(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Operator, kind and name of the wrong cells that some published case notices."""
    return sorted({(c["operator"], *pair) for c in record["published"] for pair in c["noticed"]})


def table(record: dict[str, Any], cells: Sequence[WrongCell]) -> str:
    """A row for each case, and rows for the published cases together."""
    kinds = list(dict.fromkeys(cell.kind for cell in cells))

    def row(name: str, operators: Sequence[str], noticed: Sequence[Sequence[str]]) -> list[Any]:
        asked = [cell for cell in cells if cell.operator in operators]
        all_of = {kind: sum(cell.kind == kind for cell in asked) for kind in kinds}
        seen = {kind: sum(pair[-2] == kind for pair in noticed) for kind in kinds}
        parts = [f"{seen[kind]} of {all_of[kind]}" if all_of[kind] else "-" for kind in kinds]
        return [name, *parts, f"{len(noticed)} of {len(asked)}"]

    rows = [row(c["case"], [c["operator"]], c["noticed"]) for c in record["published"]]
    together = noticed_together(record)
    operators = list(dict.fromkeys(cell.operator for cell in cells))
    for operator in operators:
        of_operator = [cell for cell in together if cell[0] == operator]
        rows.append(row(f"**all published cases of {operator}**", [operator], of_operator))
    rows.append(row("**all published cases**", operators, together))
    rows += [row(c["case"], [c["operator"]], c["noticed"]) for c in record["own"]]
    return markdown(["case", *kinds, "all"], rows)


def main() -> None:
    """Count, and write the record and the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    import onnx

    record = {
        "version": onnx.__version__,
        "published": count(published_cases()),
        "own": count(own_cases()),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page_text(record))


if __name__ == "__main__":
    main()
