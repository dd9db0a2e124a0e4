"""The picture of the learning curves."""

import struct

import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex

from ttref.experiments import curves
from ttref.train import History


def history(losses, accuracies):
    """A history whose validation numbers are a tenth below those of training."""
    rows = []
    for k, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
        row = {"epoch": k + 1, "loss": loss, "accuracy": accuracy, "lr": 0.1, "seconds": 1.0}
        rows.append(row | {"val_loss": loss - 0.1, "val_accuracy": accuracy - 0.1})
    return History(tuple(rows), params=None, average=None)


HISTORIES = {"TT": history([2.0, 1.0, 0.5], [0.4, 0.6, 0.8]), "dense": history([0.9], [0.7])}


@pytest.fixture
def figures(monkeypatch):
    """The figures that are made."""
    made = []
    figure = curves.Figure
    monkeypatch.setattr(curves, "Figure", lambda **kw: made.append(figure(**kw)) or made[-1])
    return made


def lines(panel):
    return {line.get_label(): line for line in panel.lines}


def test_the_picture_is_a_png_of_ten_by_four_inches(tmp_path):
    curves.draw_curves(tmp_path / "new" / "curves.png", HISTORIES, {})
    content = (tmp_path / "new" / "curves.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1200, 480)
    assert content[-8:-4] == b"IEND"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curves.png"]


@pytest.mark.parametrize(("panel", "metric"), [(0, "loss"), (1, "accuracy")])
def test_every_stage_is_drawn_against_its_epochs(tmp_path, figures, panel, metric):
    curves.draw_curves(tmp_path / "curves.png", HISTORIES, {})
    (figure,) = figures
    drawn = lines(figure.axes[panel])
    assert figure.axes[panel].get_title() == metric
    assert len(drawn) == 4
    for stage, past in HISTORIES.items():
        for label, column in {"training": metric, "validation": f"val_{metric}"}.items():
            line = drawn[f"{stage}, {label}"]
            assert line.get_linestyle() == {"training": "--", "validation": "-"}[label]
            assert list(line.get_xdata()) == [row["epoch"] for row in past.rows]
            assert list(line.get_ydata()) == [row[column] for row in past.rows]


def test_the_lines_of_a_stage_share_a_colour_that_no_other_stage_has(tmp_path, figures):
    curves.draw_curves(tmp_path / "curves.png", HISTORIES, {"TT": 0.96, "dense": 0.97})
    for panel in figures[0].axes:
        colours = {stage: set() for stage in HISTORIES}
        for label, line in lines(panel).items():
            colours[label.split(",")[0]].add(to_hex(line.get_color()))
        assert sorted(map(len, colours.values())) == [1, 1]
        assert colours["TT"] != colours["dense"]


def test_the_recorded_accuracy_is_a_dotted_line_where_there_is_one(tmp_path, figures):
    curves.draw_curves(tmp_path / "curves.png", HISTORIES, {"TT": 0.96, "dense": None})
    loss, accuracy = figures[0].axes
    recorded = lines(accuracy)["TT, recorded"]
    assert (list(recorded.get_ydata()), recorded.get_linestyle()) == ([0.96, 0.96], ":")
    assert "dense, recorded" not in lines(accuracy)
    assert not [label for label in lines(loss) if "recorded" in label]


def test_the_picture_has_a_title_and_one_legend_beside_the_panels(tmp_path, figures):
    curves.draw_curves(tmp_path / "curves.png", HISTORIES, {"TT": 0.96}, "digits, seed 0")
    (figure,) = figures
    assert figure.get_suptitle() == "digits, seed 0"
    assert [panel.get_legend() for panel in figure.axes] == [None, None]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("TT, training", "TT, validation", "dense, training", "dense, validation"),
        "TT, recorded",
    ]
    figure.canvas.draw()
    left = legend.get_window_extent().x0
    assert all(panel.get_window_extent().x1 < left for panel in figure.axes)


@pytest.mark.parametrize("epochs", [1, 2, 5, 100])
def test_the_ticks_are_whole_epochs_and_a_single_epoch_is_in_the_middle(tmp_path, figures, epochs):
    past = history([1.0] * epochs, [0.5] * epochs)
    curves.draw_curves(tmp_path / "curves.png", {"TT": past}, {})
    for panel in figures[0].axes:
        assert panel.get_xlim() == (0.5, epochs + 0.5)
        ticks = [tick for tick in panel.get_xticks() if 0.5 < tick < epochs + 0.5]
        assert ticks and all(tick == int(tick) for tick in ticks)
        markers = {line.get_marker() for line in panel.lines}
        assert markers == ({"o"} if epochs <= 30 else {"None"})


def test_single_points_of_training_are_hollow(tmp_path, figures):
    curves.draw_curves(tmp_path / "curves.png", {"TT": history([1.0], [0.5])}, {})
    drawn = lines(figures[0].axes[0])
    faces = {label: to_hex(line.get_markerfacecolor()) for label, line in drawn.items()}
    assert faces == {"TT, training": to_hex("white"), "TT, validation": to_hex("C0")}


@pytest.mark.parametrize(("last", "scale"), [(0.5, "linear"), (0.05, "log")])
def test_the_loss_is_on_a_logarithmic_axis_where_it_falls_to_a_tenth(
    tmp_path, figures, last, scale
):
    past = History(({"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": last}), (), None)
    curves.draw_curves(tmp_path / "curves.png", {"TT": past}, {})
    assert figures[0].axes[0].get_yscale() == scale


def test_there_are_no_empty_panels(tmp_path, figures):
    curves.draw_curves(tmp_path / "a.png", {"TT": History(({"epoch": 1, "loss": 1.0},), (), 0)}, {})
    curves.draw_curves(tmp_path / "b.png", {"TT": History((), (), None)}, {}, "digits")
    curves.draw_curves(tmp_path / "c.png", {}, {})
    assert [[panel.get_title() for panel in figure.axes] for figure in figures] == [
        ["loss"],
        [],
        [],
    ]
    assert [[text.get_text() for text in figure.texts] for figure in figures[1:]] == [
        ["digits", "no epoch was finished"],
        ["", "no epoch was finished"],
    ]


@pytest.mark.parametrize("losses", [[1.0, 0.1], [1e-30, 1e30], [float("nan"), 1.0]])
def test_losses_that_a_logarithm_does_not_like_are_no_error(tmp_path, losses):
    curves.draw_curves(tmp_path / "curves.png", {"TT": history(losses, [0.5, 0.5])}, {})
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")

    def savefig(figure, file, **settings):
        file.write(b"half a ")
        raise OSError("the disk is full")

    monkeypatch.setattr(curves.Figure, "savefig", savefig)
    with pytest.raises(OSError, match="the disk is full"):
        curves.draw_curves(path, HISTORIES, {})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
