"""The table of results."""

from ttref.experiments.results import Row, results_table


def test_the_table_shows_ours_beside_the_recorded_number():
    rows = [
        Row("TT", "val accuracy", 0.96384, 0.9638, 7985, (3.0, 2.0, 1.0), 30.26),
        Row("dense", "val accuracy", 0.5, None, 9, (), 0.0),
    ]
    assert results_table(rows).split("\n") == [
        "network  metric          ours  recorded  parameters  epochs  s/epoch",
        "-------  ------------  ------  --------  ----------  ------  -------",
        "TT       val accuracy  0.9638    0.9638        7985       3    10.09",
        "dense    val accuracy  0.5000                     9       0",
    ]
