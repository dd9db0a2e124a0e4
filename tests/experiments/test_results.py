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


def test_a_run_of_fewer_epochs_than_the_original_is_marked():
    short = Row("TT", "val accuracy", 0.64, 0.975, 9, (3.0, 2.0), 1.0, full_epochs=100)
    whole = Row("dense", "val accuracy", 0.5, None, 9, (1.0,), 1.0, full_epochs=1)
    *_, first, second, note = results_table([short, whole]).split("\n")
    assert first == "TT       val accuracy  0.6400    0.9750           9  2 of 100     0.50"
    assert second == "dense    val accuracy  0.5000                     9         1     1.00"
    assert note.startswith("A run of fewer epochs is no match for the recorded number")
    for rows in ([whole], [Row("TT", "val accuracy", 0.6, None, 9, (1.0,), 1.0, full_epochs=2)]):
        assert "recorded number" not in results_table(rows)
