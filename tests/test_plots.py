"""helpers.teaching.plots: what is drawn, that it can be read, and errors on bad input."""

from itertools import combinations
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.teaching import plots

# Full dichromacy in linear RGB: Machado, Oliveira and Fernandes (2009), "A Physiologically-based
# Model for Simulation of Color Vision Deficiency".
DICHROMACY = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "none": np.eye(3).tolist(),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # linear sRGB to CIE XYZ


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        mpl.use("Agg")
        plots.use_style()
        yield
        plt.close("all")


def lab(colour, vision="none"):
    """CIE L*a*b* of a colour as a dichromat sees it, (3,)."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(DICHROMACY[vision]) @ linear, 0, 1)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ seen / TO_XYZ.sum(axis=1), 1e-4))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio")."""

    def luminance(colour):
        rgb = np.asarray(mpl.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def a_history(steps=60):
    records = [{"step": s, "epoch": s / 30, "loss": 2.0 / s, "lr": 1e-5} for s in range(1, steps)]
    evaluations = [
        {"step": 30, "eval_loss": 0.3, "accuracy": 0.90, "f1": 0.88, "note": "half"},
        {"step": 59, "eval_loss": 0.2, "accuracy": 0.95, "f1": 0.94, "note": "end"},
    ]
    return SimpleNamespace(records=records, evaluations=evaluations)


def test_text_has_the_contrast_that_small_print_needs():
    for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color"):
        assert contrast(mpl.rcParams[name], mpl.rcParams["figure.facecolor"]) >= 4.5


def test_figures_are_opaque_so_that_the_dark_theme_shows_them_too():
    assert mpl.colors.to_rgba(mpl.rcParams["figure.facecolor"])[3] == 1.0
    assert mpl.colors.to_rgba(mpl.rcParams["axes.facecolor"])[3] == 1.0


def test_contrast_of_black_and_white_is_21():
    assert contrast("white", "black") == pytest.approx(21.0)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("colour", plots.PALETTE)
def test_lines_stand_out_from_the_background(colour):
    assert contrast(colour, plots.BACKGROUND) >= 3.0


@pytest.mark.parametrize(("one", "other"), list(combinations(plots.PALETTE, 2)))
def test_colours_differ_in_grey_and_for_every_colour_vision(one, other):
    assert abs(lab(one)[0] - lab(other)[0]) >= 12.0
    for vision in DICHROMACY:
        assert np.linalg.norm(lab(one, vision) - lab(other, vision)) >= 15.0, vision


def test_curves_differ_in_more_than_colour():
    ax = None
    for label in "abcdefgh":
        ax = plots.curve_with_interval([1, 2], [1, 2], [0, 1], [2, 3], label, ax=ax)
    looks = {(line.get_linestyle(), line.get_marker()) for line in ax.get_lines()}
    assert len(looks) == 8  # a fifth curve takes the first one's colour, not its look


def test_history_draws_losses_and_metrics():
    losses, metrics = plots.history(a_history())
    raw, smooth, evaluated = losses.get_lines()
    assert raw.get_ydata()[0] == pytest.approx(2.0)
    assert np.ptp(np.diff(smooth.get_ydata())) < np.ptp(np.diff(raw.get_ydata()))
    assert evaluated.get_xydata().tolist() == [[30, 0.3], [59, 0.2]]
    assert [line.get_label() for line in metrics.get_lines()] == ["accuracy", "f1"]
    assert losses.get_xlabel() == metrics.get_xlabel() == "optimizer steps"
    assert losses.get_ylabel() == "mean loss (nats)"


def test_history_takes_an_evaluated_loss_called_loss():
    history = a_history()
    history.evaluations = [{"step": 59, "loss": 0.2, "accuracy": 0.9}]
    losses, metrics = plots.history(history)
    assert losses.get_lines()[2].get_xydata().tolist() == [[59, 0.2]]
    assert metrics.get_ylabel() == "accuracy"


def test_history_without_evaluations_has_one_panel():
    (losses,) = plots.history(SimpleNamespace(records=a_history().records, evaluations=[]))
    assert len(losses.get_lines()) == 2
    assert len(losses.figure.axes) == 1


def test_history_of_one_step():
    history = SimpleNamespace(records=[{"step": 1, "loss": 0.5}], evaluations=[])
    (losses,) = plots.history(history)
    assert losses.get_lines()[1].get_ydata().tolist() == [0.5]


def test_history_errors():
    with pytest.raises(ValueError, match=r"history.*train for"):
        plots.history(SimpleNamespace(records=[], evaluations=[]))


def test_confusion_matrix_shows_counts_and_shares_of_the_row():
    ax = plots.confusion_matrix(
        torch.tensor([0, 0, 0, 0, 1]), [0, 0, 0, 1, 1], ["no", "yes", "never"]
    )
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["3\n75.0%", "1\n25.0%", "0", "0", "1\n100.0%", "0", "0", "0", "0"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["no", "yes", "never"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_confusion_matrix_draws_where_it_is_told():
    _, ax = plt.subplots()
    assert plots.confusion_matrix([0, 1], [1, 1], ["a", "b"], ax=ax) is ax


@pytest.mark.parametrize("right", [0, 20, 40, 55, 60, 66, 68, 69, 72, 100])
def test_text_on_the_heat_map_can_be_read_on_every_shade(right):
    ax = plots.confusion_matrix([0] * 100 + [1], [0] * right + [1] * (101 - right), ["a", "b"])
    image, colours = ax.get_images()[0], []
    for text in ax.texts:
        column, row = text.get_position()
        ground = image.to_rgba(image.get_array())[int(row), int(column)][:3]
        colours.append(contrast(text.get_color(), ground))
    assert min(colours) >= 4.0


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([0, 1], [0], r"\[2, 1\b"),
        ([0, 1], [[0.1, 0.9], [0.9, 0.1]], r"predicted.*0\.1 to 0\.9"),
        ([0, 2], [0, 1], "true.* 0 to 2.* 0 to 1"),
        ([0, -100], [0, 1], "true.* -100 to 0"),
    ],
)
def test_confusion_matrix_errors(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(true, predicted, ["a", "b"])


def test_attention_draws_queries_down_and_keys_across():
    weights = torch.tensor([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25]], dtype=torch.bfloat16)
    ax = plots.attention(weights.requires_grad_(), ["a", "b"], ["x", "$y$", "z"])
    (image,) = ax.get_images()
    assert image.get_array().shape == (2, 3)
    assert image.get_clim() == (0.0, pytest.approx(0.8, abs=0.01))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["x", "$y$", "z"]
    assert not any(tick.get_parse_math() for tick in ax.get_xticklabels())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("key", "query")


@settings(deadline=None, max_examples=20)  # a figure takes long on a busy machine
@given(queries=st.integers(1, 12), keys=st.integers(1, 12))
def test_attention_takes_every_shape_that_fits_its_tokens(queries, keys):
    weights = torch.full((queries, keys), 1 / keys)
    ax = plots.attention(weights, ["q"] * queries, ["k"] * keys)
    assert ax.get_images()[0].get_array().shape == (queries, keys)
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(1, 2, 3, 3), r"\(1, 2, 3, 3\).*weights\[0, 0\]"),
        (torch.ones(3, 2), r"\(3, 2\).*\(3, 3\)"),
        (torch.tensor([[0.1, -2.0, 3.0]] * 3), "softmax"),
        (torch.full((3, 3), float("nan")), "softmax"),
    ],
)
def test_attention_errors(weights, message):
    with pytest.raises(ValueError, match=message):
        plots.attention(weights, ["a", "b", "c"])


def test_curve_on_a_logarithmic_axis_has_a_tick_for_each_x():
    ax = plots.curve_with_interval(
        [5, 20, 100], [0.6, 0.8, 0.9], [0.5, 0.7, 0.8], [0.7, 0.9, 1.0], "fine-tuned", log_x=True
    )
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "20", "100"]
    (band,) = ax.collections
    edges = band.get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (0.5, 1.0)
    assert ax.get_legend().get_texts()[0].get_text() == "fine-tuned"


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (([1], [1.0], [0.1], [0.1]), "edges, not its widths"),
        (([1], [float("nan")], [0.1], [0.2]), "edges, not its widths"),
        (([1, 2], [1, 1, 1], [0, 0, 0], [2, 2, 2]), r"\(2,\).*\(3,\)"),
    ],
)
def test_curve_errors(curve, message):
    with pytest.raises(ValueError, match=message):
        plots.curve_with_interval(*curve, "a", log_x=True)
